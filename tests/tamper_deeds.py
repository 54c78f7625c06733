"""What somebody does to a state directory who knows it well: each deed, and that `mai verify` names it.

A deed is done to a copy, without the triggers (they are put back), with check values and, where it says so, the chain of digests
computed anew. `how` says who finds it: a plain run, one that folds the state, a warning of a plain run, or only what lies
elsewhere (a checkpoint; what `--since` remembers).
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pysqlite3 as sqlite3

from mai.agents.events import Received, Sent
from mai.daemon import checkpoint
from mai.daemon.heads import KIND as SIGNED
from mai.daemon.heads import HeadsSigned
from mai.daemon.verified import File
from mai.daemon.verify import verify
from mai.sandbox import made
from mai.sandbox.ledger import Ledger, chain
from mai.sandbox.place import Place
from mai.sandbox.signing import Signer
from tests.test_verify import anew, tamper, value

COLUMNS: Final = "seq, at_ns, term, boot, kind, request, task, agent, body, prev, digest"
HOUR_NS: Final = 3600 * 10**9
WATCHDOG: Final = "watchdog"

Change = Callable[[sqlite3.Connection], object]
DEEDS: "dict[str, tuple[str, Callable[[Scene], object]]]" = {}


class Scene(NamedTuple):
    """A copy, and what there was before."""

    place: Place
    older: Place
    mai: str
    busy: str  # the department with the most records in its ledger
    long: str = ""  # the one with a segment

    def last(self, process: str) -> int:
        """The number of a journal's last record."""
        return int(value(self.place, process, "SELECT MAX(seq) FROM journal"))

    def middle(self, process: str) -> int:
        """A record with others of all kinds before and behind it."""
        return int(value(self.place, process, "SELECT (MIN(seq) + MAX(seq)) / 2 FROM journal"))

    def do(self, process: str, *changes: str | Change, since: int = 0) -> None:
        """Change a ledger, and compute its chain anew from a record on, if there is to be one."""
        for change in changes:
            tamper(self.place, process, change)
        if since:
            tamper(self.place, process, lambda db: anew(db, since))


def deed(how: str = "plain") -> Callable[[Callable[[Scene], object]], Callable[[Scene], object]]:
    """One that is found so; its docstring is its name."""

    def add(work: Callable[[Scene], object]) -> Callable[[Scene], object]:
        DEEDS[str(work.__doc__).rstrip(".")] = (how, work)
        return work

    return add


def settled(place: Place, older: Place) -> Scene:
    """Who is who."""
    names = [process for process in place.processes() if "/" in process]
    mai = next(name for name in names if name.endswith("/mai"))
    busy = max((name for name in names if name != mai), key=lambda name: int(value(place, name, "SELECT COUNT(*) FROM journal")))
    long = next((name for name in names if list(place.home(name).glob("*.segment"))), "")
    return Scene(place, older, mai, busy, long)


def play(place: Place, older: Place, directory: Path, say: Callable[[str], None]) -> list[str]:
    """Do each; what was not found, or not named."""
    file = directory.with_suffix(".checkpoint")
    file.write_text(checkpoint.take(place)[1])
    memory = File(place, directory.with_suffix(".since"))
    verify(place, keep=memory.write)
    missed = []
    for name, (how, work) in DEEDS.items():
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(place.state, directory / "state")
        scene = settled(Place(directory / "state"), older)
        work(scene)
        said = found(scene.place, how, file, memory)
        say(f"{name}: {said[:200] if said else 'NOT FOUND'}")
        missed += [] if said else [f"deed: {name}"]
    return missed


def found(place: Place, how: str, file: Path, memory: File) -> str:
    """What was found of it, in words; "" if nothing was, or if it was found where it is said that it cannot be."""
    plain = verify(place, state=how == "state")
    if how == "warning":
        return plain.warnings[0].what if plain.sound and plain.warnings else ""
    if how != "elsewhere":
        return next((f"{one.process}: {one.what}" for one in plain.findings), "")
    if not plain.sound:
        return ""
    told = (verify(place, against=checkpoint.read(file)), verify(place, memory=memory.read(), full=False))
    first = [f"{report.findings[0].process}: {report.findings[0].what}" for report in told if report.findings]
    return " / ".join(first) if len(first) == len(told) else ""


# -- records
@deed()
def _changed(scene: Scene) -> None:
    """A record changed, with a digest that fits it."""
    seq = scene.middle(scene.busy)

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET body = replace(body, '{', '{\"x\":1,') WHERE seq = ?", (seq,))
        row = db.execute(f"SELECT {COLUMNS} FROM journal WHERE seq = ?", (seq,)).fetchone()
        db.execute("UPDATE journal SET digest = ? WHERE seq = ?", (chain(row[9], row[0], row[1], row[2], row[3:9]), seq))

    scene.do(scene.busy, change)


@deed()
def _rewritten(scene: Scene) -> None:
    """A record changed, and the chain computed anew from there on."""
    seq = scene.middle(scene.busy)
    scene.do(scene.busy, f"UPDATE journal SET agent = agent || 'x' WHERE seq = {seq}", since=seq)


@deed()
def _rewritten_mai(scene: Scene) -> None:
    """The same in Mai's journal."""
    seq = scene.middle(scene.mai)
    scene.do(scene.mai, f"UPDATE journal SET agent = agent || 'x' WHERE seq = {seq}", since=seq)


@deed()
def _removed(scene: Scene) -> None:
    """A record removed."""
    scene.do(scene.busy, f"DELETE FROM journal WHERE seq = {scene.middle(scene.busy)}")


@deed()
def _removed_anew(scene: Scene) -> None:
    """A record removed, the others numbered and chained anew."""
    seq = scene.middle(scene.busy)
    scene.do(scene.busy, f"DELETE FROM journal WHERE seq = {seq}", _moved(seq, -1), since=seq)


@deed()
def _inserted(scene: Scene) -> None:
    """A record inserted, the others numbered and chained anew."""
    seq = scene.middle(scene.busy)
    copy = f"INSERT INTO journal SELECT {COLUMNS.replace('seq', str(seq), 1)} FROM journal WHERE seq = {seq + 1}"
    scene.do(scene.busy, _moved(seq - 1, 1), copy, since=seq)


@deed()
def _reordered(scene: Scene) -> None:
    """Two records in each other's place, chained anew."""
    seq = scene.middle(scene.busy)

    def change(db: sqlite3.Connection) -> None:
        for old, new in ((seq, -1), (seq + 1, seq), (-1, seq + 1)):
            db.execute("UPDATE journal SET seq = ? WHERE seq = ?", (new, old))

    scene.do(scene.busy, change, since=seq)


def _moved(after: int, by: int) -> Change:
    """All records behind one get other numbers."""

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE journal SET seq = -(seq + ?) WHERE seq > ?", (by, after))
        db.execute("UPDATE journal SET seq = -seq WHERE seq < 0")

    return change


@deed()
def _cut(scene: Scene) -> None:
    """The last records cut."""
    scene.do(scene.busy, f"DELETE FROM journal WHERE seq > {scene.last(scene.busy) - 5}")


@deed()
def _cut_by_one(scene: Scene) -> None:
    """The last record cut, alone."""
    scene.do(scene.busy, f"DELETE FROM journal WHERE seq = {scene.last(scene.busy)}")


@deed()
def _invented(scene: Scene) -> None:
    """A message that was never sent, in the journal of its receiver."""
    query = "SELECT body FROM journal WHERE kind = ? ORDER BY seq DESC LIMIT 1"
    body = msgspec.json.decode(value(scene.place, scene.mai, query, Received.kind))
    body |= {"lseq": body["lseq"] + 1, "id": "invented"}
    ledger = Ledger(scene.place.ledger(scene.mai), scene.mai)
    ledger.append(Received.kind, msgspec.json.encode(body), request=body["request"], task=body["task"])
    ledger.commit()
    ledger.close()


@deed()
def _other_words(scene: Scene) -> None:
    """A message with other words at its sender, chained anew."""
    query = "SELECT MAX(seq) FROM journal WHERE kind = ?"
    seq = value(scene.place, scene.busy, query, Sent.kind)
    scene.do(scene.busy, f"UPDATE journal SET body = replace(body, '\"id\":', '\"id\": ') WHERE seq = {seq}", since=seq)


@deed("warning")
def _clock(scene: Scene) -> None:
    """The clock set back, and written on."""
    ledger = Ledger(scene.place.ledger(scene.busy), scene.busy)
    before = ledger.head
    ledger.append("note", b"{}")
    ledger.commit()
    ledger.close()
    seq = scene.last(scene.busy)
    assert before
    scene.do(scene.busy, f"UPDATE journal SET at_ns = at_ns - {HOUR_NS * 48} WHERE seq = {seq}", since=seq)


# -- ledgers
@deed()
def _older(scene: Scene) -> None:
    """One ledger replaced by an older copy."""
    _put(scene.older, scene.busy, scene.place, scene.busy)


@deed()
def _older_mai(scene: Scene) -> None:
    """Mai's ledger replaced by an older copy."""
    _put(scene.older, scene.mai, scene.place, scene.mai)


@deed()
def _older_watchdog(scene: Scene) -> None:
    """The watchdog's ledger replaced by an older copy."""
    _put(scene.older, WATCHDOG, scene.place, WATCHDOG)


@deed()
def _swapped(scene: Scene) -> None:
    """Two ledgers swapped."""
    _swap(scene)


@deed()
def _swapped_named(scene: Scene) -> None:
    """Two ledgers swapped, and each named after its new place."""
    _swap(scene)
    for process in (scene.mai, scene.busy):
        scene.do(process, f"UPDATE meta SET value = '{process}' WHERE key = 'process'")


@deed()
def _gone(scene: Scene) -> None:
    """A ledger removed, with the file that says that there was one."""
    for name in ("ledger.db", "ledger.made"):
        (scene.place.home(scene.busy) / name).unlink()


def _put(source: Place, process: str, to: Place, other: str) -> None:
    shutil.copyfile(source.ledger(process), to.ledger(other))


def _swap(scene: Scene) -> None:
    one, two = scene.place.ledger(scene.mai), scene.place.ledger(scene.busy)
    one.rename(one.with_name("x"))
    two.rename(one)
    one.with_name("x").rename(two)


# -- beside the records
@deed()
def _blob_gone(scene: Scene) -> None:
    """A blob removed."""
    scene.do(_with_blobs(scene), "DELETE FROM blob WHERE address = (SELECT MIN(address) FROM blob)")


@deed()
def _blob_other(scene: Scene) -> None:
    """A blob in another's place."""
    scene.do(_with_blobs(scene), "UPDATE blob SET value = CAST('other' AS BLOB) WHERE address = (SELECT MAX(address) FROM blob)")


def _with_blobs(scene: Scene) -> str:
    names = (process for process in scene.place.processes() if value(scene.place, process, "SELECT COUNT(*) FROM blob"))
    return next(names)


@deed("state")
def _state(scene: Scene) -> None:
    """A row of state changed, with a check value that fits it."""
    scene.do(scene.mai, "UPDATE state SET value = replace(value, '}', ',\"x\":1}') WHERE noun = 'answer'")


@deed("state")
def _state_gone(scene: Scene) -> None:
    """A row of state removed."""
    scene.do(scene.mai, "DELETE FROM state WHERE noun = 'answer'")


@deed()
def _link(scene: Scene) -> None:
    """A cursor of a link changed."""
    scene.do(scene.mai, "UPDATE state SET value = replace(value, '\"received\":', '\"received\":1') WHERE noun = 'link'")


@deed()
def _trigger(scene: Scene) -> None:
    """A trigger that does nothing any more."""
    with_nothing = "CREATE TRIGGER journal_update BEFORE UPDATE ON journal BEGIN SELECT 1; END"
    _schema(scene, "DROP TRIGGER journal_update", with_nothing)


@deed()
def _dropped(scene: Scene) -> None:
    """A trigger dropped."""
    _schema(scene, "DROP TRIGGER journal_delete")


@deed()
def _view(scene: Scene) -> None:
    """A trigger added, that acts on what is written."""
    _schema(scene, "CREATE TRIGGER mine AFTER INSERT ON state BEGIN DELETE FROM state WHERE noun = 'task'; END")


@deed()
def _index(scene: Scene) -> None:
    """The index of requests dropped."""
    _schema(scene, "DROP INDEX journal_request")


@deed()
def _rotated(scene: Scene) -> None:
    """The first records gone, as if they had been rotated away."""
    seq = scene.middle(scene.mai)

    def change(db: sqlite3.Connection) -> None:
        (head,) = db.execute("SELECT digest FROM journal WHERE seq = ?", (seq,)).fetchone()
        db.execute("DELETE FROM journal WHERE seq <= ?", (seq,))
        db.execute("INSERT INTO rotated VALUES(1, ?, ?)", (seq, head))

    scene.do(scene.mai, change)


def _schema(scene: Scene, *statements: str) -> None:
    db = sqlite3.connect(str(scene.place.ledger(scene.busy)), isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


# -- what was taken out of the journal
@deed()
def _segment_gone(scene: Scene) -> None:
    """A segment removed."""
    _segment(scene).unlink()


@deed()
def _segment_cut(scene: Scene) -> None:
    """A segment that ends a byte earlier."""
    path = _segment(scene)
    os.truncate(path, path.stat().st_size - 1)


@deed()
def _segment_unlisted(scene: Scene) -> None:
    """A segment removed, with the row that lists it."""
    _segment(scene).unlink()
    scene.do(scene.long, "DELETE FROM segment", "DELETE FROM rotated")


def _segment(scene: Scene) -> Path:
    return next(scene.place.home(scene.long).glob("*.segment"))


# -- the watchdog's journal
@deed()
def _heads_changed(scene: Scene) -> None:
    """Signed heads changed, chained anew."""
    seq = value(scene.place, WATCHDOG, "SELECT MAX(seq) FROM journal WHERE kind = ?", SIGNED)
    scene.do(WATCHDOG, f"UPDATE journal SET body = replace(body, '\"at_ms\":1', '\"at_ms\":2') WHERE seq = {seq}", since=seq)


@deed()
def _another_key(scene: Scene) -> None:
    """The watchdog's key replaced by another one."""
    (scene.place.watchdog / "signing.key").unlink()
    Signer(scene.place.watchdog)


@deed("elsewhere")
def _forged(scene: Scene) -> None:
    """A record written anew by who has the watchdog's key and journal, too."""
    seq = scene.last(scene.busy)
    scene.do(scene.busy, f"UPDATE journal SET at_ns = at_ns + 1 WHERE seq = {seq}", since=seq)
    first = value(scene.place, WATCHDOG, "SELECT MIN(seq) FROM journal WHERE body LIKE ?", f'%"{scene.busy}":[{seq},%')
    scene.do(WATCHDOG, f"DELETE FROM journal WHERE seq >= {first or scene.last(WATCHDOG)}")
    (scene.place.watchdog / "ledger.made").write_text("1\n")
    sign(scene.place)


def sign(place: Place) -> None:
    """As the watchdog does it: where all journals end now."""
    heads = {one: _head(place, one) for one in place.processes()}
    signer, ledger = Signer(place.watchdog), Ledger(place.ledger(WATCHDOG), WATCHDOG)
    at_ms = max(value(place, one, "SELECT MAX(at_ns) FROM journal") for one in heads) // 10**6
    told = HeadsSigned(at_ms=at_ms, heads=heads, key=signer.public)
    ledger.append(SIGNED, msgspec.json.encode(msgspec.structs.replace(told, signature=signer.sign(told.statement()))))
    ledger.commit()
    made.remember(ledger.path, ledger.seq)
    ledger.close()


def _head(place: Place, process: str) -> tuple[int, str]:
    query = "SELECT {} FROM journal ORDER BY seq DESC LIMIT 1"
    return int(value(place, process, query.format("seq"))), str(value(place, process, query.format("hex(digest)"))).lower()


@deed("elsewhere")
def _all_older(scene: Scene) -> None:
    """The whole state directory replaced by an older copy."""
    shutil.rmtree(scene.place.state)
    shutil.copytree(scene.older.state, scene.place.state)
