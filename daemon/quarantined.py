"""`mai quarantine list` and `show`: tasks that killed their process, out of the ledgers of the departments that keep them."""

from typing import Any, Final

import msgspec

from mai.agents.state import Quarantined
from mai.daemon.reader import NotFound, Reader, chosen, clock, listed, opened
from mai.daemon.summary import clean, summary
from mai.sandbox.place import Place

MOST: Final = 1000  # rows of one department
MOST_RECORDS: Final = 20_000  # of one request
KINDS: Final = ("hop", "task.", "step", "effect.", "undo.")  # of records that tell of a task

Entry = dict[str, Any]


def entries(place: Place, what: str | None) -> list[Entry]:
    """What is in quarantine now, in all departments, one client's or one, oldest first."""
    found = [entry for reader in opened(place, _departments(place, what)) for entry in _rows(reader)]
    return sorted(found, key=lambda entry: (entry["at_ms"], entry["task"]))


def _departments(place: Place, what: str | None) -> list[str]:
    return [process for process in chosen(place, what) if "/" in process]


def _rows(reader: Reader) -> list[Entry]:
    rows = reader.select("SELECT value FROM state WHERE noun = 'quarantine' ORDER BY key LIMIT ?", MOST)
    return [_entry(reader.process, msgspec.json.decode(row["value"], type=Quarantined)) for row in rows]


def _entry(process: str, held: Quarantined) -> Entry:
    work = held.work
    return {
        "process": process, "task": work.task, "request": work.request, "agent": work.agent, "attempts": work.attempts,
        "at_ms": held.at_ms, "steps": len(held.steps), "contract": work.contract, "text": work.text, "input": work.input,
        "tracebacks": list(held.traces),
    }  # fmt: skip


def named(known: list[Entry], name: str) -> Entry:
    """The task in quarantine that is meant, by its id or a beginning that no other has. Raises NotFound."""
    found = [entry for entry in known if entry["task"] == name] or [one for one in known if name and one["task"].startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f"{name!r} is not enough to tell which task", f"there are {listed([one['task'] for one in found])}")
    names = [entry["task"] for entry in known]
    raise NotFound(f"no task in quarantine begins with {name!r}", f"there are {listed(names)}" if names else "there is none")


def story(place: Place, name: str) -> Entry:
    """All that is on record of a task that is, or was, in quarantine. Raises NotFound."""
    try:
        entry = named(entries(place, None), name)
        processes = [entry["process"]]
    except NotFound:
        entry, processes = {"task": name}, _departments(place, None)
    request = str(entry["task"]).partition("/")[0]
    for reader in opened(place, processes):
        records = reader.records("request = ? AND request <> '' AND task = ?", request, entry["task"], limit=MOST_RECORDS)
        if any(record.kind == "task.quarantined" for record in records):
            told = [record for record in records if record.kind.startswith(KINDS)]
            return {**_past(reader, told), **entry, "records": [_record(reader, record) for record in told]}
    raise NotFound(f"no task {name!r} is or was in quarantine", "look at: mai quarantine list")


def _past(reader: Reader, records: list[Any]) -> Entry:
    """Of a task that is not in quarantine any more, or not only."""
    last = [reader.fields(record) for record in records if record.kind == "task.quarantined"][-1]
    seq = [record.seq for record in records if record.kind == "task.released"]
    ended = [reader.fields(one) for one in records if one.kind == "task.ended" and seq and one.seq > seq[-1]]
    result = {name: ended[-1].get(name, "") for name in ("state", "text", "value", "reason")} if ended else None
    return {
        "process": reader.process, "request": last["request"], "agent": last["agent"], "attempts": last["attempts"],
        "at_ms": last.get("at_ms", 0), "tracebacks": last.get("traces", []), "result": result,
    }  # fmt: skip


def _record(reader: Reader, record: Any) -> Entry:
    told = summary(record.kind, reader.fields(record))
    return {"seq": record.seq, "at": clock(record.at_ns).isoformat(timespec="milliseconds"), "kind": record.kind, "text": told}


# -- in words
def table(found: list[Entry]) -> str:
    """One line for each task, with the last line of its last traceback."""
    if not found:
        return "nothing is in quarantine"
    lines = []
    for entry in found:
        at = clock(entry["at_ms"] * 1_000_000).strftime("%Y-%m-%d %H:%M:%S")
        lines.append(f"{entry['task']}  {entry['process']}/{entry['agent']}  {entry['attempts']} deaths, {at}")
        lines.append(f"  {clean(_what(entry))}")
        lines.append(f"  {clean(_cause(entry))}")
    return "\n".join(lines)


def _what(entry: Entry) -> str:
    given = msgspec.json.encode(entry["input"]).decode() if entry["input"] else ""
    return " ".join(word for word in (entry["contract"], entry["text"], given) if word)


def _cause(entry: Entry) -> str:
    """What the last death left, in one line: what it died of, and the innermost frame."""
    lines = [line.strip() for line in (entry["tracebacks"] or [""])[-1].splitlines() if line.strip()]
    frame = next((line for line in lines if line.startswith("File ")), "")
    return " · ".join(word for word in (lines[0] if lines else "", frame) if word)


def shown(entry: Entry) -> str:
    """All of it, for a person."""
    lines = [f"{entry['task']}  {entry['process']}/{entry['agent']}, {entry['attempts']} deaths"]
    lines += [f"{record['at']}  {record['kind']:16} {record['text']}" for record in entry["records"]]
    for number, trace in enumerate(entry["tracebacks"], 1):
        lines += ["", f"death {number}:", *(f"  {line}" for line in trace.splitlines())]
    if result := entry.get("result"):
        said = result["text"] or result["reason"] or msgspec.json.encode(result["value"]).decode()
        lines += ["", f"after its release: {result['state']}: {said}"]
    return "\n".join(lines)
