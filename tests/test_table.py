"""Who may hand a task to whom: the compiled table allows what the matrix and the contracts allow, and nothing else."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from mai.agents.organisation import RANKS, Agent, Contract, Department, Organisation, Rank, mandate
from mai.agents.table import MATRIX, Table, Verdict

# The table of the design, once more and in another form: from, then to Mai, board, coordinator, specialist, operator.
DESIGN = """
mai          .  yes  no   no   no
board        yes .   yes  yes  no
coordinator  no  yes yes  yes  yes
specialist   no  no  yes  no   no
operator     no  no  yes  no   no
"""
ALLOWED = {
    (row.split()[0], receiver)
    for row in DESIGN.strip().splitlines()
    for receiver, word in zip(RANKS, row.split()[1:], strict=True)
    if word == "yes"
}
NAMES = ("alpha", "beta", "gamma", "delta")
RANKED: tuple[Rank, ...] = ("coordinator", "specialist", "operator")


@st.composite
def organisations(draw: st.DrawFn) -> Organisation:
    """A few departments with any ranks below the board, and contracts that are open to any of them."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return Organisation(name="x", clients=("acme", "beta"), departments=tuple(draw(departments(name, names)) for name in names))


@st.composite
def departments(draw: st.DrawFn, name: str, names: list[str]) -> Department:
    """One department."""
    ranks: list[Rank] = ["board", *draw(st.lists(st.sampled_from(RANKED), max_size=7))]
    agents = tuple(
        Agent(name=f"a{number}", rank=rank, reports_to=draw(st.sampled_from(["", "a1", "a2", "a3"])))
        for number, rank in enumerate(ranks)
    )
    askers = st.lists(st.sampled_from([*names, "client"]), unique=True)
    contracts = tuple(
        Contract(name=f"c{number}", about="", served_by="a1", may_ask=tuple(draw(askers)))
        for number in range(draw(st.integers(0, 3)))
    )
    return Department(name=name, charter="", agents=agents, contracts=contracts)


def support(*agents: tuple[str, Rank, str], contracts: tuple[Contract, ...] = ()) -> Organisation:
    """An organisation of the department support, and sales without anybody but a board."""
    staff = tuple(Agent(name=name, rank=rank, reports_to=above) for name, rank, above in (("chair", "board", ""), *agents))
    sales = Department(name="sales", charter="", agents=(Agent(name="board", rank="board"),))
    return Organisation(
        name="x",
        clients=("acme",),
        departments=(Department(name="support", charter="", agents=staff, contracts=contracts), sales),
    )


DESK = support(
    ("first", "coordinator", ""),
    ("second", "coordinator", ""),
    ("analyst", "specialist", "second"),
    ("desk", "operator", ""),
    contracts=(
        Contract(name="refund", about="", served_by="desk", may_ask=("sales", "client")),
        Contract(name="tickets", about="", served_by="analyst", may_ask=("client",)),
    ),
)


def test_the_matrix_is_the_design() -> None:
    """The constant says what the design's table says, for all pairs of ranks."""
    assert {(giving, taking) for giving, receivers in MATRIX.items() for taking in receivers} == ALLOWED


@given(organisations())
def test_a_hop_is_allowed_as_the_ranks_say(organisation: Organisation) -> None:
    """Any two agents of a department, and Mai, may hand on what the matrix says; nobody hands a task to itself."""
    table = Table(organisation)
    for department in organisation.departments:
        ranks = {"mai": "mai", **{agent.name: agent.rank for agent in department.agents}}
        for (sender, giving), (receiver, taking) in product(ranks.items(), repeat=2):
            allowed = (giving, taking) in ALLOWED and sender != receiver
            assert table.hop(department.name, sender, receiver).allowed == allowed, (sender, receiver)


@given(organisations())
def test_a_refusal_names_what_would_be_allowed(organisation: Organisation) -> None:
    """Whatever a refused sender is told to do instead is allowed, and it is told all of it."""
    table = Table(organisation)
    for department in organisation.departments:
        names = ["mai", *(agent.name for agent in department.agents)]
        for sender in names:
            allowed = {name for name in names if table.hop(department.name, sender, name).allowed}
            for verdict in (table.hop(department.name, sender, name) for name in names):
                assert verdict.allowed or set(verdict.instead) == allowed


@given(organisations())
def test_a_contract_is_open_to_those_it_names(organisation: Organisation) -> None:
    """Only who stands in may_ask gets a contract, never its own department; the verdict then carries the contract."""
    table = Table(organisation)
    for department in organisation.departments:
        for contract in department.contracts:
            name = f"{department.name}.{contract.name}"
            for asking in (*NAMES, "client"):
                verdict = table.contract(asking, name)
                assert verdict.allowed == (asking in contract.may_ask and asking != department.name)
                assert verdict.contract == (contract if verdict.allowed else None)
                assert (
                    verdict.allowed or all(one in table.open_to(asking) for one in verdict.instead) or asking == department.name
                )


@given(organisations())
def test_a_mandate_gives_its_department_the_same_table(organisation: Organisation) -> None:
    """A department that sees only its part of the organisation judges its own hops and contracts as the whole does."""
    whole = Table(organisation)
    names = [f"{one.name}.{contract.name}" for one in organisation.departments for contract in one.contracts]
    for department in organisation.departments:
        part = Table(mandate(organisation, "acme", department.name))
        agents = ["mai", "nobody", *(agent.name for agent in department.agents)]
        for sender in agents:
            for receiver in agents:
                assert part.hop(department.name, sender, receiver) == whole.hop(department.name, sender, receiver)
        for name in names:
            mine, theirs = part.contract(department.name, name), whole.contract(department.name, name)
            assert (mine.allowed, mine.contract, set(mine.instead)) == (theirs.allowed, theirs.contract, set(theirs.instead))


@given(organisations())
def test_paths_are_counted(organisation: Organisation) -> None:
    """The number of paths is the number of pairs that are allowed, and of contracts times who may ask."""
    table = Table(organisation)
    hops = sum(
        table.hop(department.name, sender, receiver).allowed
        for department in organisation.departments
        for sender in ("mai", *(agent.name for agent in department.agents))
        for receiver in ("mai", *(agent.name for agent in department.agents))
    )
    askers = [one.name for one in organisation.departments]
    names = [f"{one.name}.{contract.name}" for one in organisation.departments for contract in one.contracts]
    contracts = sum(table.contract(asking, name).allowed for asking in askers for name in names)
    agents = 1 + sum(len(one.agents) for one in organisation.departments)
    counted = table.paths()
    assert (counted.agents, counted.hops, counted.contracts) == (agents, hops, contracts)
    assert (counted.all, counted.mesh) == (hops + contracts, agents * (agents - 1))


@given(st.text(), st.text(), st.text())
def test_the_unknown_is_refused(department: str, sender: str, receiver: str) -> None:
    """Names that no organisation has are a refusal with a sentence, never an exception."""
    table = Table(DESK)
    for verdict in (
        table.hop(department, sender, receiver),
        table.hop("support", sender, receiver),
        table.contract(department, sender),
    ):
        assert not verdict.allowed
        assert verdict.rule
    assert table.coordinator_of(department, sender) == ""
    assert table.rank("support", receiver + "?") is None


def test_a_refusal_explains() -> None:
    """A refusal says which ranks are allowed and whom to ask, the worker's own coordinator first."""
    assert Table(DESK).hop("support", "analyst", "desk") == Verdict(
        False, "a specialist may hand a task to a coordinator only, not to an operator: ask second, first", ("second", "first")
    )
    assert Table(DESK).hop("support", "mai", "desk").instead == ("chair",)
    assert Table(DESK).hop("support", "desk", "dsek").rule == "support has no agent dsek: ask first, second"


def test_a_refused_contract_explains() -> None:
    """Who may not ask for a contract is told which it may ask for; who owns it, whom to ask by name."""
    table = Table(DESK)
    refused = table.contract("sales", "support.tickets")
    assert (refused.rule, refused.instead) == (
        "sales may not ask for support.tickets; it may ask for support.refund",
        ("support.refund",),
    )
    assert table.contract("support", "support.refund").instead == ("desk",)
    assert table.contract("support", "sales.nothing").rule == "no contract sales.nothing is open to support; it may ask for none"


def test_workers_report_to_their_coordinator() -> None:
    """A worker reports to the coordinator that it names, else to the first; nobody else reports by name."""
    table = Table(DESK)
    above = {name: table.coordinator_of("support", name) for name in ("analyst", "desk", "first", "chair", "mai")}
    assert above == {"analyst": "second", "desk": "first", "first": "", "chair": "", "mai": ""}
    assert (table.reports("support", "first"), table.reports("support", "second")) == (("desk",), ("analyst",))
