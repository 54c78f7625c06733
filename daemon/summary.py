"""One line about a record, for people: what happened, in a few words. Pure.

It works on decoded JSON and not on the events' own types, so that a journal of another version can be read as well.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from mai.agents.amounts import UNBOUNDED
from mai.daemon.summary_disputes import DISPUTES, DISPUTING, disputing

LONGEST = 160  # characters of a summary

WANTED = {
    False: "to stay stopped",
    "stop": "to stay stopped",
    "pause": "to get no new tasks",
    "drain": "to finish, then stop",
    "switch": "to leave its work to backups",
}

Body = dict[str, Any]


def summary(kind: str, body: Body) -> str:
    """What the record says, in one line without control characters."""
    tell = SUMMARIES.get(kind)
    try:
        return clean(tell(body) if tell else plain(body))
    except (KeyError, TypeError, AttributeError, IndexError):
        return clean(plain(body))  # not of the shape that its kind has in this version


def clean(text: str, longest: int = LONGEST) -> str:
    """A text as one line that a terminal takes as nothing but text: what a client wrote must not steer it."""
    flat = "".join(char if char.isprintable() else "�" for char in " ".join(text.split()))
    return flat if len(flat) <= longest else f"{flat[: longest - 1]}…"


def plain(value: Any) -> str:
    """A value in short JSON."""
    return msgspec.json.encode(value).decode()


def inputs(given: Any) -> str:
    """The values of a call: `order=10423 cents=1200`."""
    return " ".join(f"{name}={value if isinstance(value, str) else plain(value)}" for name, value in (given or {}).items())


def short(address: str) -> str:
    """An address without its client."""
    return address.partition("/")[2] or address


def asked(given: Any) -> str:
    """What a step asks for: a tool, an agent, a contract or a piece of memory, and with what."""
    given = given or {}
    name = next((given[key] for key in ("tool", "to", "key", "prefix", "subject", "model") if given.get(key)), "")
    values = given.get("input") if "input" in given else {key: given[key] for key in ("attribute", "value") if key in given}
    return " ".join(word for word in (str(name), str(given.get("text", "")), inputs(values)) if word)


def outcome(body: Body) -> str:
    """`answered: text`, `refused: reason`."""
    text = body.get("text") or body.get("reason") or (plain(body["value"]) if body.get("value") else "")
    return f"{body['state']}: {text}" if text else str(body["state"])


def _keyed(inner: Body) -> str:
    said = plain(inner["value"]) if "value" in inner else inputs(inner.get("given"))
    return f"{inner.get('key', inner.get('call'))} {said}"


def _message(body: Body) -> str:
    inner = body["body"]
    match inner["is"]:
        case "task":
            what = f"{inner['contract']} {inputs(inner['input'])}" if inner["contract"] else inner["text"]
        case "result":
            what = outcome(inner)
        case "recalled" | "used":
            what = inner["refused"] or plain(inner["value"])
        case "think":
            what = f"{short(inner['agent'])} asks {inner['model']}, {inner['inquiry']['size']} bytes"
        case "thought":
            what = f"{inner['state']} {inner['by']} {inner['reason']} {cost(inner.get('usage'))}".strip()
        case "cancel":
            what = f"{inner['request']}, says {inner['by']}: {inner['reason'] or 'no reason given'}"
        case "cancelled":
            undone = ", ".join(f"{one['tool']} {one['state']}" for one in inner["undone"])
            what = f"{inner['request']}: {len(inner['stopped'])} stopped" + (f"; {undone}" if undone else "")
        case "release" | "released":
            what = f"{inner.get('how', '')} {inner['task']} {inner.get('refused', '')}".strip()
        case "use":
            what = f"{short(inner['agent'])} uses {inner['tool']} {inputs(inner['input'])}"
        case "doubt" | "resolve" | "approval" | "decided" as kind:
            what = ASKED_AND_SAID[kind](inner)
        case _:
            what = disputing(inner) if inner["is"] in DISPUTING else _keyed(inner)
    return f"{inner['is']} #{body['lseq']}: {what}"


ASKED_AND_SAID: dict[str, Callable[[Body], str]] = {  # of persons, and by them
    "doubt": lambda b: f"{short(b['agent'])} {b['tool']} (key {b['key']}): {b['why']}",
    "resolve": lambda b: f"{b['by']} says that it {happened(b['happened'])} (key {b['key']})",
    "approval": lambda b: f"{short(b['agent'])} {b['name']} ({b['id'][:16]}): {b['over'] or b['why']}",
    "decided": lambda b: f"{verdict(b)} ({b['id'][:16]})",
}


def verdict(body: Body) -> str:
    """`ann (1000) and bob (1001) approve it: as agreed`."""
    by = " and ".join(body["by"]) or "nobody"
    note = f": {body['note']}" if body.get("note") else ""
    return f"{'approved' if body['approved'] else 'denied'} by {by}{note}"


def happened(it: bool) -> str:
    """What is said of an effect that was in doubt."""
    return "happened" if it else "did not happen"


def _amounts(amounts: Body) -> str:
    """`5 hops, 20 steps`, where there is a limit."""
    said = [f"{count} {name.replace('_', ' ')}" for name, count in amounts.items() if count < UNBOUNDED]
    return ", ".join(said) or "nothing"


def _step(body: Body) -> str:
    given = asked(body.get("given"))
    did = f"{body['call']} {given}" if given else f"{body['call']} #{body['n']}"
    if body.get("refused"):
        return f"{did} refused: {body['refused']}"
    if body["call"] == "model":
        return f"{did} → {thought(body.get('value'))}"
    got = body.get("text") or (plain(body["value"]) if "value" in body else "")
    return f"{did} → {got}" if got else did


def cost(usage: Body | None) -> str:
    """What models have cost: `120 + 31 tokens, 0.0004`; "" for nothing."""
    usage = usage or {}
    tokens = f"{usage.get('input_tokens', 0)} + {usage.get('output_tokens', 0)} tokens"
    money = f", {usage['cost_nano'] / 1e9:.6f}".rstrip("0").rstrip(".") if usage.get("cost_nano") else ""
    return f"{'up to ' * bool(usage.get('estimated'))}{tokens}{money}" if usage else ""


def thought(value: Any) -> str:
    """What came of a question to a model: who answered, for how much, and what happened on the way."""
    value = value or {}
    return "; ".join([f"{value.get('by') or 'a model'}, {cost(value.get('usage')) or 'free'}", *value.get("notes", ())])


def _errand(body: Body) -> str:
    verdict = "may" if body["allowed"] else "may not"
    return f"{short(body['agent'])} {verdict} ask {body['service']} for {body['what']}: {body['rule']}"


def _change(body: Body) -> str:
    """A change of the organisation, or of its clients."""
    if what := body.get("what"):
        return f"to {what} {body['process'].partition('/')[0]}, by {body['by']},"
    return f"the change from {body['before']} to {body['after']}, by {body['by']},"


def _told(body: Body) -> str:
    """A record of the watchdog in the words that its own journal is shown in."""
    said = {**body["body"], "process": body["process"]}
    known = SUMMARIES.get(body["what"])
    return known(said) if known else plain(said)


def whose(body: Body) -> str:
    """`by root: why`, as far as it is known."""
    return f"by {body['by']}{': ' * bool(body['why'])}{body['why']}" if body.get("by") else str(body.get("why", ""))


def whoever(body: Body) -> str:
    """`alice (1000)`, or `uid 1000` if it has no name."""
    user = str(body["user"])
    return user if user == f"uid {body['uid']}" else f"{user} ({body['uid']})"


def times(body: Body) -> str:
    """How often more, where that was counted."""
    return f", {body['count']} times more" if body.get("count", 1) > 1 else ""


def _attempt(body: Body) -> str:
    return f"attempt {body['n']} {body.get('why') or 'has an answer'} {cost(body.get('usage'))}".rstrip()


def _planned(body: Body) -> str:
    parts = [f"{part['department']}: {part['contract'] or part['text']} ({part['why']})" for part in body["parts"]]
    return "; ".join(parts) or f"no department: {body.get('why') or 'nothing fits'}"


def _answer(body: Body) -> str:
    answer = body["answer"]
    return f"{answer['department']} {answer['state']}: {answer['answer'] or answer['reason']}"


def _read(body: Body) -> str:
    return f"{short(body['agent'])}: {body['level']} {body['key']} = {plain(body.get('value')) if body['found'] else 'nothing'}"


def _checked(body: Body) -> str:
    return f"{short(body['asking'])} {'may' if body['allowed'] else 'may not'} ask for {body['contract']}: {body['rule']}"


def _switched(body: Body) -> str:
    lacks = f"; gives up: {body['gives_up']}" if body.get("gives_up") else ""
    return f"{body['to']} stands in for the {body['what']} {body['name']}: {body['evidence']}{lacks}"


def _breached(body: Body) -> str:
    what = f"comes back to it as {body['again']}" if body.get("again") else "does not leave"
    return f"the reply of {short(body['process'])}{' to ' * bool(body['contract'])}{body['contract']} {what}: {body['rule']}"


def _clause(body: Body) -> str:
    """By which policy."""
    return f", by the policy {body['clause']}" if body.get("clause") else ", as no policy says otherwise"


SUMMARIES: dict[str, Callable[[Body], str]] = {
    "process.started": lambda b: f"{b['process']}, version {b['version']}, organisation {b['organisation']}, pid {b['pid']}",
    "process.stopped": lambda b: b["why"],
    "segment.thinned": lambda b: f"{b['first']} to {b['last']}: {b['records']} bodies of {', '.join(b['kinds'])} were taken out",
    "segment.erased": lambda b: f"{b['first']} to {b['last']}: values were erased by {b['erasure']}",
    "segment.removed": lambda b: f"{b['first']} to {b['last']}: {b['why']}",
    "rotated": lambda b: f"{b['first']} to {b['last']} into {b['file']}, {b['bytes']:,} bytes",
    "state.rebuilt": lambda b: f"{b['rows']} rows as the journal up to {b['upto']} gives them; {b['wrong']} were not so",
    "message.sent": lambda b: f"→ {short(b['to'])} {_message(b)}",
    "message.received": lambda b: f"← {short(b['sender'])} {_message(b)}",
    "message.acked": lambda b: f"{short(b['peer'])} has all up to #{b['received']}",
    "message.refused": lambda b: f"{b['why']} from {b['peer'] or 'somebody'}: {b['detail']}",
    "hop": lambda b: f"{b['sender']} → {b['agent']}: {b['contract'] + ' ' + inputs(b['input']) if b['contract'] else b['text']}",
    "policy.judged": lambda b: f"{short(b['agent'])}: {b['name']}: {b['verdict']}{_clause(b)}",
    "decision": lambda b: f"{b['agent'] or 'mai'}: {b['what']}, record {b['record']}, rests on {b['context'][:16]}",
    "hop.refused": lambda b: f"{b['sender']} ↛ {b['receiver']}: {b['rule']}",
    "shift.ordered": lambda b: f"{b['by']} says that {b['agent']} is {b['how'] or 'as the calendar says'}",
    "shift.set": lambda b: f"{b['agent']} is {b['how'] or 'as the calendar says'}, says {b['by']}",
    "shift.assigned": lambda b: f"{b['to']} gets what is for {b['wanted']}: {b['why']}",
    "shift.waits": lambda b: b["why"],
    "task.handed": lambda b: f"{b['to']} takes it over from {b['agent']} as {b['successor']}: {b['why']}",
    "guard.stopped": lambda b: b["why"],
    "budget.stopped": lambda b: b["why"],
    "budget.granted": lambda b: f"{short(b['to'])} may take {_amounts(b['allow'])} for {b['task']}",
    "budget.returned": lambda b: f"{b['task']} has taken {_amounts(b['used'])}",
    "tool.counted": lambda b: f"{b['agent']} may call one more tool, in step {b['n']}",
    "day.begun": lambda b: f"{b['day']} begins",
    "task.begun": lambda b: f"{b['agent']} begins, attempt {b['attempt']}",
    "task.interrupted": lambda b: f"the process died while {b['agent']} worked",
    "task.ended": lambda b: f"{b['agent']} {outcome(b)}",
    "step": lambda b: f"{b['agent']}: {_step(b)}",
    "step.asked": lambda b: f"{b['agent']}: {b['call']} {asked(b['given'])}",
    "effect.intent": lambda b: f"{b['agent']}: {b['tool']} {inputs(b['given'].get('input'))} ({b['effect']}, key {b['key']})",
    "task.quarantined": lambda b: f"{b['agent']} is not run again after {b['attempts']} deaths of the process",
    "task.suspected": lambda b: f"the process died of {b['task']} before anything of it was on the disk",
    "task.released": lambda b: f"{b['how']} of {b['agent']}'s task by {b['by']} {b.get('why', '')}".rstrip(),
    "release.ordered": lambda b: f"{b['order']['how']} {b['order']['task']}, says {b['order']['by']}",
    "release.answered": lambda b: f"{b['order']}: {b.get('refused') or 'done'}",
    "cancel.taken": lambda b: f"cancelled by {b['by']}, {len(b.get('stopped', ()))} open tasks stop",
    "task.cancelled": lambda b: f"{b['agent']} is stopped by {b['by']}: {b.get('reason') or 'no reason given'}",
    "undo.planned": lambda b: ", ".join(f"{e['tool']} ({e.get('state') or 'open'})" for e in b.get("effects", ())) or "nothing",
    "undo.intent": lambda b: f"{b['tool']} undoes {b['undoes']} ({b['effect']}, key {b['key']})",
    "undo.done": lambda b: f"{b['tool']} {'was refused: ' + b['refused'] if b.get('refused') else 'has undone ' + b['undoes']}",
    "undo.unknown": lambda b: f"nobody knows whether {b['tool']} has undone {b['undoes']}: {b['why']}",
    "cancel.ended": lambda b: "all that can be undone is undone",
    "effect.queried": lambda b: f"{b['agent']}: {b['tool']} says that it {happened(b['found'])} (key {b['key']})",
    "effect.unknown": lambda b: f"{b['agent']}: nobody knows whether {b['tool']} happened (key {b['key']}): {b.get('why', '')}",
    "effect.resolved": lambda b: f"{b['agent']}: {b['by']} says that it {happened(b['happened'])} (key {b['key']})",
    "doubt.raised": lambda b: (
        f"{short(b['agent'])} does not know whether {b['doubt']['tool']} happened (key {b['doubt']['key']})"
    ),
    "doubt.resolved": lambda b: f"{b['by']} says that it {happened(b['happened'])} (key {b['key']})",
    "approval.asked": lambda b: (
        f"{b['agent']} waits with {b['name']} {inputs(b['given'].get('input'))} ({b['id'][:16]}): {b['why']}"
    ),
    "approval.referred": lambda b: f"{b['by']}: {b['how']}: {b['why']}; {b.get('persons', 1)} to approve ({b['id'][:16]})",
    "approval.decided": lambda b: f"{b['agent']}: {verdict(b)} ({b['id'][:16]}){': ' * bool(b.get('late'))}{b.get('late', '')}",
    "approval.used": lambda b: f"{b['agent']}: {b['name']} is called ({b['id'][:16]})",
    "approval.expired": lambda b: f"{b['agent']}: {b['why']} ({b['id'][:16]})",
    "approval.raised": lambda b: (
        f"{short(b['agent'])} waits with {b['approval']['name']} ({b['approval']['id'][:16]}): {b['approval']['why']}"
    ),
    "approval.voted": lambda b: (
        f"{'approved' if b['approved'] else 'denied'} by {whoever(b)} as {b['role']} ({b['approval'][:16]})"
        f"{': ' * bool(b.get('note'))}{b.get('note', '')}"
    ),
    "approval.closed": lambda b: f"{b['approval'][:16]}: {b['why']}",
    "approval.passed": lambda b: f"{short(b['agent'])}: {b['task']} goes on ({b['approval'][:16]})",
    "approval.announced": lambda b: f"{b['approval'][:16]}: {b['text']}",
    "memory.written": lambda b: f"{b['level']} {b['agent']} {b['key']} = {plain(b['value'])}",
    "memory.forgotten": lambda b: f"{b['level']} {b['agent']} {b['key']}, by {b.get('by', '')}",
    "memory.expired": lambda b: f"{b['level']} {b['agent']} {b['key']}, version {b['n']}",
    "memory.refused": lambda b: f"{short(b['agent'])} {b['call']} {b['key']}: {b['rule']}",
    "memory.read": _read,
    "reply.breached": _breached,
    "claim": lambda b: f"{b['agent']}: {b['subject']} {b['attribute']} = {plain(b['value'])} ({b['confidence']:.0%})",
    **DISPUTES,
    "escalated": lambda b: f"{b['agent']} gives it up: {b['reason']}",
    "fallback.switched": _switched,
    "fallback.returned": lambda b: f"the {b['what']} {b['name']} answers again after {b['after_ms']} ms",
    "breaker.probed": lambda b: f"the {b['what']} {b['name']} is tried again",
    "breaker.noted": lambda b: f"the {b['what']} {b['name']} was {b['how']}{': ' * bool(b.get('why'))}{b.get('why', '')}",
    "request.accepted": lambda b: f"{short(b['asker'])}{f' ({by})' if (by := b.get('by')) else ''} asks: {b['text']}",
    "request.planned": _planned,
    "request.cancelled": lambda b: f"by {b['by']}: {b.get('reason') or 'no reason given'}",
    "cancel.answered": lambda b: f"{short(b['process'])} has stopped",
    "request.ended": lambda b: f"{b['state']} in {b['elapsed_ms']} ms: {b['answer']}",
    "part.ended": _answer,
    "contract.checked": _checked,
    "contract.ended": outcome,
    "errand.checked": _errand,
    "errand.ended": lambda b: f"{outcome(b)} {b.get('by', '')} {cost(b.get('usage'))}".rstrip(),
    "wording.dropped": lambda b: f"the words of {b['by']} are not taken: {b['why']}",
    "call.taken": lambda b: f"{short(b['agent'])} asks {b['model']}, at most {b['input_tokens']} + {b['output_tokens']} tokens",
    "attempt.begun": lambda b: f"attempt {b['n']} at {b['provider']}/{b['model']}",
    "attempt.ended": _attempt,
    "model.request": lambda b: f"{b['size']:,} bytes to {b['url'] or 'the local model'}, {b['digest'][:12]}",
    "model.response": lambda b: f"status {b['status']}, {b['size']:,} bytes, {b['digest'][:12]}",
    "target.left": lambda b: b["why"],
    "budget.nearly": lambda b: b["text"],
    "tool.begun": lambda b: f"{short(b['agent'])}: {b['tool']}, attempt {b['attempt']} ({b['effect']}, key {b['key']})",
    "tool.doubted": lambda b: f"{short(b['agent'])}: {b['tool']} is asked whether it happened: {b['why']}",
    "tool.queried": lambda b: f"{short(b['agent'])}: {b['tool']} says that it {happened(b['found'])} (key {b['key']})",
    "tool.ended": lambda b: f"{short(b['agent'])}: {b['tool']} → {b.get('refused') or plain(b.get('value'))}",
    "escalation.raised": lambda b: f"{b['id']}: {short(b['agent'])} can do no more; a person has to answer",
    "escalation.answered": lambda b: f"{b['id']} {b['state']} by {b['by']}: {b['text'] or b['reason']}",
    "escalation.announced": lambda b: f"{b['id']}: {b['text']}",
    "escalation.ended": lambda b: f"{b['id']} {b['state']}: {b['reason']}",
    "escalation.parked": lambda b: f"{b['id']} is with {b['owner']}, and {b['task']} waits for it",
    "request.pending": lambda b: f"waits for {b['owner']}, as {b['id']}",
    "call.ended": lambda b: f"{outcome(b)} {b.get('by', '')} {cost(b.get('usage'))}".rstrip(),
    "watchdog.told": _told,
    "department.held": lambda b: f"{b['department']} {b['how']} {whose(b)}".rstrip(),
    "department.freed": lambda b: f"{b['department']} takes tasks again",
    "task.held": lambda b: f"for {short(b['to'])}, which takes none now",
    "cover.given": lambda b: f"{b['contract']} has the turn, as {b['ident']}",
    "incident.opened": lambda b: f"{b['process']} {b['what']}: {b['text']}",
    "incident.noted": lambda b: f"{b['agent']} is told: {b['what']}: {b['text']}",
    "remedy.checked": lambda b: (
        f"{short(b['agent'])} {'may' if b['allowed'] else 'may not'} {b['remedy']} {b['target']}: {b['rule']}"
    ),
    "remedy.ended": lambda b: f"{b['task']} {b['state']} {b['text']}".rstrip(),
    "remedy": lambda b: f"{b['remedy']} of {b['process']} {b['state']}: {b['text']}",
    "term": lambda b: f"the pause of {b['process']} ends {'by itself' if b['until_ms'] else 'now'}",
    "forgotten": lambda b: f"the remedy {b['id']} of {b['process']}",
    "keys.known": lambda b: f"{len(b['known'])} keys are good; her own is {b['own']}",
    "key.spoken": lambda b: f"{b['process']} speaks with the key {b['key']}",
    "key": lambda b: f"{b['process']}: key {b['key']} {b['step']}{', to be ' * bool(b.get('next'))}{b.get('next', '')}",
    "turnover": lambda b: f"the change of keys by {b['by']} is {b['step']}",
    "watchdog.stands": lambda b: (
        f"at its record {b['seq']}; not to run: {', '.join(b['wanted']) or 'none'}; given up: {', '.join(b['failed']) or 'none'}"
    ),
    "inbound.taken": lambda b: f"{b['thread']} (delivered by {whoever(b)}): {b.get('subject', '')} {b['text']}".replace(
        ":  ", ": "
    ),
    "inbound.waits": lambda b: f"{b['thread']}: {b['request']} has its turn, and waits for room: {b['why']}",
    "spool.refused": lambda b: f"{b['channel']}/{b['file']['name']} of {whoever(b)} goes to {b['to']}: {b['why']}",
    "spool.moved": lambda b: f"{b['channel']}/{b['file']['name']} lies in {b['to']}",
    "voice.said": lambda b: f"{b['thread']} {b['what']}: {b['text']}",
    "voice.sent": lambda b: f"{b['what']} {b['n']} leaves to {b['thread']}: {b['text']}",
    "door.used": lambda b: f"{whoever(b)} as {b['role']}: {b['verb']} {b.get('what', '')}".rstrip() + times(b),
    "door.denied": lambda b: f"{whoever(b)}: {b['why']}{f' ({what})' if (what := b.get('what')) else ''}" + times(b),
    "door.refused": lambda b: f"{b['count']} requests were refused: {b['why']}",
    "objective.breached": lambda b: (
        f"{b['scope']}: {b['bad']} of {b['good'] + b['bad']} bad in {b['window_s']} s, burns {b['burn']} times too fast"
    ),
    "objective.kept": lambda b: f"{b['scope']} burns no longer too fast in {b['window_s']} s: {b['burn']}",
    "incident": lambda b: f"{b['process']} {b['what']}: {b['text']}",
    "wanted": lambda b: (
        f"{b['process']} is {WANTED.get(b['wanted'], 'to run')}, says {b['by']}{': ' * bool(b.get('why'))}{b.get('why', '')}"
    ),
    "given_up": lambda b: f"{b['process']} is given up: {b['why']}",
    "raised": lambda b: f"{b['process']} may take {b['times']:g} times as much {b['bound']} as the organisation says",
    "reload": lambda b: f"{_change(b)} is {b['step']}",
    "reloaded": lambda b: f"{_change(b)} is {b['state']}{': ' * bool(b['why'])}{b['why']}",
    "values.erased": lambda b: (
        f"{b['erasure']} by {b['by']}: {len(b.get('records', ()))} records, {len(b.get('blobs', ()))} texts, "
        f"{b.get('keys', 0)} keys of memory"
    ),
    "person": lambda b: (
        f"{b['erasure']} of {b['process'].partition('/')[0]} {b['step']}, by {b['by']}"
        + (f"; see {b['certificate']}" if b.get("certificate") else f": {', '.join(b.get('processes', ()))}".rstrip(": "))
    ),
    "erasing": lambda b: (
        f"of {b['process'].partition('/')[0]}, by {b.get('by', 'the watchdog')}: {b.get('step') or b.get('state')}"
    ),
    "exported": lambda b: f"{b['process'].partition('/')[0]}, by {b['by']}",
    "erased": lambda b: f"{b['process'].partition('/')[0]}, by {b['by']}; see {b['certificate']}",
    "heads.signed": lambda b: f"of {len(b['heads'])} journals, by the key {b['key'][:16]}",
    "revived": lambda b: f"{b['process']} is tried again",
    "started": lambda b: f"the watchdog started, pid {b['pid']}",
}
