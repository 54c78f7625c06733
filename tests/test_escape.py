"""The escape campaign in short: `make escape` plays all of it, in all configurations, as root and as an ordinary user."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mai.daemon.walling import report_of
from tests import escape_inside  # noqa: F401  # registers the attempts
from tests.escape_kit import ATTEMPTS
from tests.escape_report import CLASSES
from tests.escape_world import World, world

ROOT = Path(__file__).parent.parent
QUICK = [one for one in ATTEMPTS.values() if one.group not in ("messages", "resources", "journal") and one.changes != "survivor"]
EVERYWHERE = """
read_file read_by_symlink read_ledger read_mais_ledger read_clients_ledger read_key read_signing_key read_organisation
list_directory stat_file write_file remove_file link_file chmod_file plant_file change_code see_process read_command
signal_watchdog signal_supervisor kill connect_host connect_abstract operators_door clients_door others_mai offer_socket tcp
udp listen start_program write_code
""".split()
ON_THE_WIRE = """
no_key other_sender other_route as_mai past_mai no_contract contract_of_another answer_for_another replay reorder garbage
""".split()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Everybody may go through it: the processes inside are other users, if we are root."""
    path = Path(tempfile.mkdtemp(prefix="mai-escape-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def walled(directory: Path) -> Iterator[World]:
    """A daemon with all walls that this host gives."""
    (own := directory / "walled").mkdir()
    with world(own, None) as one:
        if (fault := report_of(one.place)) is not None:
            pytest.skip(fault.sentence)
        yield one


@pytest.fixture(scope="module")
def unconfined(directory: Path) -> Iterator[World]:
    """A daemon without walls."""
    (own := directory / "unconfined").mkdir()
    with world(own, "") as one:
        yield one


@pytest.mark.seconds(300)
def test_nothing_gets_out_that_is_not_listed(walled: World) -> None:
    """Behind all walls no attempt on files, processes, sockets, network and kernel works but those of the threat model."""
    made = {one.name: walled.make(one) for one in QUICK}
    got_out = {name: said for name, (worked, said) in made.items() if worked and not ATTEMPTS[name].listed}
    assert not got_out
    silent = {name: said for name, (_, said) in made.items() if said.startswith(("no answer", "no child"))}
    assert not silent, "an attempt that was not made proves nothing"


@pytest.mark.seconds(300)
def test_the_attempts_work_without_walls(unconfined: World) -> None:
    """Those that any host lets through: what they report from behind the walls is the walls' doing."""
    made = {name: unconfined.make(ATTEMPTS[name]) for name in EVERYWHERE}
    assert {name: said for name, (worked, said) in made.items() if not worked} == {}


@pytest.mark.seconds(300)
def test_messages_in_others_names_change_nothing(walled: World) -> None:
    """Whatever a department sends with its own key, nobody hears it as another's word, and Mai goes on."""
    made = {name: walled.make(ATTEMPTS[name]) for name in ON_THE_WIRE}
    assert {name: said for name, (worked, said) in made.items() if worked} == {}
    assert "forgery" in made["other_sender"][1], "it reached Mai, who refused it"


def test_the_threat_model_names_what_works() -> None:
    """Each attempt that is expected to work stands in SECURITY.md, which counts the attempts of each class as they are."""
    text = (ROOT / "SECURITY.md").read_text()
    assert {one.listed for one in ATTEMPTS.values() if one.listed and one.listed not in text} == set()
    for group, name in CLASSES.items():
        assert f"| {name} ({sum(one.group == group for one in ATTEMPTS.values())}) |" in text, group
    assert re.search(rf"in {len(ATTEMPTS)} ways", (ROOT / "Makefile").read_text())
