"""Where everything lies."""

import os
from pathlib import Path

import pytest

from mai.sandbox.errors import UsageFault
from mai.sandbox.place import SOCKET_PATH_LIMIT, Place, short


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    """A state directory that a newer version wrote is left as it is, and the error says what to do."""
    (tmp_path / "format").write_text("99\n")
    with pytest.raises(UsageFault, match="format 99") as caught:
        Place(tmp_path).prepare()
    assert "newer version" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["format"]


def test_a_directory_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    """A file in the place of the directory, or of its format, is one clear sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageFault, match="cannot be used"):
        Place(tmp_path / "file").prepare()
    (tmp_path / "format").write_text("no number")
    with pytest.raises(UsageFault, match="holds no number"):
        Place(tmp_path).prepare()


def test_sockets_elsewhere_are_found_through_the_state_directory(tmp_path: Path) -> None:
    """Who knows only the state directory of a service finds its sockets; a later start may have them elsewhere again."""
    state, run = tmp_path / "state", tmp_path / "run"
    Place(state, run).prepare()
    assert os.path.realpath(Place(state).door) == str(run / "door.d" / "door.sock")
    Place(state, state / "run").prepare()
    assert not (state / "run").is_symlink()
    Place(state, run).prepare()
    assert os.path.realpath(Place(state).run) == str(run)


def test_processes_are_listed_mai_first(tmp_path: Path) -> None:
    """Clients by name, Mai before her departments, the watchdog last."""
    place = Place(tmp_path)
    for name in ("beta/sales", "acme/support", "beta/mai", "acme/mai", "acme/engineering", "watchdog"):
        place.home(name).mkdir(parents=True)
        place.ledger(name).touch()
    assert place.processes() == ["acme/mai", "acme/engineering", "acme/support", "beta/mai", "beta/sales", "watchdog"]


def test_a_long_path_is_shortened_for_a_socket(tmp_path: Path) -> None:
    """However deep the state lies, the name given to the kernel fits and means the same file."""
    deep = tmp_path.joinpath(*["a-long-name-of-a-directory"] * 6)
    deep.mkdir(parents=True)
    (deep / "door.sock").write_text("here")
    name = short(deep / "door.sock")
    assert len(os.fsencode(deep / "door.sock")) > SOCKET_PATH_LIMIT >= len(name)
    assert Path(name).read_text() == "here"
