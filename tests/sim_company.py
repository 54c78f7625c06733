"""The simulated company: four departments with all ranks, contracts between them, and tools of all four kinds of effect."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from zmq.utils import z85

from mai.agents.body import Fields
from mai.agents.budget_scope import DayLimits, RequestLimits
from mai.agents.carrying import equipped
from mai.agents.channels import Channel
from mai.agents.conflict_scope import Conflicts, Precedence
from mai.agents.contracts import Contracts
from mai.agents.doors import Grant
from mai.agents.escalation_scope import Escalations
from mai.agents.leaves import Leaves
from mai.agents.match import Matcher
from mai.agents.organisation import Agent, Contract, Department, Limits, Mandate, Organisation, Tool, mandate
from mai.agents.policy_scope import Policy
from mai.agents.process import matcher
from mai.agents.shift_scope import Shift
from mai.agents.table import Table
from mai.daemon.descriptions import planner
from mai.daemon.plan import Plan, Planner
from mai.sandbox.keys import Hand, Known, Pair, fingerprint
from tests.opened import OPEN

OFFICERS = (2001, 2002, 2003)  # users who may approve; all else is done by root
BY_PERSON, BY_TWO, BY_BOARD = (101, 104), (102,), (103, 105)  # cents that wait for somebody
ASK_PERSON, ASK_TWO, ASK_BOARD = (101,), (102,), (104, 105)  # cents that the client's own asks for charges wait for
NEVER, CLOSED = (100, 106), (107,)  # cents that no tool takes, and that nobody may ask for
HOWS = ("opaque", "keyed", "asked", "look", "hand")
CODE = "sim_work.py"
DISPUTES = Conflicts(
    settle_s=20, person_s=300, precedence=(Precedence(name="who has them", attribute="goods", by=("votes", "stock")),)
)
PLEAS = Escalations(person_s=30, refusal="person", deadline="person", doubt="person")
DAY_TASKS, ASKS = 9, 4  # of the stock in a day; for contracts, of one request
TEAM = ("keeper", "packer")
TASK_S = 3600.0
QUICK = {"hauler": 20.0}  # seconds that they have
GUARD_S = 900.0  # bounds in real time, which is not the world's: never reached


SKILLS = {
    "clerk": ("notes",),
    "scribe": ("notes",),
    "teller": ("counting",),
    "porter": ("boxes by hand",),
    "hauler": ("boxes by cart",),
}


def _agents(*workers: tuple[str, str, tuple[str, ...]]) -> tuple[Agent, ...]:
    ranks = (Agent(name="board", rank="board"), Agent(name="coordinator", rank="coordinator"))
    made = (
        Agent(name=name, rank=rank, handler=f"{CODE}:{name}", tools=tools, skills=SKILLS.get(name, ()), task_s=QUICK.get(name, 0))  # type: ignore[arg-type]  # a Literal
        for name, rank, tools in workers
    )
    return (*ranks, *made)


def _tool(name: str, effect: str) -> Tool:
    asked_by = f"{CODE}:whether" if effect == "queryable" else ""
    return Tool(name=name, handler=f"{CODE}:{name}", effect=effect, timeout_s=GUARD_S, asked_by=asked_by)  # type: ignore[arg-type]  # a Literal


@cache
def company() -> Organisation:
    """The same object each time, so that what is compiled for it is found again."""
    money: Fields = {"cents": "int", "how": "str"}
    order = Contract(
        name="order", about="", served_by="seller", may_ask=("client",), request=money, reply={"paid": "int", "items": "int"},
        phrases=("order by {how} for {cents}",),
    )  # fmt: skip
    charge = Contract(
        name="charge", about="", served_by="cashier", may_ask=("sales", "client"), request=money, reply={"paid": "int"},
        phrases=("charge by {how} for {cents}",),
    )  # fmt: skip
    reserve = Contract(
        name="reserve", about="", served_by="keeper", may_ask=("sales",), request={"items": "int"}, reply={"items": "int"}
    )
    cents: Fields = {"cents": "int"}
    price = Contract(
        name="price", about="", served_by="pricer", may_ask=("sales",), request=cents, reply=cents, backups=("depot.price",)
    )
    shelf = Contract(
        name="shelf", about="", served_by="looker", may_ask=("sales",), request=cents, reply=cents, subject="cents"
    )  # its code says too much, at first or always
    value = msgspec.structs.replace(price, served_by="valuer", backups=())
    ways = ("opaque", "keyed", "asked", "look", "spare")
    takes = (*ways[:3], "spare")
    policies = (
        Policy(name="person", verdict="person", tools=takes, when={"cents": {"in": BY_PERSON}}),
        Policy(name="two", verdict="person", tools=takes, when={"cents": {"in": BY_TWO}}, four_eyes=True, expires_s=20),
        Policy(name="board", verdict="board", tools=takes, when={"cents": {"in": BY_BOARD}}),
        Policy(name="rest", verdict="allow", tools=takes),
    )
    asked: dict[str, Any] = {"contracts": ("finance.charge",), "departments": ("client",)}
    general = (
        Policy(name="ask", verdict="person", when={"cents": {"in": ASK_PERSON}}, **asked),
        Policy(name="ask_two", verdict="board", when={"cents": {"in": ASK_TWO}}, four_eyes=True, **asked),
        Policy(name="ask_board", verdict="board", when={"cents": {"in": ASK_BOARD}}, **asked),
        Policy(name="never", verdict="deny", tools=tuple(f"finance.{name}" for name in takes), when={"cents": {"in": NEVER}}),
        Policy(name="closed", verdict="deny", contracts=("finance.charge",), when={"cents": {"in": CLOSED}}),
    )
    many = Policy(name="many", verdict="board", tools=("fetch",), when={"items": {"at_least": 7}})
    effects = {"opaque": "opaque", "keyed": "idempotent", "asked": "queryable", "look": "none", "spare": "queryable"}
    tools = tuple(_tool(name, effects[name]) for name in ways)
    tools = tuple(msgspec.structs.replace(one, backup="spare") if one.name == "asked" else one for one in tools)
    whole = Organisation(
        name="simulated", clients=("acme",), digest="0123456789abcdef", base=str(Path(__file__).parent),
        policies=general,
        doors=(Grant(role="operator", users=tuple(map(str, OFFICERS))),),
        conflicts=DISPUTES, escalation=PLEAS,
        limits=Limits(
            turn_s=GUARD_S, task_s=TASK_S, queue=40, asks_per_s=1, words_per_s=4, request=RequestLimits(asks=ASKS, hops=60)
        ),
        departments=(
            Department(
                name="sales", charter="Takes orders.", contracts=(order,), memory=OPEN,
                agents=_agents(("seller", "specialist", ()), ("clerk", "operator", ()), ("scribe", "operator", ())),
            ),
            Department(
                name="finance", charter="Takes money.", contracts=(charge,), tools=tools,
                agents=(
                    Agent(name="board", rank="board", handler=f"{CODE}:treasurer"),
                    *_agents(("cashier", "specialist", ways), ("teller", "operator", ways))[1:],
                ),
                policies=policies,
            ),
            Department(
                name="stock", charter="Gives goods.", contracts=(reserve, price, shelf),
                tools=(_tool("fetch", "idempotent"),),
                agents=_agents(
                    ("keeper", "operator", ("fetch",)), ("pricer", "operator", ()), ("looker", "operator", ()),
                    ("porter", "operator", ()), ("hauler", "operator", ()), ("packer", "operator", ("fetch",)),
                ),
                day=DayLimits(tasks=DAY_TASKS), shifts=(Shift(name="all", operators=TEAM),),
                leaves=Leaves(withheld=("margin",)), policies=(many, Policy(name="few", verdict="allow", tools=("fetch",))),
            ),
            Department(
                name="depot", charter="Knows prices.", contracts=(value,), tools=(_tool("post", "idempotent"),),
                policies=(Policy(name="answers", verdict="allow", tools=("post",)),),
                agents=_agents(("valuer", "operator", ()), ("writer", "operator", ())),
            ),
        ),
        channels=(Channel(name="note", department="depot", desk=("writer",), tool="post", spool=True, interim_s=60.0),),
    )  # fmt: skip
    return equipped(whole)


# -- what a process compiles at each start, and is the same in each world
@cache
def public(name: str) -> bytes:
    """What stands for the key of a process in a world without keys."""
    return bytes(z85.encode(hashlib.sha256(name.encode()).digest()))


@cache
def key(name: str) -> str:
    """Its fingerprint."""
    return fingerprint(public(name))


@cache
def hand(name: str) -> Hand:
    """What a process finds for its keys."""
    known = Known({public(one): one for one in company().processes()})
    return Hand(Pair(public(name), b""), public("acme/mai"), known, "")


@cache
def part(name: str) -> Mandate:
    """What a process is told."""
    client, department = name.split("/")
    return mandate(company(), client, department)


_kept: dict[tuple[str, int], object] = {}


def contracts(organisation: Organisation) -> Contracts:
    """Compiled once for each mandate."""
    found = _kept.setdefault(("contracts", id(organisation)), Contracts(organisation))
    assert isinstance(found, Contracts)
    return found


def table(organisation: Organisation) -> Table:
    """Computed once for each mandate."""
    found = _kept.setdefault(("table", id(organisation)), Table(organisation))
    assert isinstance(found, Table)
    return found


_matchers: dict[int, Matcher] = {}


def matched(department: Department) -> Matcher:
    """Made once for each department."""
    if id(department) not in _matchers:
        _matchers[id(department)] = matcher(department)
    return _matchers[id(department)]


@cache
def _planner() -> Planner:
    return planner(company())


@cache
def planned(text: str) -> Plan:
    """The plan of a text, by the production planner."""
    return _planner().worded(text)
