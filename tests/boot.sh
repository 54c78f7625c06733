#!/usr/bin/env bash
# Boots a real systemd with two units and nothing else: ROOM/mai.service, and ROOM/probe.service which looks at it.
#
#     boot.sh ROOM KEPT...      ROOM below /dev/shm; each KEPT directory stays visible though /tmp and /root are hidden
#
# systemd runs as PID 1 of namespaces of its own, over empty /run, /tmp and /var/lib, so that it finds nothing of the host to tend.
set -euo pipefail
export room=$1; shift
export kept=$*
exec unshare --pid --mount --uts --ipc --cgroup --net --fork --kill-child bash -euc '
  mount --make-rprivate /
  mount -o remount,bind,ro /  # nothing in there may change what is the host'"'"'s
  mount -t proc proc /proc
  number=0
  for one in $kept; do
    number=$((number + 1)); mkdir -p "$room/kept/$number"; mount --rbind "$one" "$room/kept/$number"
  done
  for one in /run /var/lib /root; do mount -t tmpfs -o mode=755 tmpfs "$one"; done
  for one in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs "$one"; done
  number=0
  for one in $kept; do
    number=$((number + 1)); mkdir -p "$one"; mount --rbind "$room/kept/$number" "$one"
  done
  umount -R /sys/fs/cgroup 2>/dev/null || true
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  mkdir -p /run/systemd/system
  cp "$room/mai.service" "$room/probe.service" /run/systemd/system/
  cp "$room/key" /run/mai.key  # systemd itself mounts over /dev/shm while it reads credentials
  cp -a "$room/o" /run/organisation
  for one in tmpfiles-setup tmpfiles-clean tmpfiles-setup-dev sysctl udevd udev-trigger modules-load remount-fs random-seed \
             update-utmp machine-id-commit sysusers journal-flush resolved timesyncd; do
    ln -sf /dev/null "/run/systemd/system/systemd-$one.service"
  done
  ip link set lo up 2>/dev/null || true
  container=unshare exec "$(command -v /lib/systemd/systemd || command -v /usr/lib/systemd/systemd)" \
    --system --unit=probe.service --log-target=console --log-level=warning
'
