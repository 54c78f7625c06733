"""Imports of the users' files: they work, and leave nothing beside the sources."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from mai.agents.imports import import_from
import_from(Path(sys.argv[1]), Path(sys.argv[2]))
import_from(Path(sys.argv[1]), Path(sys.argv[2]))
import company.prices
import json.tool
print(company.prices.price(), sys.pycache_prefix)
"""


def run(base: Path, cache: Path) -> str:
    """Import a module of the users' in a process of its own."""
    command = [sys.executable, "-P", "-c", CODE, str(base), str(cache)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


def test_what_is_compiled_lies_in_the_cache(tmp_path: Path) -> None:
    """A module in a folder beside the organisation file imports another; both are compiled, and nothing lies beside them."""
    base, cache = tmp_path / "base", tmp_path / "cache"
    (base / "company").mkdir(parents=True)
    (base / "company" / "prices.py").write_text("from company.rates import RATE\n\ndef price():\n    return 2 * RATE\n")
    (base / "company" / "rates.py").write_text("RATE = 21\n")
    before = sorted(base.rglob("*"))
    assert run(base, cache) == "42 None"
    assert sorted(base.rglob("*")) == before
    compiled = sorted(path.name.split(".")[0] for path in cache.rglob("*.pyc"))
    assert compiled == ["prices", "rates"], "the standard library has its own"
    (base / "company" / "rates.py").write_text("RATE = 210\n")
    assert run(base, cache) == "420 None", "a changed file is compiled again"
