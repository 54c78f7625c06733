"""What is shipped: the sdist is complete, and the wheel built from it holds our files and no others."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "daemon", "sandbox")
NOT_OURS = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2])"


def build(kind: str, source: Path, target: Path) -> Path:
    """Build an sdist or a wheel with the environment's own setuptools: needs no network, leaves the tree as it is."""
    command = [sys.executable, "-P", "-c", BUILD, kind, str(target)]
    ran = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return next(target.glob("*.tar.gz" if kind == "sdist" else "*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the sdist built from a copy of the tree, in which a module was deleted after a build."""
    room = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, room / "tree", ignore=NOT_OURS)
    for package in PACKAGES:
        stale = room / "tree" / "build" / "lib" / "mai" / package
        stale.mkdir(parents=True)
        (stale / "deleted.py").write_text("")
    for name in ("sdist", "unpacked", "wheel"):
        (room / name).mkdir()
    with tarfile.open(build("sdist", room / "tree", room / "sdist")) as archive:
        if hasattr(tarfile, "data_filter"):  # not before 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(room / "unpacked")
    return build("wheel", next((room / "unpacked").iterdir()), room / "wheel")


def files(folder: str) -> set[str]:
    """All files in a folder of the root, but what Python compiled."""
    found = (file for file in (ROOT / folder).rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {str(file.relative_to(ROOT)) for file in found}


def test_the_wheel_holds_exactly_ours(wheel: Path) -> None:
    """Every file of the packages and of etc/ is in it, each in its place; no test, stale or stray module is."""
    names = zipfile.ZipFile(wheel).namelist()
    data = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/mai/"
    shipped = {name.removeprefix(data) for name in names if name.startswith(data)}
    modules = {name for name in names if not name.startswith(data) and ".dist-info/" not in name}
    assert modules == {f"mai/{name}" for package in PACKAGES for name in files(package)} | {"mai/cli.py"}
    assert shipped == {name.removeprefix("etc/") for name in files("etc")}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """It installs one command, carries the license, and asks for no more than its run needs."""
    archive = zipfile.ZipFile(wheel)
    info = {name.split(".dist-info/")[1]: name for name in archive.namelist() if ".dist-info/" in name}
    commands = ConfigParser()
    commands.read_string(archive.read(info["entry_points.txt"]).decode())
    assert {section: dict(commands[section]) for section in commands.sections()} == {"console_scripts": {"mai": "mai.cli:main"}}
    assert any(name.endswith("LICENSE") for name in info)
    needs = [line for line in archive.read(info["METADATA"]).decode().splitlines() if line.startswith("Requires-Dist:")]
    assert needs
    assert all("<" in line for line in needs if "extra ==" not in line), "a dependency without an upper bound"


def test_pyproject_is_the_build_system_only() -> None:
    """setup.cfg is the one place for metadata and settings."""
    assert [line.split()[0] for line in (ROOT / "pyproject.toml").read_text().splitlines()] == [
        "[build-system]",
        "requires",
        "build-backend",
    ]


def test_the_version_in_the_code_is_that_of_the_distribution():
    """What a journal names as its version is what setup.cfg gives the package."""
    from mai.sandbox.version import VERSION

    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    assert metadata["metadata"]["version"] == VERSION
