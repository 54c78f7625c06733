"""What an erasure leaves of a record: its structure, and nothing of its values. Each field is known to be one or the other."""

from typing import Any

import msgspec
import pytest
from msgspec import inspect

from mai.agents import events
from mai.agents.markers import HIDDEN, KEPT, MORE, TEXTS, VALUES, VEILED, emptied, marked, redacted
from mai.agents.naming import Names
from mai.daemon.kinds import kinds

ANNA = "anna@example.org"
NAMES = Names(ANNA, "e1", b"salt")
PLANTED = "Quittenmus"
STRUCTURE = frozenset(  # fields that hold ids, names, states, and addresses: what a journal's laws need
    """
    again agent agents approval approvers approves asker asking attempt attribute before blobs body breach by
    call case cases chain channel claim claims clause code context contract day department digest effect erasure
    failed file grounds head how id ident instead kept key kinds known late level libraries links losers lost messages model
    more name of open order organisation own owner parent peer periods pieces policies policy prev process
    provider rank ranked receiver remedy replaces request requester response rests role rule schema scope
    sender sha256 sources state stopped subject subjects successor talk target task tasks thread to tool tools
    under undo undoes url user verb verdict was version votes walls wanted what who whose winner word
    """.split()
)


def test_every_field_is_known() -> None:
    """Each field of a record or message that can hold a text is a value or a part of the structure: a new one has to be put."""
    kinds()
    fields = {name for kind in events.KINDS.values() for name in texts_of(inspect.type_info(kind), set())}
    assert fields - VALUES - TEXTS - VEILED - STRUCTURE == set()


def texts_of(found: Any, seen: set[type]) -> set[str]:
    """Names of all fields below a type that can hold a text."""
    names: set[str] = set()
    match found:
        case inspect.StructType(cls=cls) if cls not in seen:
            seen.add(cls)
            for field in found.fields:
                names |= texts_of(field.type, seen) | ({field.name} if is_text(field.type) else set())
        case inspect.UnionType(types=types):
            names = set().union(*(texts_of(one, seen) for one in types))
        case inspect.ListType() | inspect.VarTupleType():
            names = texts_of(found.item_type, seen)
        case inspect.DictType():
            names = texts_of(found.value_type, seen)
    return names


def is_text(found: Any) -> bool:
    """Can a value of this type be a text, or hold one?"""
    match found:
        case inspect.StrType() | inspect.AnyType() | inspect.DictType():
            return True
        case inspect.UnionType(types=types):
            return any(map(is_text, types))
        case inspect.ListType() | inspect.VarTupleType():
            return is_text(found.item_type)
    return False


def planted(found: Any, depth: int = 0) -> Any:  # noqa: PLR0911  one for each sort of type
    """A value of this type with the planted word in each text."""
    match found:
        case inspect.StructType():
            made = {field.encode_name: planted(field.type, depth + 1) for field in found.fields}
            return {found.tag_field: found.tag, **made} if found.tag_field else made
        case inspect.UnionType(types=types):
            best = [one for one in types if not isinstance(one, inspect.NoneType)]
            return planted(best[0], depth) if depth < 6 else None
        case inspect.ListType() | inspect.VarTupleType():
            return [planted(found.item_type, depth + 1)]
        case inspect.TupleType(item_types=types):
            return [planted(one, depth + 1) for one in types]
        case inspect.DictType():
            return {"name": planted(found.value_type, depth + 1), ANNA: planted(found.value_type, depth + 1)}
        case inspect.StrType():
            return PLANTED
        case inspect.AnyType():
            return {"order": 10423, "note": PLANTED, ANNA: [ANNA, PLANTED, True, None]}
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.BoolType():
            return True
        case inspect.IntType() | inspect.FloatType():
            return 1
    return None


def bodies(kind: type[events.Event]) -> list[dict[str, Any]]:
    """Records of a kind, one for each message that they can hold."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    made = planted(info)
    held = next((field.type for field in info.fields if field.name == "body"), None)
    if isinstance(held, inspect.UnionType):
        return [{**made, "body": planted(one)} for one in held.types if not isinstance(one, inspect.NoneType)]
    return [made]


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_values_go_and_the_structure_stays(kind: str) -> None:
    """Of each kind: no value is left in a field of values, what is left can be folded, and erasing it again changes nothing."""
    if kind not in events.KINDS:
        return  # the watchdog's
    for body in bodies(events.KINDS[kind]):
        text = msgspec.json.encode(body).decode()
        left = redacted(kind, text, NAMES)
        assert type(events.decode(kind, left)) is events.KINDS[kind]
        assert redacted(kind, left, NAMES) == left
        assert ANNA not in left
        assert not [at for at in standing(kind, msgspec.json.decode(left)) if at[1] in VALUES | TEXTS and at not in KEPT]


def standing(where: str, value: Any, name: str = "") -> list[tuple[str, str]]:
    """The fields in which the planted word still stands."""
    match value:
        case str():
            return [(where, name)] if PLANTED in value else []
        case dict():
            inside = value.get("is", name or where)
            return [at for key, one in value.items() for at in standing(inside, one, key)]
        case list():
            return [at for one in value for at in standing(where, one, name)]
    return []


def test_what_names_a_person() -> None:
    """A word names it as a whole, as a part of a key or of a conversation's name, whatever its case; not in a sentence."""
    for text in (ANNA, f"mail:{ANNA}", f"customer/{ANNA}", "Anna@Example.org", f"a,{ANNA}|x"):
        assert NAMES.name(text) and ANNA not in NAMES.renamed(text).casefold()
    for text in (f"write to {ANNA} now", f"x{ANNA}", f"{ANNA}.de", ""):
        assert not NAMES.name(text) and NAMES.renamed(text) == text
    assert NAMES.renamed(f"customer/{ANNA}") == "customer/erased-e1"
    assert NAMES.renamed("ANNA@example.org") not in ("erased-e1", "ANNA@example.org")
    assert Names("10423", "e1").inside({"order": 10423}) and not Names("10423", "e1").inside({"order": 104230})
    assert not Names("1", "e1").inside({"done": True})


def test_markers_keep_the_shape() -> None:
    """Leaves become markers that say what they were; lists keep their length, names of fields stay, all others go."""
    left = emptied({"order": 7, "paid": True, "to": "Anna", "Anna B.": [1.5, None, ""]}, NAMES)
    assert left == {
        "order": "(erased e1: number)", "paid": "(erased e1: bool)", "to": "(erased e1)",
        "erased-4": ["(erased e1: number)", None, ""],
    }  # fmt: skip
    assert marked(left) and not marked({"a": ["(erased", "erased"]})
    assert MORE and HIDDEN
