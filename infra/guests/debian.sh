#!/bin/bash
# debian.sh OUT SUITE [MMDEBSTRAP ARGUMENT...]: the debian guest, with systemd, OpenSSH and the real cloud-init.
#
# Writes OUT/{disk.raw,vmlinuz,initrd,cmdline,grub-core}; build.py makes an image of that. It stands for the stock
# images of distributions: it has no agent, which comes with the vendor-data of its seed. Its files are in debian/.
set -euo pipefail
umask 022  # of the guest's files
here=$(cd "$(dirname "$0")" && pwd)
out=$1 suite=$2
shift 2
work=$out/work root=$out/work/root
mkdir -p "$work"
# shellcheck source=disk.sh
. "$here/disk.sh"
MIB=1536
# As in tiny.sh, and: the interface is eth0, no fsck, nothing about units on the console.
CMDLINE="root=/dev/vda1 rootfstype=ext4 rw console=ttyS0 quiet nokaslr mitigations=off cryptomgr.notests no_timer_check"
CMDLINE+=" tsc=reliable audit=0 lsm=yama net.ifnames=0 noreplace-smp fsck.mode=skip systemd.show_status=0"
PACKAGES=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,systemd-resolved,udev,dbus,openssh-server,cloud-init
PACKAGES+=,cloud-guest-utils,iproute2,iputils-ping,netcat-openbsd,ca-certificates,less,procps,sudo,vim-tiny,e2fsprogs
PACKAGES+=,fdisk,kmod,busybox-static
words() { sed 's/#.*//' "$here/debian/$1"; }  # of a list with comments

# 1. Packages, and this image's own settings over theirs.
mmdebstrap --quiet --mode=root --variant=minbase --include="$PACKAGES" \
  --setup-hook="sh $(printf %q "$here/debian/before-packages") \"\$1\"" \
  --customize-hook='chroot "$1" systemctl -q enable systemd-networkd systemd-resolved ssh' "$suite" "$root" "$@"
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"  # the builder's proxy is not the guest's
cp -r --no-preserve=ownership "$here/debian/etc/." "$root/etc/"

# 2. Units.
units=$root/etc/systemd/system
mkdir -p "$root/etc/systemd/system-generators" "$units/multi-user.target.wants"
for name in $(words masked-generators); do ln -s /dev/null "$root/etc/systemd/system-generators/$name-generator"; done
for name in $(words masked-units); do ln -sf /dev/null "$units/$name"; done
ln -sf /usr/lib/systemd/system/cloud-init.target "$units/multi-user.target.wants/"
# resolved belongs to sysinit, before everything: copied without that, it starts after sshd.
sed -E '/^Before=.*(sysinit|nss-lookup|network)/d; s/^WantedBy=sysinit/WantedBy=multi-user/' \
  "$root/usr/lib/systemd/system/systemd-resolved.service" >"$units/systemd-resolved.service"
rm -f "$units/sysinit.target.wants/systemd-resolved.service"
ln -sf ../systemd-resolved.service "$units/multi-user.target.wants/"

# 3. Nothing left for the first boot to prepare: byte code is compiled, keys and machine-id are the instance's own.
chroot "$root" python3 -m compileall -q -j 2 /usr/lib/python3 /usr/lib/python3.* >/dev/null || true  # some is Python 2
rm -rf "$root/usr/lib/python3/dist-packages/jsonschema"  # only validates; cloud-init imports 17 % less without it
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/var/cache/ldconfig/aux-cache"
: >"$root/etc/machine-id"
echo debian >"$root/etc/hostname"
echo LANG=C.UTF-8 >"$root/etc/default/locale"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* "$root"/tmp/*
touch "$root/etc/.updated" "$root/var/.updated"

# 4. Kernel, initramfs, disk. The disk itself boots with Debian's initramfs, so that kernel updates in the guest work.
kernel=$(basename "$root"/boot/vmlinuz-*)
kernel=${kernel#vmlinuz-}
cp "$root/boot/vmlinuz-$kernel" "$out/vmlinuz"
make_initrd "$root" "$kernel" "$root/usr/bin/busybox" "$out/initrd"
ln -sf "vmlinuz-$kernel" "$root/boot/vmlinuz"
ln -sf "initrd.img-$kernel" "$root/boot/initrd"
make_disk "$root" "$out" "$MIB" "$CMDLINE"
