"""What must hold of what may leave a department: each rule yields what breaks it, as those of rules.py do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from mai.agents.faults import nearest, shown
from mai.agents.fields import flaws
from mai.agents.leaves import could_be, declared, withheld_by
from mai.agents.lines import KeyPath
from mai.agents.organisation import Contract, Department

if TYPE_CHECKING:
    from mai.agents.rules import Scene

Broken = Iterator[tuple[KeyPath, str, str]]
SUBJECTS: Final = ("int", "str", "date")  # types of a field that can name a subject


def patterns_mean_something(scene: "Scene", department: Department, where: KeyPath) -> Broken:
    """What may leave is in some reply, the subjects of whom something is told are subjects of some contract."""
    leaves, at = department.leaves, (*where, "leaves")
    if not scene.findings.sound(where, "contracts", "leaves"):
        return
    replies = [path for one in department.contracts if not flaws(one.reply) for path, _ in declared(one.reply)]
    for index, pattern in enumerate(leaves.fields):
        if replies and not any(could_be(pattern, path) for path in replies):
            hint = nearest(pattern, sorted({".".join(path) for path in replies}), "the fields of its replies")
            yield (*at, "fields", index), f"{department.name}: no contract's reply has a field {pattern}", hint
    kinds = sorted({one.subject for one in department.contracts if one.subject})
    for index, pattern in enumerate(leaves.subjects):
        kind = pattern.partition("/")[0]
        if kind not in kinds:
            hint = nearest(kind, kinds, "subject of its contracts")
            yield (*at, "subjects", index), f"{department.name}: no contract has the subject {kind}", hint


def contract_may_leave(scene: "Scene", department: Department, contract: Contract, where: KeyPath) -> Broken:
    """Each field of its reply may leave the department."""
    leaves, label = department.leaves, f"the contract {contract.name} of {department.name}"
    listed: KeyPath = ("departments", department.name, "leaves")
    places = [(*listed, key, index) for key in ("fields", "withheld") for index in range(len(getattr(leaves, key)))]
    if flaws(contract.reply) or not all(scene.findings.sound(at) for at in (listed, *places, (*where, "reply"))):
        return
    kept = ""
    for path, leaf in declared(contract.reply):
        name, at = ".".join(path), (*where, "reply", path[0])
        if kept and name.startswith(f"{kept}."):
            continue  # what is in a withheld field is no fault of its own
        if pattern := withheld_by(leaves.withheld, path):
            kept = name
            yield (
                at,
                f"{label}: reply.{name} never leaves {department.name}, which withholds {pattern}",
                "take it out of the reply",
            )
        elif leaf and leaves.fields and not any(could_be(one, path) for one in leaves.fields):
            hint = f"add it to the fields of [departments.{department.name}.leaves], or take it out of the reply"
            yield at, f"{label}: reply.{name} is none of the fields that may leave {department.name}", hint


def contract_names_its_subject(scene: "Scene", department: Department, contract: Contract, where: KeyPath) -> Broken:
    """Its subject is a field of its request, of whom something may be told; who is bound to it may ask."""
    label = f"the contract {contract.name} of {department.name}"
    request, subject = contract.request, contract.subject
    if subject and subject not in request and scene.findings.sound(where, "request", "subject"):
        hint = nearest(subject, list(request), "the fields of its request")
        yield (*where, "subject"), f"{label} has the subject {shown(subject)}, which its request has not", hint
    elif subject and request[subject] not in SUBJECTS:
        yield (*where, "subject"), f"{label}: a subject is one value, {subject} is not", f"expected one of {', '.join(SUBJECTS)}"
    told = [pattern.partition("/")[0] for pattern in department.leaves.subjects]
    if subject and told and subject not in told:
        hint = f'add "{subject}/*" to the subjects of [departments.{department.name}.leaves]'
        yield (*where, "subject"), f"{label} can tell nobody anything: {department.name} tells of {', '.join(told)} only", hint
    if contract.bound and not subject:
        yield (
            (*where, "bound"),
            f"{label} binds who may ask, and has no subject",
            'name a field of its request: subject = "customer"',
        )
    for index, asking in enumerate(contract.bound):
        if asking not in contract.may_ask:
            hint = nearest(asking, contract.may_ask, "who may ask")
            yield (*where, "bound", index), f"{label} binds {shown(asking)}, which may not ask for it", hint
        elif asking == "client":
            yield (*where, "bound", index), f"{label} binds the client, whose request it is", "name departments"
