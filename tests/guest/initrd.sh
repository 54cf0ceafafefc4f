#!/busybox sh
# Process 1 of the initrd: the modules, the root, and then `init=` of the kernel's command line.
/busybox mount -t devtmpfs dev /dev
/busybox mount -t proc proc /proc
/busybox mount -t sysfs sys /sys
for module in $(/busybox cat /m/order); do /busybox insmod "$module"; done
tries=0
until [ -b /dev/vda ] || [ $tries = 600 ]; do /busybox sleep 0.1; tries=$((tries + 1)); done
/busybox mount -t ext4 -o rw /dev/vda /root || { echo "GUEST: the root cannot be mounted"; /busybox poweroff -f; }
init=/lib/systemd/systemd
for word in $(/busybox cat /proc/cmdline); do case $word in guest.init=*) init=${word#guest.init=} ;; esac; done
/busybox umount /proc
/busybox umount /sys
/busybox umount /dev
exec /busybox switch_root /root "$init"
