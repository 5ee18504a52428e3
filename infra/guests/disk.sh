# Shell library of the image builders: drivers, initramfs, partitions and root file system, all on plain files.
#
# No loop device, no NBD. Layout as in Debian's cloud images: partition 14 holds GRUB's core, partition 1 the ext4 root,
# last on the disk so that it can grow. The same packages give the same bytes: times, ids and orders are all fixed here.
# Sourced by tiny.sh and debian.sh, which have set `here`.
# shellcheck shell=bash
export SOURCE_DATE_EPOCH=1767225600  # 2026-01-01: what is younger is made as old as that
export LC_ALL=C.UTF-8 TZ=UTC
ROOT_START=8192  # sectors: 4 MiB
GRUB_START=2048  # grub.py knows this number too

# disk_id WHAT: a UUID that is always the same for it.
disk_id() { uuidgen --sha1 --namespace @oid --name "puchify.org $1"; }

# age TREE: nothing in it is younger than SOURCE_DATE_EPOCH.
age() { find "$1" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

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
  age "$dir"
  (cd "$dir" && find . | sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$out"
}

# make_disk ROOT OUT MIB CMDLINE: the partitioned disk with its root file system, and GRUB's core image beside it.
make_disk() {
  local root=$1 out=$2 mib=$3 cmdline=$4
  truncate -s "${mib}M" "$out/disk.raw"
  sfdisk -q "$out/disk.raw" <<END
label: gpt
label-id: $(disk_id disk)
14 : start=$GRUB_START, size=$((ROOT_START - GRUB_START)), type=21686148-6449-6E6F-744E-656564454649, name="bios", uuid=$(disk_id bios)
 1 : start=$ROOT_START, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="root", uuid=$(disk_id root)
END
  age "$root"
  make_root "$root" "$out/disk.raw"
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

# make_root ROOT DISK: the ext4 in partition 1, filled from a directory. mke2fs takes files in the order in which the
# directory lists them, and that is the order of creation only in memory: so it works on a copy there, in a mount
# namespace of its own. It also takes over when the copy was made: fix_times mends that.
make_root() {
  local root=$1 disk=$2 sectors options
  sectors=$(partx -g -b -o SECTORS --nr 1 "$disk")
  options="offset=$((ROOT_START * 512)),lazy_itable_init=0,lazy_journal_init=0,hash_seed=$(disk_id hashes)"
  mkdir "$work/copy"
  # GRUB 2.06 cannot read the two features that are off.
  # shellcheck disable=SC2016
  E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH unshare --mount bash -euo pipefail -c '
    root=$1 copy=$2
    shift 2
    mount -t tmpfs -o size=90%,mode=755 tmpfs "$copy"
    tar -C "$root" --sort=name --one-file-system --xattrs -cf - . | tar -C "$copy" --xattrs --numeric-owner -xpf -
    mke2fs -q -d "$copy" "$@"' mke2fs "$root" "$work/copy" \
    -t ext4 -L root -U "$(disk_id "root file system")" -b 4096 -O ^metadata_csum_seed,^orphan_file -J size=16 \
    -E "$options" "$disk" "$((sectors / 2))k"
  fix_times "$disk?offset=$((ROOT_START * 512))"
}

# fix_times FILESYSTEM: no inode was read, changed or made at another time than SOURCE_DATE_EPOCH.
fix_times() {
  dumpe2fs "$1" 2>/dev/null | awk -v "now=@$SOURCE_DATE_EPOCH" '
    /^Inodes per group:/ { per = $4 }
    /^Group / { group = $2 + 0 }
    /^  Free inodes:/ {
      sub(/^  Free inodes: */, ""); gsub(/,/, "")
      for (i = 1; i <= per; i++) used[i] = 1
      for (i = 1; i <= NF; i++) {
        split($i, range, "-"); last = range[2] ? range[2] : range[1]
        for (n = range[1]; n <= last; n++) used[n - group * per] = 0
      }
      for (i = 1; i <= per; i++) if (used[i] && (group || i == 2 || i > 10))
        for (f = split("atime ctime crtime", field, " "); f > 0; f--) print "sif <" group * per + i "> " field[f], now
    }' >"$work/times"
  E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH debugfs -w -f "$work/times" "$1" >"$work/times.log" 2>&1
  ! grep -v -e '^debugfs: sif' -e '^debugfs 1' "$work/times.log"
}
