"""What Mai's journal holds beside what every journal holds. Pure."""

from typing import ClassVar

import msgspec

from mai.agents.body import Fields
from mai.agents.errand_messages import Transcript, Usage
from mai.agents.events import Event, register
from mai.agents.messages import Task
from mai.agents.organisation import Service


class PartPlan(msgspec.Struct, frozen=True):
    """One part of a request, and the department that it goes to, with the grounds of that choice."""

    department: str
    text: str
    contract: str  # "" for a free text
    input: Fields
    why: str
    agents: tuple[str, ...] = ()  # of the department, whom a free text seems to be for, best first


class PartAnswer(msgspec.Struct, frozen=True):
    """What came back for a part."""

    department: str
    text: str
    state: str
    answer: str
    value: Fields
    reason: str
    by: str
    sources: tuple[str, ...]


class RequestAccepted(Event, frozen=True, kw_only=True):
    """A client's request was taken in: from here on it is answered, once."""

    kind: ClassVar[str] = "request.accepted"
    request: str
    asker: str
    text: str
    accepted_ms: int
    deadline_ms: int
    watch: bool = False
    by: str = ""  # the user at the door; "" if Mai asks herself
    uid: int = -1
    role: str = ""  # under which this user may
    thread: str = ""  # the conversation that it belongs to; "" for Mai's own
    notice_ms: int = 0  # when a notice is due that it takes longer; 0: never


class RequestPlanned(Event, frozen=True, kw_only=True):
    """Mai's choice of departments; `why` gives its grounds where there is none to choose."""

    kind: ClassVar[str] = "request.planned"
    request: str
    parts: tuple[PartPlan, ...]
    why: str = ""


class PartEnded(Event, frozen=True, kw_only=True):
    """A department has answered its part."""

    kind: ClassVar[str] = "part.ended"
    request: str
    task: str
    answer: PartAnswer


class RequestEnded(Event, frozen=True, kw_only=True):
    """The one answer to a request, as the client sees it."""

    kind: ClassVar[str] = "request.ended"
    request: str
    state: str
    answer: str
    parts: tuple[PartAnswer, ...]
    elapsed_ms: int
    by: str = ""  # the provider and model that worded it; "" for the built-in wording
    note: str = ""  # what a person is told before it: that it corrects an earlier answer, or comes after notices
    at_ms: int = 0  # when that was, if it belongs to a conversation


class ContractChecked(Event, frozen=True, kw_only=True):
    """Mai's verdict on what one department asks of another."""

    kind: ClassVar[str] = "contract.checked"
    request: str
    task: str
    asking: str
    contract: str
    allowed: bool
    rule: str
    deadline_ms: int = 0
    body: Task | None = None  # what goes on, if it may


class ContractEnded(Event, frozen=True, kw_only=True):
    """A reply under a contract was checked and goes back, or its violation does."""

    kind: ClassVar[str] = "contract.ended"
    request: str
    task: str
    state: str
    reason: str = ""
    subjects: tuple[str, ...] = ()  # that who asked was told of, and may ask about now
    changed: bool = False  # something was done for it


class WordingDropped(Event, frozen=True, kw_only=True):
    """A model's words for an answer were not taken."""

    kind: ClassVar[str] = "wording.dropped"
    request: str
    by: str
    why: str


class ErrandChecked(Event, frozen=True, kw_only=True):
    """Mai's verdict on what an agent asks of a model or of a tool that needs the network; `task` is the errand's id."""

    kind: ClassVar[str] = "errand.checked"
    request: str
    task: str
    agent: str
    asking: str  # the process
    service: Service
    what: str  # the model or the tool
    allowed: bool
    rule: str
    deadline_ms: int
    size: int = 0  # bytes of what a model is asked


class ErrandEnded(Event, frozen=True, kw_only=True):
    """What came of it, and what it cost; the answer itself is in the journal of who asked."""

    kind: ClassVar[str] = "errand.ended"
    request: str
    task: str
    state: str
    reason: str = ""
    by: str = ""  # the provider and his model
    answer: str = ""  # address of the answer's text
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()
    transcript: Transcript | None = None  # of what a model was asked and has answered


register(
    RequestAccepted,
    RequestPlanned,
    PartEnded,
    RequestEnded,
    ContractChecked,
    ContractEnded,
    ErrandChecked,
    ErrandEnded,
    WordingDropped,
)
