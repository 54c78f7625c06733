"""What an organisation says of its departments, for finding the one that a free text is for: by words, and by embeddings."""

from collections.abc import Iterator

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

    return Planner({department.name: department.charter for department in departments}, phrase, matcher(organisation).fits)


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


def described(organisation: Organisation) -> list[tuple[str, str]]:
    """Each department's short descriptions, each once: what its contracts are about, how they are asked for, its agents' skills.

    A department that has none of these has its charter, or its name.
    """
    found: list[tuple[str, str]] = []
    for department in organisation.departments:
        texts = dict.fromkeys(text[:LONGEST] for text in _described(department) if text)
        found += ((department.name, text) for text in texts or (department.charter or department.name,))
    return found


def _described(department: Department) -> Iterator[str]:
    for contract in offered(department):
        yield contract.about
        yield from (phrase.translate({ord("{"): None, ord("}"): None}) for phrase in contract.phrases)
    for agent in department.agents:
        yield from agent.skills
