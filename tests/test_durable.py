"""Small files that are replaced or destroyed: whoever dies on the way leaves none that has its name and not its bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mai.sandbox import durable, points

OLD, NEW = b"Quittenmus" * 100, b"nothing"


class Killed(BaseException):
    """The process is gone."""


def killed(point: str, do: Callable[[], object]) -> None:
    """Do something, and die at a point of it."""

    def strike(name: str) -> None:
        if name == point:
            raise Killed

    points.arm(strike)
    try:
        with pytest.raises(Killed):
            do()
    finally:
        points.arm(None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One with something in it."""
    path = tmp_path / "erasing.json"
    path.write_bytes(OLD)
    return path


def test_nobody_finds_zeros_under_the_name_of_what_is_destroyed(file: Path) -> None:
    """It loses its name first; what a death has left of it goes with the next try, also if there is a new file."""
    file.with_name(f"{file.name}.part").write_bytes(OLD)  # of who died while he wrote the next one
    durable.rewrite(file, OLD)
    killed("erase.overwritten", lambda: durable.destroy(file))
    (left,) = file.parent.iterdir()
    assert left.name == f"erasing.json{durable.GONE}" and left.read_bytes() == bytes(len(OLD))
    file.write_bytes(OLD)
    durable.destroy(file)
    assert list(file.parent.iterdir()) == []
    durable.destroy(file)  # nothing is there


def test_what_is_replaced_is_overwritten_and_its_name_always_leads_to_something_whole(file: Path) -> None:
    """Also if somebody dies on the way; the same again changes nothing."""
    held = os.open(file, os.O_RDONLY)
    try:
        killed("erase.overwritten", lambda: durable.rewrite(file, NEW))
        assert file.read_bytes() == NEW and os.pread(held, len(OLD), 0) == bytes(len(OLD))
    finally:
        os.close(held)
    durable.rewrite(file, NEW)
    assert list(file.parent.iterdir()) == [file] and file.read_bytes() == NEW


def test_a_file_that_has_another_name_stays_whole_there(file: Path) -> None:
    """A hard link elsewhere is somebody else's."""
    other = file.with_name("other")
    os.link(file, other)
    durable.destroy(file)
    assert list(file.parent.iterdir()) == [other] and other.read_bytes() == OLD


def test_the_longest_name_can_be_destroyed(tmp_path: Path) -> None:
    """The system's limit is no reason to leave it."""
    path = tmp_path / ("n" * 255)
    path.write_bytes(OLD)
    durable.destroy(path)
    assert list(tmp_path.iterdir()) == []
