"""What an organisation says of its departments, for finding the one that a free text is for: by words, and by embeddings."""

from collections.abc import Iterator
from typing import NamedTuple

from mai.agents.match import Matcher
from mai.agents.organisation import Contract, Department, Organisation
from mai.agents.phrases import Found, Phrasebook
from mai.daemon.plan import Planner

LONGEST = 300  # characters of a description that are embedded


def planner(organisation: Organisation) -> Planner:
    """By names, phrases and words in common."""
    departments = organisation.departments
    book = Phrasebook({f"{d.name}.{c.name}": c for d in departments for c in offered(d)})

    def phrase(text: str) -> Found | None:
        return next(iter(book.find(text)), None)

    settings = organisation.escalation
    margin = 0.0 if settings.doubt == "no" else settings.margin
    return Planner(
        {department.name: department.charter for department in departments}, phrase, matcher(organisation).fits, margin
    )


def offered(department: Department) -> list[Contract]:
    """The contracts that the client herself may ask for."""
    return [contract for contract in department.contracts if "client" in contract.may_ask]


def matcher(organisation: Organisation) -> Matcher:
    """Descriptions of the departments: charter, contracts for the client, skills and charters of the agents."""
    return Matcher(
        {
            department.name: " . ".join(
                (
                    department.name,
                    department.charter,
                    *(_in_words(contract) for contract in offered(department)),
                    *(" ".join((agent.charter, *agent.skills)) for agent in department.agents),
                )
            )
            for department in organisation.departments
        }
    )


def _in_words(contract: Contract) -> str:
    return f"{contract.name} {contract.about} {' '.join(contract.phrases)}".replace("_", " ")


class Description(NamedTuple):
    """A short text about a department, and those of its workers that it speaks of."""

    department: str
    text: str
    agents: tuple[str, ...]


def described(organisation: Organisation) -> list[Description]:
    """Each department's short descriptions, each once: what its contracts are about, how they are asked for, its agents' skills.

    A department that has none of these has its charter, or its name.
    """
    found: list[Description] = []
    for department in organisation.departments:
        workers = {agent.name for agent in department.agents if agent.rank in ("specialist", "operator")}
        whose: dict[str, dict[str, None]] = {}
        for text, agent in _described(department):
            if text:
                whose.setdefault(text[:LONGEST], {}).update({agent: None} if agent in workers else {})
        if not whose:
            whose = {department.charter or department.name: {}}
        found += (Description(department.name, text, tuple(agents)) for text, agents in whose.items())
    return found


def _described(department: Department) -> Iterator[tuple[str, str]]:
    for contract in offered(department):
        yield contract.about, contract.served_by
        for phrase in contract.phrases:
            yield phrase.translate({ord("{"): None, ord("}"): None}), contract.served_by
    for agent in department.agents:
        yield from ((skill, agent.name) for skill in agent.skills)
