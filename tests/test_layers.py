"""The shape of the tree: imports run one way, pure files stay pure, and nothing lands under a bare name."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("sandbox", "agents", "daemon", "cli")  # each may import from itself and from those before it
LONGEST = 400  # lines in one file
EFFECTS = frozenset(
    "asyncio concurrent logging multiprocessing os pysqlite3 random secrets select selectors shutil signal socket sqlite3"
    " sqlite_utils subprocess tempfile threading time uuid zmq".split()
)
CLOCKS = frozenset({"now", "today", "utcnow"})  # methods of date and datetime that read the clock
FREE = "mai.sandbox.errors"  # only classes; pure files may raise them


def sources(root: Path) -> dict[str, Path]:
    """Module name -> file, for all that is installed."""
    files = [file for layer in LAYERS for file in (root / layer).rglob("*.py")] + list(root.glob("*.py"))
    parts = {file: ("mai", *file.relative_to(root).with_suffix("").parts) for file in files}
    return {".".join(part for part in parts[file] if part != "__init__"): file for file in sorted(files)}


def imports(module: str, file: Path) -> set[str]:
    """The absolute names of all that a file imports, at any depth. `from a import b` gives `a` and `a.b`."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (base, node.module) if part)
            found |= {base} | {f"{base}.{name.name}" for name in node.names}
    return found


def upward(root: Path) -> list[str]:
    """Every import that runs against the order of the layers, or uses a layer's bare name."""
    faults = []
    for module, file in sources(root).items():
        height = LAYERS.index(module.split(".")[1])
        for name in sorted(imports(module, file)):
            first, second, *_ = (*name.split("."), "", "")
            if first in LAYERS:
                faults.append(f"{module} imports {name} without `mai.`")
            elif first == "mai" and second in LAYERS and LAYERS.index(second) > height:
                faults.append(f"{module} imports {name}, which lies above it")
    return faults


def is_pure(file: Path) -> bool:
    """Whether the first paragraph of a file's docstring says `Pure.`"""
    docstring = ast.get_docstring(ast.parse(file.read_text(), str(file))) or ""
    return re.search(r"\bPure\.", docstring.split("\n\n")[0]) is not None


def acts(file: Path) -> Iterator[str]:
    """Calls that reach outside without an import: open() and the clock of datetime."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}:
            yield f"{node.func.id}()"
        elif isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS and not node.args:
            owner = ast.unparse(node.func.value)
            if owner.split(".")[-1] in {"date", "datetime"}:
                yield f"{owner}.{node.func.attr}()"


def impure(root: Path) -> list[str]:
    """Every reason why a file that calls itself pure is not; one of our files that it imports must be pure too."""
    modules = sources(root)
    faults = []
    for module in (name for name, file in modules.items() if is_pure(file)):
        names = imports(module, modules[module])
        faults += [f"{module} imports {name}" for name in sorted(names) if name.split(".")[0] in EFFECTS]
        ours = sorted(name for name in names & modules.keys() if modules[name].name != "__init__.py" and name != FREE)
        faults += [f"{module} imports {name}, which is not pure" for name in ours if not is_pure(modules[name])]
        faults += [f"{module} calls {call}" for call in acts(modules[module])]
    return faults


def in_repository() -> list[Path]:
    """Every text file that belongs to the project: all that git knows or would add; without git, all but hidden."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(git, capture_output=True, check=True, text=True).stdout.split("\0")
    except (FileNotFoundError, subprocess.CalledProcessError):
        names = [str(file.relative_to(ROOT)) for file in ROOT.rglob("*")]
        names = [name for name in names if not re.search(r"(^|/)(\.|build/|dist/|__pycache__/)", name)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


def test_imports_run_one_way() -> None:
    """No file imports from a layer above its own, however the import is written."""
    assert len(sources(ROOT)) > len(LAYERS)
    assert upward(ROOT) == []


def test_pure_files_are_pure() -> None:
    """A file that calls itself pure reaches no clock, randomness, storage or socket, by itself or through another."""
    assert any(is_pure(file) for file in sources(ROOT).values())
    assert impure(ROOT) == []


@pytest.mark.parametrize(
    "text",
    [
        "import mai.daemon.watchdog",
        "from mai.daemon import watchdog",
        "from mai import cli",
        "from ..daemon import watchdog",
        "from .. import daemon",
        "import daemon.watchdog",
        "from daemon import watchdog",
        "def late():\n    from mai.daemon.watchdog import watch",
        "if False:\n    import mai.cli as command",
    ],
)
def test_an_upward_import_is_seen(tmp_path: Path, text: str) -> None:
    """The check above finds every way to write an import that runs upwards."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "here.py").write_text(text)
    assert upward(tmp_path)


def test_a_downward_import_is_allowed(tmp_path: Path) -> None:
    """The check above lets pass what runs downwards, stays in its layer, or only sounds like a layer."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "here.py").write_text(
        "import agentscope, zmq\nfrom . import table\nfrom .. import sandbox\nfrom mai.sandbox.place import Place\n"
    )
    assert upward(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "import os.path",
        "from time import monotonic",
        "def late():\n    import pysqlite3.dbapi2",
        "from mai.agents.shell import turn",
        "from . import shell",
        "import datetime\nat = datetime.datetime.now()",
        "text = open('notes')",
    ],
)
def test_an_impure_file_is_seen(tmp_path: Path, text: str) -> None:
    """The check above finds what makes a file impure, also one step away."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "shell.py").write_text('"""The edge."""\nimport os')
    (tmp_path / "agents" / "here.py").write_text(f'"""Decides. Pure.\n\nMore.\n"""\n{text}')
    assert impure(tmp_path)


def test_purity_is_claimed_in_the_first_paragraph(tmp_path: Path) -> None:
    """A file that only speaks of purity further down claims nothing; one that claims it may import the errors."""
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "errors.py").write_text("import os")
    (tmp_path / "sandbox" / "here.py").write_text('"""Acts.\n\nWhat it calls is Pure.\n"""\nimport os')
    (tmp_path / "sandbox" / "there.py").write_text('"""Decides. Pure."""\nfrom mai.sandbox.errors import Refused\nimport math')
    assert impure(tmp_path) == []


def test_the_root_holds_no_other_module() -> None:
    """cli.py is the only Python file at the root: any other would be installed with it."""
    assert [file.name for file in ROOT.glob("*.py")] == ["cli.py"]


def test_no_file_is_long() -> None:
    """A file that has outgrown one screenful of ideas is to be divided."""
    lengths = {module: len(file.read_text().splitlines()) for module, file in sources(ROOT).items()}
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST} == {}


def test_no_path_of_a_machine() -> None:
    """No file of the project names a directory that only its author's machine has."""
    machine = re.compile(r"(?<![\w.*~-])/(work|root|home)/\w")
    texts = {file: file.read_bytes().decode(errors="replace") for file in in_repository()}
    assert len(texts) > len(LAYERS)
    found = [f"{file.relative_to(ROOT)}: {match[0]}" for file, text in texts.items() for match in machine.finditer(text)]
    assert found == []


def test_bare_names_are_not_importable(tmp_path: Path) -> None:
    """What is installed is `mai`; `daemon`, `agents`, `sandbox` and `cli` stay free for other distributions."""
    code = (
        "import importlib.util, sys, mai.daemon, mai.agents.messages, mai.sandbox.place\n"
        f"for name in {LAYERS!r}:\n"
        "    assert name not in sys.modules, name\n"
        "    spec = importlib.util.find_spec(name)\n"
        f"    assert spec is None or not (spec.origin or '').startswith({str(ROOT)!r}), spec\n"
    )
    ran = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_the_tests_see_no_bare_names() -> None:
    """The tests themselves import our code as `mai`, so they test what is installed."""
    ours = {name: getattr(sys.modules[name], "__file__", None) or "" for name in LAYERS if name in sys.modules}
    assert not [name for name, file in ours.items() if file.startswith(str(ROOT))]
