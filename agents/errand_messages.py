"""Messages about errands: what an agent asks of a model, or of a tool that needs the network, through Mai. Pure."""

from typing import Any

import msgspec

from mai.agents.approval_messages import Word
from mai.agents.body import Body, Fields, Outcome


class Inquiry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model is asked, by the addresses of its pieces: a long talk shares most of them with its last turn."""

    messages: tuple[str, ...]  # blobs, each one message as chat completions have it; those behind the ones of `talk`
    size: int  # bytes of all its pieces, each counted as often as it is named
    tools: str = ""  # a blob: the list of tools that it may call
    schema: str = ""  # a blob: {"name", "schema"} that the answer has to fit
    output_tokens: int = 0  # most of the answer; 0: as the model's own bound
    talk: str = ""  # a blob: the list of the messages before (talks.py)
    count: int = 0  # of all messages, where there is such a list

    @property
    def total(self) -> int:
        """How many messages it has."""
        return self.count or len(self.messages)


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an answer cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0  # billionths of the currency that the prices are in
    estimated: bool = False  # an upper bound: the provider did not say

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


class Transcript(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the exact bytes of a question and of its answer are on record, and what they are."""

    process: str  # whose journal has them
    asked: int  # its record of the request
    request: str  # SHA-256 of the bytes that went to the provider
    heard: int  # its record of the response
    response: str  # SHA-256 of the bytes that came back


class Think(Body, frozen=True, tag="think"):
    """An agent asks a model, through Mai."""

    id: str  # derives from the task and the step
    request: str
    agent: str  # an address
    model: str  # a name in the organisation
    inquiry: Inquiry
    until_ms: int = 0  # the deadline of its request; Mai says so where tokens are counted by request


class Thought(Body, frozen=True, tag="thought"):
    """What came of Think."""

    id: str
    request: str
    state: Outcome  # answered, refused, failed, expired
    answer: str = ""  # a blob: {"text", "calls": [{"id", "name", "arguments"}], "finish"}
    reason: str = ""
    by: str = ""  # "main/gpt-5-mini"
    usage: Usage = Usage()  # of all attempts
    notes: tuple[str, ...] = ()  # why others were not asked or did not answer; that a budget is nearly spent
    advice: bool = False  # it is on record, and counts for nothing
    transcript: Transcript | None = None  # of the attempt that gave the answer


class Use(Body, frozen=True, tag="use"):
    """An agent uses a tool that needs the network, through Mai."""

    id: str
    request: str
    agent: str
    tool: str  # "support.search"
    key: str  # the same for each try of one effect
    input: Fields
    word: Word | None = None  # who has approved it


class Used(Body, frozen=True, tag="used"):
    """What came of Use."""

    id: str
    request: str
    value: Any = None
    refused: str = ""
    doubt: bool = False  # it may have happened
    clear: bool = False  # it was refused or failed, and nothing has happened
