"""Small files that are replaced or destroyed: whoever dies on the way leaves none that has its name and not its bytes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mai.sandbox import durable, points
from mai.sandbox.errors import UsageFault

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


@pytest.mark.parametrize("left", ["erasing.json.gone", "erasing.json.part"])
@pytest.mark.parametrize("do", [lambda file: durable.rewrite(file, NEW), durable.destroy])
def test_what_somebody_has_put_there_holds_nobody_up(file: Path, left: str, do: Callable[[Path], None]) -> None:
    """A FIFO without a reader, or a link to what is another's: they lose their names, and nothing else happens."""
    other = file.with_name("other")
    other.write_bytes(OLD)
    for put in (os.mkfifo, lambda path: os.symlink(other, path)):
        put(file.with_name(left))
        do(file)
        assert not os.path.lexists(file.with_name(left)) and other.read_bytes() == OLD


def test_a_file_without_end_is_not_read(file: Path) -> None:
    """It would fill the memory of who reads it."""
    os.truncate(file, durable.MOST + 1)
    with pytest.raises(UsageFault, match="more than"):
        durable.read(file)
