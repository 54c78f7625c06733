"""What Python offers no call for: system calls by name, with their numbers on x86_64 and aarch64, and prctl(2).

The numbers are the kernel's own (include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl); those of
aarch64 were taken from there and not run.
"""

import ctypes
import errno
import os
from typing import Final

ARCH: Final = os.uname().machine
KNOWN: Final = ("x86_64", "aarch64")
NEWEST: Final = 462  # the last number that this table was checked against

# The library through which a call lets other threads of Python run, and the one through which it does not.
libc: Final = ctypes.CDLL(None, use_errno=True)
held: Final = ctypes.PyDLL(None, use_errno=True)
libc.syscall.restype = held.syscall.restype = ctypes.c_long

# name = number on x86_64 / on aarch64, "-" where there is none
_TABLE: Final = """
_sysctl=156/- acct=163/89 add_key=248/217 adjtimex=159/171 bpf=321/280 capset=126/91 chmod=90/- chown=92/-
chroot=161/51 clock_adjtime=305/266 clock_settime=227/112 clone=56/220 clone3=435/435 close_range=436/436 connect=42/203
delete_module=176/106 execve=59/221 execveat=322/281 fanotify_init=300/262 fanotify_mark=301/263 fchmodat=268/53
fchmodat2=452/452 fchownat=260/54 finit_module=313/273 fsconfig=431/431 fsetxattr=190/7 fsmount=432/432 fsopen=430/430
fspick=433/433 futimesat=261/- init_module=175/105 inotify_init=253/- inotify_init1=294/26 io_uring_enter=426/426
io_uring_register=427/427 io_uring_setup=425/425 ioctl=16/29 ioperm=173/- iopl=172/- ioprio_set=251/30 kcmp=312/272
kexec_file_load=320/294 kexec_load=246/104 keyctl=250/219 landlock_create_ruleset=444/444 landlock_add_rule=445/445
landlock_restrict_self=446/446 lchown=94/- lookup_dcookie=212/18 lremovexattr=198/15 lsetxattr=189/6
memfd_create=319/279 memfd_secret=447/447 migrate_pages=256/238 mknod=133/- mknodat=259/33 modify_ldt=154/-
mount=165/40 mount_setattr=442/442 move_mount=429/429 move_pages=279/239 mq_open=240/180 mq_unlink=241/181
msgctl=71/187 msgget=68/186 msgrcv=70/188 msgsnd=69/189 name_to_handle_at=303/264 nfsservctl=180/42
open_by_handle_at=304/265 open_tree=428/428 perf_event_open=298/241 personality=135/92 pidfd_getfd=438/438
pidfd_send_signal=424/424 pivot_root=155/41 prctl=157/167 prlimit64=302/261 process_madvise=440/440
process_mrelease=448/448 process_vm_readv=310/270 process_vm_writev=311/271 ptrace=101/117 quotactl=179/60
quotactl_fd=443/443 reboot=169/142 remap_file_pages=216/234 removexattr=197/14 request_key=249/218
rt_tgsigqueueinfo=297/240 sched_setaffinity=203/122 seccomp=317/277 semctl=66/191 semget=64/190 semop=65/193
semtimedop=220/192 setdomainname=171/162 sethostname=170/161 setns=308/268 setpriority=141/140 settimeofday=164/170
setxattr=188/5 shmat=30/196 shmctl=31/195 shmget=29/194 socket=41/198 socketpair=53/199 swapoff=168/225 swapon=167/224 sysfs=139/-
syslog=103/116 umount2=166/39 unshare=272/97 uselib=134/- userfaultfd=323/282 ustat=136/- utime=132/- utimensat=280/88
utimes=235/- vhangup=153/58 vmsplice=278/75"""


def _numbers() -> dict[str, int]:
    if ARCH not in KNOWN:
        return {}
    found = (entry.partition("=") for entry in _TABLE.split())
    numbers = {name: both.split("/")[KNOWN.index(ARCH)] for name, _, both in found}
    return {name: int(number) for name, number in numbers.items() if number != "-"}


NUMBERS: Final = _numbers()  # of this machine; empty on one that is not known


def fault(what: str) -> OSError:
    """The error of the last call through `libc` or `held`."""
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def call(name: str, *arguments: object) -> int:
    """A system call; whole numbers go as 64 bits. Raises OSError, with ENOSYS where this machine has no such call."""
    if name not in NUMBERS:
        raise OSError(errno.ENOSYS, f"{name}: not known on {ARCH}")
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(libc.syscall(ctypes.c_long(NUMBERS[name]), *words))
    if result < 0:
        raise fault(name)
    return result


def prctl(option: int, *arguments: int) -> int:
    """prctl(2); its unused arguments are 0. Raises OSError."""
    words = [ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]
    result = int(libc.prctl(ctypes.c_int(option), *words))
    if result < 0:
        raise fault(f"prctl({option})")
    return result
