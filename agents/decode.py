"""The tables of an organisation file into the Structs of the organisation, field by field. Pure.

msgspec would stop at the first fault. Here each field is converted by itself, what is wrong is noted, and something
harmless stands in for it, so that all the rest is checked in the same run.
"""

from functools import cache
from typing import Any, Final, TypeVar, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, inspect

from mai.agents.approval_scope import Approvals
from mai.agents.board_scope import Rule
from mai.agents.channels import Channel, Voice
from mai.agents.clock import UTC
from mai.agents.conflict_scope import Conflicts, Precedence
from mai.agents.doors import Grant
from mai.agents.escalation_scope import Escalations
from mai.agents.faults import Findings, nearest, shown
from mai.agents.guard_scope import Guards
from mai.agents.leaves import FIELD, SUBJECT
from mai.agents.lines import KeyPath
from mai.agents.memory_scope import Keeping
from mai.agents.metering import Metrics
from mai.agents.models import Model, Models, Provider, Routing, Target
from mai.agents.objectives import Objectives
from mai.agents.organisation import Agent, Contract, Department, Limits, Organisation, Rank, Server, Tool
from mai.agents.parts import Part
from mai.agents.policy_scope import Policy
from mai.agents.remedies import Operations
from mai.agents.retention_scope import Retention
from mai.agents.shift_scope import Shift
from mai.agents.watching import Watching

TABLES: Final = (
    "organisation", "limits", "guards", "memory", "models", "routing", "objectives", "escalation", "watchdog", "retention",
    "metrics",
    "operations", "approvals", "doors", "policies", "channels", "voice", "conflicts", "departments",
)  # fmt: skip
NOUNS: Final[dict[type[Part], str]] = {
    Agent: "agent", Contract: "contract", Tool: "tool", Server: "server", Provider: "provider", Model: "model", Target: "target",
    Grant: "door", Policy: "policy", Rule: "rule", Channel: "channel", Precedence: "precedence", Shift: "shift",
}  # fmt: skip
STAND_INS: Final[dict[str, Any]] = {  # for others ""
    "rank": "operator", "role": "auditor", "verdict": "deny", "decision": "person", "clients": (), "may_ask": (), "agents": (),
    "chain": (),
}  # fmt: skip
NAME: Final = "a name of up to 40 small letters, digits, _{} that begins with a letter"
PATTERNS: Final = {
    FIELD: "names of fields with dots between them; * stands for any characters of one name",
    SUBJECT: 'a kind and a value, such as "customer/4711" or "customer/*"',
}
P = TypeVar("P", bound=Part)


def organisation(document: dict[str, Any], stem: str, findings: Findings) -> Organisation:
    """The organisation as the document has it, before any default that depends on another table."""
    for key in document.keys() - set(TABLES):
        findings.add((key,), f"the file has no table {key}", nearest(key, TABLES, "its tables"))
    limits = _decode(Limits, _table(document, "limits", findings), ("limits",), "the limits", findings)
    guards = _decode(Guards, _table(document, "guards", findings), ("guards",), "the guards", findings)
    keeping = _decode(Keeping, _table(document, "memory", findings), ("memory",), "the memory", findings)
    models = _decode(Models, _table(document, "models", findings), ("models",), "the models", findings)
    routing = _decode(Routing, _table(document, "routing", findings), ("routing",), "the routing", findings)
    objectives = _decode(Objectives, _table(document, "objectives", findings), ("objectives",), "the objectives", findings)
    escalation = _decode(Escalations, _table(document, "escalation", findings), ("escalation",), "the escalation", findings)
    watching = _decode(Watching, _table(document, "watchdog", findings), ("watchdog",), "the watchdog", findings)
    retention = _decode(Retention, _table(document, "retention", findings), ("retention",), "the retention", findings)
    metrics = _decode(Metrics, _table(document, "metrics", findings), ("metrics",), "the metrics", findings)
    approvals = _decode(Approvals, _table(document, "approvals", findings), ("approvals",), "the approvals", findings)
    conflicts = _decode(Conflicts, _table(document, "conflicts", findings), ("conflicts",), "the conflicts", findings)
    heals = None
    if "operations" in document:
        table = _table(document, "operations", findings)
        heals = _decode(Operations, table, ("operations",), "the operations", findings)
    doors = _list(Grant, "doors", document, findings)
    policies = _list(Policy, "policies", document, findings)
    channels = _list(Channel, "channels", document, findings)
    voice = _decode(Voice, _table(document, "voice", findings), ("voice",), "the voice", findings)
    departments = tuple(
        _decode(Department, table, ("departments", name), f"the department {name}", findings, name=name)
        for name, table in _table(document, "departments", findings).items()
    )
    head = {"name": stem, **_table(document, "organisation", findings)}
    tables = {
        "limits": limits,
        "guards": guards,
        "memory": keeping,
        "models": models,
        "routing": routing,
        "objectives": objectives,
        "escalation": escalation,
        "watchdog": watching,
        "retention": retention,
        "metrics": metrics,
        "channels": channels,
        "voice": voice,
        "approvals": approvals,
        "conflicts": conflicts,
    }
    known = {"departments": departments, **tables, "operations": heals, "doors": doors, "policies": policies}
    later = {"offsets": UTC, "base": "", "digest": ""}
    return _decode(Organisation, head, ("organisation",), "the organisation", findings, **known, **later)


def _table(document: dict[str, Any], key: str, findings: Findings) -> dict[str, Any]:
    """One of the file's tables; empty if there is none."""
    table = document.get(key, {})
    if isinstance(table, dict):
        return table
    findings.add((key,), f"{key} is {shown(table)}, expected a table", f"write [{key}]")
    return {}


def _list(kind: type[P], key: str, document: dict[str, Any], findings: Findings) -> tuple[P, ...]:
    """One of the file's lists of tables; none if what stands there is none."""
    tables = document.get(key, [])
    if isinstance(tables, list):
        return tuple(_element(kind, one, (key, index), "the organisation", findings) for index, one in enumerate(tables))
    findings.add((key,), f"{key} is {shown(tables)}, expected a list of tables", f"write each below a header [[{key}]]")
    return ()


def _decode(kind: type[P], table: object, where: KeyPath, label: str, findings: Findings, **known: Any) -> P:
    """A Struct from a table; `known` are fields that come from elsewhere and are no keys of the table."""
    if not isinstance(table, dict):
        findings.add(where, f"{label} is {shown(table)}, expected a table", "write its keys below a header of its own")
        table, findings = {}, Findings()  # what it lacks is no second fault
    fields = {name: field for name, field in _fields(kind).items() if name not in known}
    for key in [key for key in table if key not in fields]:
        findings.add((*where, key), f"{label} has a key {shown(key)}, which means nothing", nearest(key, fields, "its keys"))
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _value(field, table[name], (*where, name), label, findings)
        elif field.required:
            findings.add((*where, name), f"{label} lacks the key {name}", f"expected {_expected(field.type)}")
            values[name] = STAND_INS.get(name, "")
    return kind(**known, **values)


@cache
def _fields(kind: type[Part]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(kind)}


def _value(field: msgspec.structs.FieldInfo, value: object, where: KeyPath, label: str, findings: Findings) -> Any:
    """The value of one field, or what stands in for it; the elements of a list are looked at one by one."""
    item = next(iter(get_args(field.type)), None) if get_origin(field.type) is tuple else None
    if item is not None and isinstance(value, list):
        places = [((*where, index), one) for index, one in enumerate(value)]
        if isinstance(item, type) and issubclass(item, Part):
            owner = label.removeprefix("the department ")
            return tuple(_element(item, one, at, owner, findings) for at, one in places)
        return tuple(one if _fits(item, one, at, label, findings) else str(one) for at, one in places)
    if isinstance(field.type, type) and issubclass(field.type, Part):
        return _decode(field.type, value, where, f"the {field.name} of {label.removeprefix('the department ')}", findings)
    if _fits(field.type, value, where, label, findings):
        return msgspec.convert(value, field.type)
    if isinstance(value, str) and isinstance(inspect.type_info(field.type), inspect.StrType):
        return value  # a bad name: that others refer to it is not their fault
    made = field.default if field.default_factory is NODEFAULT else field.default_factory()
    return STAND_INS.get(field.name, "") if made is NODEFAULT else made


def _fits(kind: Any, value: object, where: KeyPath, label: str, findings: Findings) -> bool:
    """Is the value of that type? If not, this is noted."""
    try:
        msgspec.convert(value, kind)
        if value != "mai" or kind is not Rank:  # the one rank that no agent of a file has
            return True
    except msgspec.ValidationError:
        pass
    key = next(part for part in reversed(where) if isinstance(part, str))
    findings.add(where, f"{label}: {key} is {shown(value)}, expected {_expected(kind)}", _meant(kind, value))
    return False


def _element(kind: type[P], table: object, where: KeyPath, owner: str, findings: Findings) -> P:
    """One of the tables in a list: an agent of a department, a provider of models."""
    name = table.get("name") if isinstance(table, dict) else None
    label = f"the {NOUNS[kind]} {name}" if isinstance(name, str) else f"{NOUNS[kind]} {where[-1]}"
    return _decode(kind, table, where, f"{label} of {owner}", findings)


# -- words
@cache
def _expected(field_type: Any) -> str:
    """What a field may hold, in words."""
    match info := inspect.type_info(field_type):
        case inspect.IntType() | inspect.FloatType():
            words = f"a {'whole ' * isinstance(info, inspect.IntType)}number from {info.ge} to {info.le}"
        case inspect.LiteralType():
            words = f"one of {', '.join(_choices(info))}"
        case inspect.BoolType():
            words = "true or false"
        case inspect.StrType(pattern=str() as pattern) if pattern in PATTERNS:
            words = PATTERNS[pattern]
        case inspect.StrType(pattern=str() as pattern):
            words = NAME.format(" and -" if "-]" in pattern else "")
        case inspect.VarTupleType(item_type=inspect.StructType()):
            words = "a list of tables, each below a header in [[ ]]"
        case inspect.VarTupleType():
            words = 'a list of texts, such as ["one", "two"]'
        case inspect.Metadata(type=inspect.DictType()):
            words = "a table of comparisons, such as { amount_cents = { above = 10000 } }"
        case inspect.DictType():
            words = 'a table of fields with their types, such as { order = "int" }'
        case _:
            words = "a text in quotes"
    return words


def _meant(field_type: Any, value: object) -> str:
    """A hint for a word that is none of those allowed."""
    info = inspect.type_info(field_type)
    if isinstance(info, inspect.LiteralType) and isinstance(value, str):
        near = nearest(value, _choices(info), "")
        return near if near.endswith("?") else ""
    return ""


def _choices(info: inspect.LiteralType) -> list[str]:
    return [str(value) for value in info.values if value not in ("", "mai")]
