"""What the scripted provider plays: a script's format, which of its rules a request meets, and what goes wrong with it. Pure.

A script is TOML. Each rule has conditions, all of which must hold, and says what is answered; the first rule that
holds is taken, and where none does the answer is invented (`invented.py`):

    seed = 7                          # of the faults; another seed, other faults
    models = ["scripted"]             # that exist; by default a request may name any
    retry_after = { seconds = 1 }     # what 429 and 503 say; or { ms = 200 }, { date = 2 }: so many seconds from now

    [faults]                          # what goes wrong how often, of all requests that no rule gives a fault
    "429" = 0.10
    hang = 0.05

    [[rules]]
    user = 'refund order (?P<order>\\d+)'        # searched in the last message of the user
    tool = "find_order"                         # a tool that is offered
    results = 0                                 # results of tools since that message
    calls = [{ name = "find_order", arguments = { order = "{order}" } }]

    [[rules]]
    system = "You are the board"                # searched in all that the system says
    schema = "ruling"                           # the JSON schema's name; true for any, false for none
    json = { approved = true, reason = "within the limit" }

    [[rules]]
    model = "slow"                              # the whole name, as a regular expression
    nth = [1, 2]                                # only the first two requests that meet the rest of this rule
    attempt = [1]                               # only the first time that this very request comes
    fault = "503"
    delay_ms = 200                              # before the first byte
    pause_ms = 20                               # before each further piece of a stream
    piece = 8                                   # characters in a piece

`{order}` in an answer is what the group of that name has found; alone in a string it becomes a number if it is one.
Answers: `text`, `json`, `calls`, `echo = true` (the user's last message), or none of them: invented.
Which fault a request meets follows from the seed, the request's own digest and how often it has come: each run is the same.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, field

from mai.sandbox.errors import UsageFault

KINDS: Final[dict[str, str]] = {
    "hang": "never answers, until the caller goes",
    "stall": "sends half, then nothing, until the caller goes",
    "half": "sends half, then closes the connection",
    "drop": "closes the connection before it has answered anything",
    "cut": "closes the connection after the headers",
    "broken": "an answer that ends in the middle: where JSON was asked for, it cannot be read",
    "garbage": "a body that is no JSON",
    "type": "a page of HTML with status 200",
    "null": "`choices` is null",
    "nousage": "says nothing of usage",
    "giant": "an answer of two megabytes, whatever bound was named",
}
Rate = Annotated[float, Meta(ge=0, le=1)]
Wait = Annotated[float, Meta(ge=0, le=86_400_000)]
_encoder = msgspec.json.Encoder(order="deterministic")


class Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What all tables of a script share: an unknown key is a fault."""


class RetryAfter(Part, frozen=True, kw_only=True):
    """When to come again, in one of the three ways that providers say it."""

    seconds: float | None = None
    ms: int | None = None
    date: float | None = None  # seconds from now, told as a date


class ScriptedCall(Part, frozen=True, kw_only=True):
    """A tool that the model wants called. `arguments` may be a text, and then it need not be JSON."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)


class Rule(Part, frozen=True, kw_only=True):
    """When, and what then; see the module's text."""

    user: str = ""
    system: str = ""
    model: str = ""
    tool: str = ""
    schema: bool | str | None = None
    results: int | None = None
    nth: tuple[int, ...] = ()
    attempt: tuple[int, ...] = ()
    text: str | None = None
    json: Any = None
    calls: tuple[ScriptedCall, ...] = ()
    echo: bool = False
    fault: str = ""
    retry_after: RetryAfter | None = None
    delay_ms: Wait = 0
    pause_ms: Wait = 0
    piece: Annotated[int, Meta(ge=1)] = 16


class Script(Part, frozen=True, kw_only=True):
    """A whole script. Without rules everything is invented."""

    seed: int = 0
    models: tuple[str, ...] = ()
    retry_after: RetryAfter | None = None
    faults: dict[str, Rate] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request as rules see it, whatever protocol it came in."""

    model: str
    system: str
    user: str  # the last message of the user
    results: int  # of tools, since that message
    tools: Mapping[str, Any]  # name -> schema of its arguments
    must_call: str = ""  # "*" for any tool
    schema_name: str = ""
    schema: Any = None  # None: free text
    output_tokens: int = 0  # at most; 0 is no bound
    stream: bool = False
    with_usage: bool = True
    digest: str  # of the request's canonical form
    input_tokens: int


class Cue(msgspec.Struct, frozen=True, kw_only=True):
    """What is played for one request: the rule, what its groups have found, and what goes wrong."""

    rule: Rule
    number: int  # of the rule, from 1; 0 if none holds
    groups: Mapping[str, str]
    fault: str
    attempt: int


def load(text: str, name: str = "the script") -> Script:
    """A script from TOML. Raises UsageFault."""
    try:
        script = msgspec.convert(tomllib.loads(text), Script)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageFault(f"{name}: {error}", "MANUAL.md shows what a script may say") from None
    return checked(script, name)


def checked(script: Script, name: str = "the script") -> Script:
    """The same script, if it can be played. Raises UsageFault."""
    if sum(script.faults.values()) > 1:
        raise UsageFault(f"{name}: the rates of the faults come to more than 1", "make them smaller")
    wanted = [*((f"faults.{kind}", kind) for kind in script.faults)]
    wanted += [(f"rule {number}", rule.fault) for number, rule in enumerate(script.rules, 1) if rule.fault]
    for where, kind in wanted:
        if kind not in KINDS and not re.fullmatch("[45][0-9][0-9]", kind):
            raise UsageFault(f"{name}: {where}: {kind!r} is no fault", f"a status from 400 to 599, or {', '.join(KINDS)}")
    for number, rule in enumerate(script.rules, 1):
        if sum([rule.text is not None, rule.json is not None, bool(rule.calls), rule.echo]) > 1:
            raise UsageFault(f"{name}: rule {number} has more than one answer", "one of text, json, calls, echo")
        for pattern in (rule.user, rule.system, rule.model):
            _compiled(pattern, f"{name}: rule {number}")
    return script


def _compiled(pattern: str, where: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageFault(f"{where}: {pattern!r} is no regular expression: {error}", "a backslash is safe in '…'") from None


class Prompter:
    """Finds the cue for each request; counts what has come, so that the same requests in the same order get the same cues."""

    def __init__(self, script: Script, seed: int | None = None) -> None:
        self.script = script
        self.seed = script.seed if seed is None else seed
        self._met: dict[int, int] = {}  # rule -> requests that met all but its `nth`
        self._came: dict[str, int] = {}  # digest -> how often

    def cue(self, prompt: Prompt) -> Cue:
        """What is played for this request; counts it."""
        attempt = self._came[prompt.digest] = self._came.get(prompt.digest, 0) + 1
        rule, number, groups = next(self._holding(prompt, attempt), (Rule(), 0, {}))
        fault = rule.fault or self._chance(prompt.digest, attempt)
        return Cue(rule=rule, number=number, groups=groups, fault=fault, attempt=attempt)

    def _holding(self, prompt: Prompt, attempt: int) -> Iterator[tuple[Rule, int, dict[str, str]]]:
        """The rules that hold. A request that one rule takes is counted by the others too."""
        met = [(rule, number, meets(rule, prompt, attempt)) for number, rule in enumerate(self.script.rules, 1)]
        found = [(rule, number, groups) for rule, number, groups in met if groups is not None]
        for _, number, _ in found:
            self._met[number] = self._met.get(number, 0) + 1
        return (one for one in found if not one[0].nth or self._met[one[1]] in one[0].nth)

    def retry_after(self, cue: Cue) -> RetryAfter | None:
        """When the caller is told to come again."""
        return cue.rule.retry_after or self.script.retry_after

    def _chance(self, digest: str, attempt: int) -> str:
        drawn = share(self.seed, digest, attempt)
        for kind, rate in sorted(self.script.faults.items()):
            drawn -= rate
            if drawn < 0:
                return kind
        return ""


def meets(rule: Rule, prompt: Prompt, attempt: int) -> dict[str, str] | None:
    """What the rule's named groups have found if all its conditions but `nth` hold, else None."""
    user, system = re.search(rule.user, prompt.user), re.search(rule.system, prompt.system)
    if user is None or system is None or (rule.model and not re.fullmatch(rule.model, prompt.model)):
        return None
    wanted: list[bool] = [
        not rule.tool or rule.tool in prompt.tools,
        rule.results is None or rule.results == prompt.results,
        not rule.attempt or attempt in rule.attempt,
        rule.schema is None or _schema_fits(rule.schema, prompt),
    ]
    found = {**user.groupdict(), **system.groupdict()}
    return {name: value or "" for name, value in found.items()} if all(wanted) else None


def _schema_fits(wanted: bool | str, prompt: Prompt) -> bool:
    return wanted == prompt.schema_name if isinstance(wanted, str) else wanted == (prompt.schema is not None)


def share(*of: object) -> float:
    """A number from 0 to 1, below 1, that follows from its arguments alone."""
    drawn = hashlib.sha256(repr(of).encode()).digest()
    return int.from_bytes(drawn[:7], "big") / (1 << 56)


def canonical(value: object) -> str:
    """Its JSON, with the keys in order and without blanks."""
    return _encoder.encode(value).decode()


def digest_of(body: Mapping[str, Any]) -> str:
    """The digest of a request: of its canonical JSON. Whether the answer comes as a stream makes no other request of it."""
    asked = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}
    return hashlib.sha256(canonical(asked).encode()).hexdigest()


def filled(value: Any, groups: Mapping[str, str]) -> Any:
    """A value of the script with `{group}` replaced by what the group has found."""
    match value:
        case str():
            return _filled_text(value, groups)
        case dict():
            return {key: filled(one, groups) for key, one in value.items()}
        case list() | tuple():
            return [filled(one, groups) for one in value]
    return value


def _filled_text(text: str, groups: Mapping[str, str]) -> Any:
    for name, found in groups.items():
        if text == f"{{{name}}}" and re.fullmatch("-?[0-9]{1,18}", found):
            return int(found)
    replaced: Callable[[re.Match[str]], str] = lambda match: groups.get(match[1], match[0])  # noqa: E731
    return re.sub(r"\{(\w+)\}", replaced, text)


def tokens(text: str) -> int:
    """How many tokens a text has here: one for each four bytes of its UTF-8, begun ones too."""
    return -(-len(text.encode()) // 4)


def as_json(value: Any) -> str:
    """A value as the script's answers have it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
