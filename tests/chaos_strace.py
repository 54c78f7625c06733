"""strace as the hand that strikes: a process that runs is traced, and its nth call of a kind kills it or fails."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PATIENCE_S = 20.0


def missing() -> str:
    """Why there can be no such fault here; "" if there can."""
    if not shutil.which("strace"):
        return "strace is not installed"
    ran = subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace: {ran.stderr.strip()[:200]}" if ran.returncode else ""


class Trace:
    """One process under strace, until `end`."""

    def __init__(self, pid: int, call: str, inject: str, directory: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix="strace.", dir=directory)
        os.close(descriptor)
        self._log = Path(name)
        command = ["strace", "-f", "-qq", "-p", str(pid), "-o", name, "-e", f"trace={call}", "-e", f"inject={call}:{inject}"]
        self._kills = "signal=KILL" in inject
        self._strace = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def ended(self) -> bool:
        """Is the process gone?"""
        return self._strace.poll() is not None

    @property
    def injected(self) -> bool:
        """Has it struck?"""
        text = self._log.read_text(errors="replace")
        return "killed by SIGKILL" in text if self._kills else "(INJECTED)" in text

    def end(self) -> bool:
        """Leave the process alone; did it strike?"""
        self._strace.terminate()
        try:
            self._strace.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._strace.kill()
            self._strace.wait()
        struck = self.injected
        self._log.unlink()
        return struck
