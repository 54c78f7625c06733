"""Is the file of a ledger all there? What SQLite itself would see only when it needs the part that is gone.

A database's pages may stand in the write-ahead log instead of the file, so a short file alone is no fault: the pages behind
its end have to be in the log (sqlite.org/fileformat2.html#walformat).
"""

import os
from pathlib import Path

_WAL_HEADER, _FRAME_HEADER = 32, 24


def gone(path: Path, page_bytes: int, pages: int) -> str:
    """Which bytes of a database of so many pages are neither in its file nor in its log; "" if none are."""
    size = path.stat().st_size
    if size >= page_bytes * pages:
        return ""
    logged = _logged(path.with_name(f"{path.name}-wal"), page_bytes)
    lacking = [page for page in range(size // page_bytes + 1, pages + 1) if page not in logged]
    if not lacking:
        return ""
    return f"it ends after {size:,} bytes and should have {page_bytes * pages:,}: pages {lacking[0]} to {lacking[-1]} are missing"


def _logged(log: Path, page_bytes: int) -> set[int]:
    """The pages that stand in a log."""
    found: set[int] = set()
    try:
        file = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return found
    try:
        at, step, salts = _WAL_HEADER, _FRAME_HEADER + page_bytes, os.pread(file, 8, 16)
        while len(data := os.pread(file, 16, at)) == 16 and data[8:] == salts:  # others are left from before the last checkpoint
            found.add(int.from_bytes(data[:4], "big"))
            at += step
    finally:
        os.close(file)
    return found
