# Shell library of the image builders: drivers, initramfs, partitions and root file system, all on plain files.
#
# No loop device, no NBD, no mount. Layout as in Debian's cloud images: partition 14 holds GRUB's core, partition 1 the
# ext4 root, last on the disk so that it can grow. Sourced by tiny.sh and debian.sh, which have set `here`.
# shellcheck shell=bash
ROOT_START=8192  # sectors: 4 MiB
GRUB_START=2048  # grub.py knows this number too

# copy_modules STAGE KERNEL DEST MODULE...: drivers and what they need, unpacked, named in the order of loading.
copy_modules() {
  local stage=$1 kernel=$2 dest=$3 number=10 file module
  shift 3
  mkdir -p "$dest"
  for module; do modprobe -d "$stage" -S "$kernel" --show-depends "$module"; done |
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
    while read -r file; do
      case $file in *.xz) xz -dc "$file" ;; *) cat "$file" ;; esac >"$dest/$number-$(basename "${file%.xz}")"
      number=$((number + 1))
    done
  strip -g "$dest"/*.ko
}

# make_initrd STAGE KERNEL BUSYBOX OUT: busybox and the disk driver; uncompressed, so that unpacking is a memcpy.
make_initrd() {
  local stage=$1 kernel=$2 busybox=$3 out=$4 dir
  dir=$(mktemp -d -p "$work")
  mkdir -p "$dir"/{bin,dev,root}
  cp "$busybox" "$dir/bin/busybox"
  install -m 755 "$here/initramfs-init" "$dir/init"
  mknod -m 600 "$dir/dev/console" c 5 1
  copy_modules "$stage" "$kernel" "$dir/modules" virtio_pci virtio_blk ext4
  (cd "$dir" && find . | cpio -o -H newc -R 0:0 --quiet) >"$out"
}

# make_disk ROOT OUT MIB CMDLINE: the partitioned disk with its root file system, and GRUB's core image beside it.
make_disk() {
  local root=$1 out=$2 mib=$3 cmdline=$4 sectors
  truncate -s "${mib}M" "$out/disk.raw"
  sfdisk -q "$out/disk.raw" <<END
label: gpt
14 : start=$GRUB_START, size=$((ROOT_START - GRUB_START)), type=21686148-6449-6E6F-744E-656564454649, name="bios"
 1 : start=$ROOT_START, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="root"
END
  sectors=$(partx -g -b -o SECTORS --nr 1 "$out/disk.raw")
  # -d fills the file system from a directory. GRUB 2.06 cannot read the two features that are off.
  mke2fs -q -t ext4 -L root -b 4096 -O ^metadata_csum_seed,^orphan_file -J size=16 -d "$root" \
    -E "offset=$((ROOT_START * 512)),lazy_itable_init=0,lazy_journal_init=0" "$out/disk.raw" "$((sectors / 2))k"
  printf '%s\n' "$cmdline" >"$out/cmdline"
  cat >"$work/grub.cfg" <<END
set root=(hd0,gpt1)
linux /boot/vmlinuz $cmdline
initrd /boot/initrd
boot
END
  grub-mkimage -O i386-pc -p '(hd0,gpt1)/boot/grub' -c "$work/grub.cfg" -o "$out/grub-core" \
    biosdisk part_gpt ext2 linux normal test
}
