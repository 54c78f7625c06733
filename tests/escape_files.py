"""Attempts of the escape campaign: files of other departments, other clients, the daemon and the host."""

import ctypes
import glob
import os
import re
import shutil
import struct
from pathlib import Path

from tests.escape_kit import Facts, attempt, checked, libc, need, syscall

AT_FDCWD = -100
SECRET = re.compile(rb'secret[\\": ]+([0-9a-f]{32})')


def ledger(home: str) -> str:
    """What another's ledger says of the secret."""
    data = b"".join(Path(path).read_bytes() for path in glob.glob(f"{home}/ledger.db*"))
    need(data, "nothing there")
    return ", ".join({found.decode() for found in SECRET.findall(data)})


# -- by path
@attempt("files", "read a file of another department by its path", gives="secret")
def read_file(f: Facts) -> object:
    return Path(f.vault_home, "files", "secret").read_text()


@attempt("files", "read another department's file by .. from its own directory", gives="secret")
def read_upwards(f: Facts) -> object:
    os.chdir(f.home)
    return Path("../vault/files/secret").read_text()


@attempt("files", "read another department's file by descriptors, step by step from ..", gives="secret")
def read_by_steps(f: Facts) -> object:
    at = os.open(f.home, os.O_PATH)
    for name in ("..", "vault", "files"):
        at = os.open(name, os.O_PATH, dir_fd=at)
    return os.read(os.open("secret", os.O_RDONLY, dir_fd=at), 100).decode()


@attempt("files", "read another department's file through a symbolic link of its own", gives="secret")
def read_by_symlink(f: Facts) -> object:
    link = Path(f.home, "files", "way")
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(f"{f.vault_home}/files/secret")
    try:
        return link.read_text()
    finally:
        link.unlink()


@attempt("files", "read another department's ledger", gives="secret")
def read_ledger(f: Facts) -> object:
    return ledger(f.vault_home)


@attempt("files", "read its Mai's ledger", gives="secret")
def read_mais_ledger(f: Facts) -> object:
    return ledger(f.mai_home)


@attempt("files", "read the ledger of another client's department", gives="beta_secret")
def read_clients_ledger(f: Facts) -> object:
    return ledger(f.beta_home)


@attempt("files", "read what another department has printed", gives="secret")
def read_output(f: Facts) -> object:
    return Path(f.state, "log", "acme.vault.log").read_text()


@attempt("files", "read another department's CURVE key", gives="vault_key")
def read_key(f: Facts) -> object:
    return Path(f.vault_home, "key").read_text()


@attempt("files", "read the watchdog's signing key", gives="signing_key")
def read_signing_key(f: Facts) -> object:
    return Path(f.state, "watchdog", "signing.key").read_text()


@attempt("files", "read the organisation, with the names of all clients", gives="organisation")
def read_organisation(f: Facts) -> object:
    return Path(f.state, "organisation.toml").read_text()


@attempt("files", "read a private file of the daemon's user", gives="host")
def read_host_file(f: Facts) -> object:
    return Path(f.host_file).read_text()


@attempt("files", "read another's file in /tmp", gives="host")
def read_tmp(f: Facts) -> object:
    return Path(f.tmp_file).read_text()


@attempt("files", "read another's file in /dev/shm", gives="host")
def read_shm(f: Facts) -> object:
    return Path(f.shm_file).read_text()


@attempt("files", "list another department's directory", gives="listed_name")
def list_directory(f: Facts) -> object:
    return os.listdir(f"{f.vault_home}/files")


@attempt("files", "see when another department's file was changed", gives="bait_time")
def stat_file(f: Facts) -> object:
    return os.stat(f"{f.vault_home}/files/bait").st_mtime_ns


@attempt("files", "watch another department's directory by inotify")
def watch(f: Facts) -> object:
    descriptor = syscall("inotify_init1", 0)
    return syscall("inotify_add_watch", descriptor, f"{f.vault_home}/files".encode(), 0xFFF)


# -- by other ways
@attempt("files", "read another department's file through /proc/PID/root", gives="secret")
def read_by_root(f: Facts) -> object:
    return Path(f"/proc/{f.vault_pid}/root{f.vault_home}/files/secret").read_text()


@attempt("files", "read another department's file through /proc/PID/cwd", gives="secret")
def read_by_cwd(f: Facts) -> object:
    return Path(f"/proc/{f.vault_pid}/cwd/{'../' * 12}{f.vault_home}/files/secret").read_text()


@attempt("files", "read another department's open file through /proc/PID/fd", gives="secret")
def read_by_proc(f: Facts) -> object:
    return Path(f"/proc/{f.vault_pid}/fd/{f.vault_fd}").read_text()


@attempt("files", "open another department's file by its handle", gives="secret")
def read_by_handle(f: Facts) -> object:
    path, size = f"{f.vault_home}/files/secret".encode(), 64
    handle = ctypes.create_string_buffer(struct.pack("=Ii", size, 0) + bytes(size))
    mount = ctypes.c_int()
    syscall("name_to_handle_at", AT_FDCWD, path, handle, ctypes.byref(mount), 0)
    root = os.open("/", os.O_RDONLY)
    return os.read(syscall("open_by_handle_at", root, handle, 0), 100).decode()


@attempt("files", "open the disk itself, or make a device for it")
def open_disk(f: Facts) -> object:
    node = f"{f.home}/disk"
    syscall("mknodat", AT_FDCWD, node.encode(), 0o060600, os.makedev(*f.disk))
    try:
        return len(os.read(os.open(node, os.O_RDONLY), 512))
    finally:
        os.unlink(node)


# -- changes
@attempt("files", "write to another department's file", changes="bait")
def write_file(f: Facts) -> object:
    with Path(f.vault_home, "files", "bait").open("a") as file:
        return file.write("taken")


@attempt("files", "truncate another department's file", changes="bait")
def truncate_file(f: Facts) -> None:
    os.truncate(f"{f.vault_home}/files/bait", 0)


@attempt("files", "remove another department's file", changes="bait")
def remove_file(f: Facts) -> None:
    os.unlink(f"{f.vault_home}/files/bait")


@attempt("files", "move another department's file into its own directory", changes="bait")
def move_file(f: Facts) -> None:
    os.rename(f"{f.vault_home}/files/bait", f"{f.home}/taken")
    os.unlink(f"{f.home}/taken")


@attempt("files", "make a hard link of its own to another department's file", changes="bait")
def link_file(f: Facts) -> None:
    link = f"{f.home}/linked"
    Path(link).unlink(missing_ok=True)
    os.link(f"{f.vault_home}/files/bait", link)


@attempt("files", "open another department's file to everybody (chmod)", changes="bait")
def chmod_file(f: Facts) -> None:
    os.chmod(f"{f.vault_home}/files/bait", 0o666)


@attempt("files", "change the times of another department's file", changes="bait")
def utime_file(f: Facts) -> None:
    os.utime(f"{f.vault_home}/files/bait", (1, 1))


@attempt("files", "put an extended attribute on another department's file", changes="bait")
def xattr_file(f: Facts) -> None:
    os.setxattr(f"{f.vault_home}/files/bait", "user.taken", b"1")


@attempt("files", "put a file into another department's directory", changes="planted")
def plant_file(f: Facts) -> object:
    return Path(f.vault_home, "files", "planted").write_text("here")


@attempt("files", "change the code that another department will load", changes="code")
def change_code(f: Facts) -> object:
    with Path(f.code, "victim.py").open("a") as file:
        return file.write("# changed\n")


@attempt("files", "put a module beside the installed packages", changes="package")
def plant_package(f: Facts) -> object:
    return Path(f.packages, "mai_escape_planted.py").write_text("planted = True\n")


@attempt("files", "put a compiled file where another process of the installation finds it", changes="package")
def plant_compiled(f: Facts) -> object:
    directory = Path(f.packages, "mai_escape_planted")
    directory.mkdir()
    return shutil.copy("/etc/hostname", directory)


@attempt("files", "remount its root directory so that it may write")
def remount(f: Facts) -> object:
    return checked(libc.mount(None, b"/", None, ctypes.c_ulong(32 | 4096), None), "mount")
