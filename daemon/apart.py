"""Work that root does as nobody: in a child that has given up its user, and sees no file but those that it has open.

Who may only read has the daemon ask his question in SQL, and the daemon may be root; so may be who asks himself. SQLite then
works on a question and a file that others have written. Should it be made to do more than to answer, it is nobody's process in
an empty directory that does it.
"""

import contextlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any, Final

import msgspec

from mai.daemon.reader import NotFound
from mai.sandbox.errors import Expired, LedgerFault, MaiError, Refused, UsageFault

NOBODY: Final = 65534
FAULTS: Final = {one.__name__: one for one in (NotFound, UsageFault, Refused, Expired, LedgerFault)}
READ_BYTES: Final = 1 << 20


def done(work: Callable[[Callable[[], None]], Any]) -> Any:
    """What `work` returns, as msgpack has it: strings, numbers, bytes, lists. It calls what it is given when all files are open.

    Raises what it raises of MaiError, OSError. Who is not root does it here.
    """
    if os.geteuid():
        return work(lambda: None)
    reads, writes = os.pipe()
    with tempfile.TemporaryDirectory(prefix="mai-") as room:
        child = os.fork()
        if not child:
            os.close(reads)
            _child(work, room, writes)
        os.close(writes)
        try:
            return _result(_all(reads))
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
        finally:
            os.close(reads)
            os.waitpid(child, 0)


def _all(reads: int) -> bytes:
    data = b""
    while more := os.read(reads, READ_BYTES):
        data += more
    return data


def _result(data: bytes) -> Any:
    found = msgspec.msgpack.decode(data) if data else ["LedgerFault", "the question ended the process that worked on it", ""]
    match found:
        case [result]:
            return result
        case [str(name), sentence, hint]:
            raise FAULTS.get(name, MaiError)(sentence, hint)
        case [number, said, path]:
            raise OSError(number, said, path)
    raise AssertionError(found)


def _child(work: Callable[[Callable[[], None]], Any], room: str, writes: int) -> None:
    """Never returns: whatever happens, nothing of the parent's goes on in here."""
    try:
        try:
            result = [work(lambda: _nobody(room))]
        except MaiError as error:
            result = [type(error).__name__, error.sentence, error.hint]
        except OSError as error:
            result = [error.errno, error.strerror, error.filename and str(error.filename)]
        data = msgspec.msgpack.encode(result)
        while data:
            data = data[os.write(writes, data) :]
    except Exception:  # a bug of ours: the parent says only that there is no answer
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _nobody(room: str) -> None:
    """Give it all up, as far as this host lets root do so."""
    with contextlib.suppress(PermissionError):
        os.chroot(room)
        os.chdir("/")
    with contextlib.suppress(PermissionError):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
