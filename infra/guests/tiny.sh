#!/bin/bash
# tiny.sh OUT SUITE [MMDEBSTRAP ARGUMENT...]: the tiny guest, a Debian kernel with busybox, dropbear and the agent.
#
# Writes OUT/{disk.raw,vmlinuz,initrd,cmdline,grub-core}; build.py makes an image of that. The guest's own scripts are
# in tiny/. It reaches SSH in 3 to 4 s under emulation, which makes it the guest of tests and first steps.
set -euo pipefail
umask 022  # of the guest's files
here=$(cd "$(dirname "$0")" && pwd)
out=$1 suite=$2
shift 2
work=$out/work stage=$out/work/stage root=$out/work/root
mkdir -p "$work"
# shellcheck source=disk.sh
. "$here/disk.sh"
MIB=256
# Measured under emulation: the first two lines save 1.4 s of boot, the last another 0.7 s. lsm=yama because SELinux or
# AppArmor would start without a policy. noreplace-smp: on one CPU the kernel patches its locks away, and every patch
# costs an emulator dear. Left out are a second random generator, keys of signed modules, names for tracing, and IMA.
CMDLINE="root=/dev/vda1 rw console=ttyS0 quiet nokaslr mitigations=off cryptomgr.notests no_timer_check tsc=reliable"
CMDLINE+=" audit=0 lsm=yama 8250.nr_uarts=1"
CMDLINE+=" noreplace-smp initcall_blacklist=jent_mod_init,load_system_certificate_list,trace_eval_init,init_ima"

# 1. Packages, unpacked only: nothing of Debian's own boot is used.
mmdebstrap --quiet --mode=root --variant=extract \
  --include=linux-image-cloud-amd64,busybox-static,dropbear-bin,e2fsprogs,fdisk,util-linux "$suite" "$stage" "$@"
[ -e "$stage/lib" ] || ln -s usr/lib "$stage/lib"
kernel=$(basename "$stage"/boot/vmlinuz-*)
kernel=${kernel#vmlinuz-}
depmod -b "$stage" "$kernel"

# 2. The root tree: merged /usr, busybox and its names.
mkdir -p "$root"/{dev,proc,sys,run,tmp,boot,root,etc/{dropbear,ssh,acpi/PWRF,udhcpc},var/{lib/cloud,log,tmp}}
mkdir -p "$root"/usr/{bin,sbin,lib/{modules,tiny},lib64}
for dir in bin sbin lib lib64; do ln -s usr/$dir "$root/$dir"; done
chmod 1777 "$root/tmp" "$root/var/tmp"
chmod 700 "$root/root"
busybox=$root/usr/bin/busybox
cp "$(find "$stage" -path '*bin/busybox' -type f)" "$busybox"
for applet in $("$busybox" --list); do [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"; done
for applet in init getty reboot poweroff halt; do ln -sf ../bin/busybox "$root/usr/sbin/$applet"; done
printf '#!/bin/sh\nexec /bin/sh "$@"\n' >"$root/usr/bin/bash"  # most user scripts ask for it; ash runs most of them
chmod 755 "$root/usr/bin/bash"

# 3. The few dynamic programs, with the libraries they name.
loader=$(find "$stage" -name ld-linux-x86-64.so.2 -print -quit)
libraries=$(find "$stage" -type d -name x86_64-linux-gnu -path '*lib/*' | paste -sd:)
cp -L "$loader" "$root/usr/lib64/"
for program in dropbear dropbearkey sfdisk partx resize2fs; do
  file=$(find "$stage" -path "*bin/$program" -type f)
  rm -f "$root/usr/bin/$program"
  cp "$file" "$root/usr/sbin/"
  "$loader" --library-path "$libraries" --list "$file" | awk '$3 ~ /^\// { print $3 }' |
    while read -r library; do cp -Lu "$library" "$root/usr/lib/"; done
done

# 4. The guest's own scripts and its few files.
install -m 755 "$here"/tiny/{identity,network,user-data,grow-root} "$here"/agent/puchify-{agent,network} "$root/usr/sbin/"
install -m 644 "$here"/tiny/*.awk "$root/usr/lib/tiny/"
install -m 755 "$here"/tiny/{rcS,shutdown} "$root/etc/"
install -m 755 "$here/tiny/dhcp-lease" "$root/etc/udhcpc/default.script"
install -m 644 "$here/tiny/inittab" "$root/etc/inittab"
printf '#!/bin/sh\npoweroff\n' >"$root/etc/acpi/PWRF/00000080"  # what acpid runs when the power button is pressed
chmod 755 "$root/etc/acpi/PWRF/00000080"
ln -s /run/resolv.conf "$root/etc/resolv.conf"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\ntty:x:5:\n' >"$root/etc/group"
printf '/bin/sh\n' >"$root/etc/shells"
(umask 077 && printf 'root:*:20000::::::\n' >"$root/etc/shadow")

# 5. Drivers, in two groups: before the seed can be read, and after sshd runs (power button).
copy_modules "$stage" "$kernel" "$root/usr/lib/modules/early" virtio_net virtio_console isofs
copy_modules "$stage" "$kernel" "$root/usr/lib/modules/late" button evdev virtio-rng

# 6. Kernel, initramfs, disk.
cp "$stage/boot/vmlinuz-$kernel" "$out/vmlinuz"
make_initrd "$stage" "$kernel" "$busybox" "$out/initrd"
cp "$out/vmlinuz" "$out/initrd" "$root/boot/"
make_disk "$root" "$out" "$MIB" "$CMDLINE"
