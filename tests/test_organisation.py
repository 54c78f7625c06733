"""Reading an organisation file: a sound one is completed, a faulty one gives each fault once, with its line."""

import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mai.agents.check import LARGEST_BYTES, load
from mai.agents.faults import Fault, Faulty
from mai.agents.organisation import Limits, mandate
from mai.sandbox.errors import USAGE, MaiError, UsageFault

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted(file for file in (ROOT / "etc").glob("*.toml") if ".script" not in file.suffixes)
SOUND = """\
[organisation]
name = "Acme"
clients = ["acme", "beta"]

[limits]
request_s = 20

[departments.support]
charter = "Answers customers."
prepare = "code.py:prepare"

[[departments.support.agents]]
name = "lead"
rank = "coordinator"

[[departments.support.agents]]
name = "desk"
rank = "operator"
skills = ["orders"]
tools = ["find_order"]
handler = "code.py:desk"
backups = ["night-desk"]

[[departments.support.agents]]
name = "night-desk"
rank = "operator"
command = ["sh", "desk.sh"]
reports_to = "lead"

[[departments.support.tools]]
name = "find_order"
handler = "code.py:find_order"

[[departments.support.contracts]]
name = "refund"
about = "Refund an order"
served_by = "desk"
may_ask = ["finance", "client"]
request = { order = "int", since = "date?" }
reply = { lines = [{ id = "int" }] }
phrases = ["refund order {order}"]

[departments.finance]
charter = "Counts."

[[departments.finance.agents]]
name = "clerk"
rank = "specialist"
handler = "code.py:desk"
"""
CODE = """\
raise SystemExit("a check never runs the user's code")

async def desk(ctx, task): ...
def plain(ctx, task): ...
def find_order(files, order): ...
def prepare(files): ...
async def slow(files): ...
def short(): ...
given = prepare
"""
LEGAL = """[departments.{}]
charter = ""
agents = [{{ name = "a", rank = "operator", handler = "code.py:desk" }}]

[departments.finance]
"""
AGAIN = """[[departments.support.contracts]]
name = "again"
about = "Refund an order again"
served_by = "desk"
may_ask = ["client"]
request = { n = "int" }
phrases = ["Refund order {n}!"]
[departments.finance]
"""
FIND = """[[departments.support.tools]]
name = "find_order"
handler = "code.py:find_order"
[[departments.support.contracts]]
"""
CLERK = """agents = [
{ name = "clerk", rank = "operator", handler = "code.py:desk" },
{ name = "other", rank = "operator", handler = "code.py:desk" },

{ name = "clerk", rank = "operator", handler = "code.py:desk" }]
[departments.spare]
charter = ""
[[departments.spare.agents]]
"""
BOARDS = """[[departments.finance.agents]]
name = "head"
rank = "board"
[[departments.finance.agents]]
name = "chair"
rank = "board"
[[departments.finance.agents]]
"""
LEAVES = """[departments.support.leaves]
{}
[departments.finance]
"""
SUBJECT = """may_ask = ["finance", "client"]
subject = "{}"
bound = ["{}"]"""
# What is written in place of what; the line on which the fault is, counted in what was written; its sentence; its hint.
FAULTS: list[tuple[str, str, int, str, str]] = [
    # single values
    ('clients = ["acme", "beta"]', "", -2, "the organisation lacks the key clients", "a list of texts"),
    ('clients = ["acme", "beta"]', "clients = []", 0, "the organisation has no clients", "at least one"),
    ('["acme", "beta"]', '["acme", "Beta"]', 0, "clients is 'Beta'", ""),
    ('["acme", "beta"]', '["acme",\n"acme"]', 1, "the client acme is named twice", "once"),
    ('["acme", "beta"]', '["acme", "watchdog"]', 0, "a client cannot be named watchdog", "are taken"),
    (
        '"beta"]',
        '"beta"]\ncolour = "red"',
        1,
        "the organisation has a key 'colour', which means nothing",
        "charter, clients, name",
    ),
    ("[limits]", '[retention]\nbodies_days = { "st*p" = 9 }\n[limits]', 1, "no kind of record is meant by 'st*p'", "such as"),
    ("[limits]", "[limit]", 0, "the file has no table limit", "did you mean limits?"),
    ("request_s = 20", 'request_s = "soon"', 0, "request_s is 'soon', expected a number from 0.05 to 86400", ""),
    ("request_s = 20", "hops = 0", 0, "hops is 0, expected a whole number from 1", ""),
    ("request_s = 20", "hops = true", 0, "hops is True, expected a whole number", ""),
    ("request_s = 20", "reqest_s = 20", 0, "the limits has a key 'reqest_s'", "did you mean request_s?"),
    ("request_s = 20", "request_bytes = 1048576", 0, "request_bytes is 1048576", "half of message_bytes"),
    ("[limits]", '[escalation]\ndeadline = "person"\nperson_s = 0\n[limits]', 1, "a task's time is over has no time", "3600"),
    ("[limits]", "[escalation]\nmargin = 0.2\n[limits]", 1, "margin means nothing while doubt is no", 'doubt = "board"'),
    ("[limits]", '[escalation]\nrefusal = "mai"\n[limits]', 1, "refusal is 'mai', expected one of board, no, person", ""),
    ("[limits]", '[escalation]\nannounce = ["not-there"]\n[limits]', 1, "the command that announces escalations", ""),
    ("[limits]", '[approvals]\nannounce = ["not-there"]\n[limits]', 1, "the command that announces approvals", ""),
    ("request_s = 20", "turn_s = 5", 0, "turn_s is 5, heartbeat_s 5", "has to be less"),
    ("[departments.finance]", LEGAL.format("Legal"), 0, "'Legal' is no name of a department", "expected a name"),
    ("[departments.finance]", LEGAL.format("client"), 0, "a department cannot be named client", "are taken"),
    ('charter = "Counts."', "", -1, "the department finance lacks the key charter", "a text"),
    ('charter = "Counts."', "charter = 5", 0, "charter is 5, expected a text", ""),
    # agents
    ('name = "clerk"', "", -1, "agent 0 of finance lacks the key name", "a name"),
    ('name = "clerk"', 'name = "A clerk"', 0, "name is 'A clerk', expected a name", ""),
    ('name = "clerk"', 'name = "mai"', 0, "an agent cannot be named mai", "are taken"),
    ('rank = "specialist"', 'rank = "specialst"', 0, "rank is 'specialst', expected one of board,", "did you mean specialist?"),
    ('rank = "specialist"', 'rank = "mai"', 0, "rank is 'mai', expected one of board, coordinator, operator, specialist", ""),
    ('rank = "specialist"', 'rank = "board"', -5, "the department finance has no workers", "specialist or operator"),
    ('name = "clerk"', 'name = "board"', 0, "board is the name of the built-in board of finance", "another name"),
    ("[[departments.finance.agents]]", CLERK, 4, "finance has two agents named clerk", "another name"),
    ("[[departments.finance.agents]]", BOARDS, 5, "finance has a second board, chair beside head", "make it a coordinator"),
    ('rank = "operator"\nskills', 'rank = "operator"\nskill', 1, "has a key 'skill'", "did you mean skills?"),
    ('skills = ["orders"]', 'skills = "orders"', 0, "skills is 'orders', expected a list of texts", ""),
    ('skills = ["orders"]', 'skills = ["a",\n1]', 1, "skills is 1, expected a text", ""),
    (
        '["find_order"]',
        '["find_ordr"]',
        0,
        "the agent desk of support has an unknown tool 'find_ordr'",
        "did you mean find_order?",
    ),
    ('["find_order"]', '["find_order",\n"find_order"]', 1, "lists the tool find_order twice", "once"),
    ('"code.py:desk"\nbackups', '"code.py"\nbackups', 0, "'code.py' names no function", "file.py:function"),
    ('"code.py:desk"\nbackups', '"cod.py:desk"\nbackups', 0, "there is no file cod.py", "is looked for in"),
    ('"code.py:desk"\nbackups', '"code.py:dsk"\nbackups', 0, "code.py has no function dsk", "did you mean desk?"),
    ('"code.py:desk"\nbackups', '"code.py:short"\nbackups', 0, "code.py:8: short does not take", "async def short(ctx, task)"),
    ('"code.py:desk"\nbackups', '"bad.py:desk"\nbackups', 0, "bad.py:2: ", ""),
    (
        'handler = "code.py:desk"\nbackups',
        "backups",
        -5,
        "is of rank operator and has neither a handler nor a command",
        "handler =",
    ),
    ('reports_to = "lead"', 'handler = "code.py:desk"', -1, "the agent night-desk of support has both a handler and a", "one"),
    ('["sh", "desk.sh"]', '["no-such-program"]', 0, "there is no program 'no-such-program'", "PATH"),
    ('["sh", "desk.sh"]', '["./desk.sh"]', 0, "'./desk.sh' is not executable", "chmod +x"),
    ('["sh", "desk.sh"]', '["./none.sh"]', 0, "there is no program './none.sh'", "looked for at"),
    ('reports_to = "lead"', 'reports_to = "laed"', 0, "cannot be reached: it reports to 'laed'", "did you mean lead?"),
    ('reports_to = "lead"', 'reports_to = "desk"', 0, "cannot be reached: it reports to desk, which is no", "support: lead"),
    ('rank = "coordinator"', 'rank = "coordinator"\nreports_to = "desk"', 1, "is of rank coordinator and has reports_to", ""),
    ('["night-desk"]', '["nigth-desk"]', 0, "has an unknown backup 'nigth-desk'", "did you mean night-desk?"),
    ('["night-desk"]', '["desk"]', 0, "the agent desk of support is its own backup", "another"),
    ('["night-desk"]', '["night-desk", "night-desk"]', 0, "lists the backup night-desk twice", "once"),
    ('reports_to = "lead"', 'backups = ["desk"]', -6, "the backups of support lead back: desk → night-desk → desk", ""),
    ('rank = "specialist"', 'task_s = -1\nrank = "specialist"', 0, "task_s is -1, expected a number from 0", ""),
    # tools
    ('"code.py:find_order"', '"code.py:slow"', 0, "code.py:7: slow is a coroutine function", "def slow(files, …)"),
    ('"code.py:find_order"', '"code.py:find_order"\neffect = "nix"', 1, "effect is 'nix', expected one of idempotent", ""),
    ('"code.py:find_order"', '"code.py:find_order"\ntimeout_s = 9', 1, "may take 9 s", "no heartbeat for 5 s"),
    ("code.py:prepare", "code.py:plain", 0, "code.py:4: plain does not take", "def plain(files)"),
    # contracts
    ('name = "refund"', 'name = "re-fund"', 0, "name is 're-fund', expected a name", ""),
    ('served_by = "desk"', 'served_by = "dsk"', 0, "is served by 'dsk', which support has not", "did you mean desk?"),
    ('served_by = "desk"', 'served_by = "lead"', 0, "is served by lead, which only hands work on", "handler"),
    ('served_by = "desk"', 'served_by = "board"', 0, "is served by board, which only hands work on", "handler"),
    ('["finance", "client"]', '["finance"]', 3, "has phrases, and the client may not ask for it", "may_ask"),
    ('["finance", "client"]', '["client", "support"]', 0, "is open to its own department", "by name"),
    (
        '["finance", "client"]',
        '["client",\n"finanse"]',
        1,
        "is open to 'finanse', which is no department",
        "did you mean finance?",
    ),
    ('["finance", "client"]', '["client", "client"]', 0, "names client twice", "once"),
    ('order = "int"', 'order = "integer"', 0, "request.order: 'integer' is no type", "list[T]"),
    ('{ order = "int", since = "date?" }', '"int"', 0, "request is 'int', expected a table of fields", ""),
    ('{ id = "int" }', '{ id = "int", Id = "int" }', 0, "reply.lines.Id: 'Id' is no name of a field", "small letters"),
    ("[departments.finance]", AGAIN, 6, "'Refund order {n}!' is said for support.refund, too", "one contract"),
    ("[[departments.support.contracts]]", FIND, 1, "support has two tools named find_order", "another name"),
    ("{order}", "{ordr}", 0, "has the placeholder {ordr}, which is no field", "order, since"),
    ("refund order {order}", "refund everything", 0, "does not say order, which the request needs", "{order}"),
    ("refund order {order}", "{order}", 0, "has no words of its own", ""),
    # what may leave
    (
        "[departments.finance]",
        LEAVES.format('withheld = ["id"]'),
        -3,
        "reply.lines.id never leaves support, which withholds id",
        "out",
    ),
    (
        "[departments.finance]",
        LEAVES.format('withheld = ["lines"]'),
        -3,
        "reply.lines never leaves support, which",
        "take it out",
    ),
    (
        "[departments.finance]",
        LEAVES.format('fields = ["lines.name", "lines.id"]'),
        1,
        "reply has a field lines.name",
        "mean lines",
    ),
    ("[departments.finance]", LEAVES.format('subjects = ["order/*"]'), 1, "no contract has the subject order", "no subject"),
    ("[departments.finance]", LEAVES.format('subjects = ["order"]'), 1, "subjects is 'order', expected a kind and a value", ""),
    ("[departments.finance]", LEAVES.format('fields = ["Lines id"]'), 1, "expected names of fields with dots", ""),
    ("[departments.finance]", LEAVES.format('text = "no"'), 1, "text is 'no', expected true or false", ""),
    ("[departments.finance]", LEAVES.format('withold = ["id"]'), 1, "has a key 'withold'", "did you mean withheld?"),
    ('charter = "Counts."', 'charter = "Counts."\nshows = "all"', 1, "expected one of nothing, result, summary", ""),
    ('"client"]\nrequest', '"client"]\nsubject = "ordr"\nrequest', 1, "has the subject 'ordr', which its request", "order?"),
    ('may_ask = ["finance", "client"]', SUBJECT.format("order", "sales"), 2, "binds 'sales', which may not ask", "finance"),
    ('may_ask = ["finance", "client"]', SUBJECT.format("order", "client"), 2, "binds the client", "departments"),
    ('may_ask = ["finance", "client"]', SUBJECT.format("", "finance"), 2, "binds who may ask, and has no subject", "subject ="),
    ('{ order = "int", since = "date?" }', '{ order = "list[int]" }\nsubject = "order"', 1, "a subject is one value", "int"),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the code that SOUND names."""
    path = tmp_path_factory.mktemp("organisation")
    (path / "code.py").write_text(CODE)
    (path / "bad.py").write_text("x = 1\ndef desk(:\n")
    (path / "desk.sh").write_text("echo\n")
    return path


def read(room: Path, text: str | bytes, name: str = "acme.toml") -> list[Fault]:
    """The faults of an organisation file with this text, which may be none."""
    file = room / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        load(file)
    except Faulty as faulty:
        return faulty.faults
    return []


def test_a_sound_file_is_completed(room: Path) -> None:
    """The built-in board and coordinator, the coordinator of each worker and the limits' defaults are filled in."""
    (room / "sound.toml").write_text(SOUND)
    organisation = load(room / "sound.toml")
    support, finance = organisation.departments
    assert [(agent.name, agent.rank) for agent in finance.agents] == [
        ("clerk", "specialist"),
        ("board", "board"),
        ("coordinator", "coordinator"),
    ]
    assert [(agent.name, agent.reports_to) for agent in support.agents] == [
        ("lead", ""),
        ("desk", "lead"),
        ("night-desk", "lead"),
        ("board", ""),
    ]
    assert [agent.kind for agent in support.agents] == ["", "python", "command", ""]
    assert organisation.limits == Limits(request_s=20.0)
    assert organisation.base == str(room)
    assert organisation.digest == sha256(SOUND.encode()).hexdigest()[:16]


def test_the_name_of_the_file_is_the_default_name(room: Path) -> None:
    """An organisation without a name is called as its file, however that is ended."""
    assert read(room, SOUND.replace('name = "Acme"\n', ""), "beta.toml") == []
    assert load(room / "beta.toml").name == "beta"


def test_lines_may_end_as_on_windows(room: Path) -> None:
    """A file with a byte order mark and CRLF is read, and its lines are counted right."""
    assert read(room, b"\xef\xbb\xbf" + SOUND.replace("\n", "\r\n").encode()) == []
    (fault,) = read(room, SOUND.replace("\n", "\r\n").replace('"int", since', '"itn", since'))
    assert fault.line == SOUND[: SOUND.index("request = {")].count("\n") + 1


@pytest.mark.parametrize("mistake", FAULTS, ids=lambda mistake: mistake[3][:40])
def test_one_mistake_is_one_fault(room: Path, mistake: tuple[str, str, int, str, str]) -> None:
    """A mistake is reported once, on its line, in a sentence that names it and with what would be right."""
    old, new, line, sentence, hint = mistake
    assert SOUND.count(old) == 1, "the example must be clear about what it changes"
    at = SOUND[: SOUND.index(old)].count("\n") + 1
    (fault,) = read(room, SOUND.replace(old, new))
    assert (fault.line, fault.path) == (at + line, str(room / "acme.toml"))
    assert sentence in fault.sentence
    assert hint in fault.hint
    assert str(fault).startswith(f"{fault.path}:{fault.line}: {fault.sentence}")


def test_ten_mistakes_are_ten_faults(room: Path) -> None:
    """Mistakes of ten kinds in one file are all reported, in the order of their lines, and none makes up another."""
    text = SOUND
    for old, new in {
        '"beta"]': '"Beta"]',
        "request_s = 20": "hops = 0",
        'charter = "Answers customers."': "",
        "code.py:prepare": "code.py:prepared",
        'rank = "operator"\nskills': 'rank = "opertor"\nskills',
        '["find_order"]': '["find_ordr"]',
        'reports_to = "lead"': 'reports_to = "laed"',
        'served_by = "desk"': 'served_by = "dsk"',
        'order = "int"': 'order = "integer"',
        'rank = "specialist"': 'rank = "specialist"\nwages = 1',
    }.items():
        text = text.replace(old, new)
    faults = read(room, text)
    assert [fault.line for fault in faults] == sorted(fault.line for fault in faults)
    assert len(faults) == 10, "\n".join(map(str, faults))


def test_the_error_is_one_sentence(room: Path) -> None:
    """Who cannot show a list shows the first fault, how many more there are, and which command lists them."""
    (room / "three.toml").write_text(SOUND.replace('"beta"]', '"Beta", 3, 4]'))
    with pytest.raises(Faulty) as caught:
        load(room / "three.toml")
    assert caught.value.sentence.endswith("and 2 further faults")
    assert f"mai check {room / 'three.toml'}" in caught.value.hint
    assert caught.value.code == USAGE


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (b"", 1, "the organisation lacks the key clients"),
        (b"a = 1\nb = nope\n", 2, "not TOML: Invalid value at column 5"),
        (b"a = 1\n\nb = [\n", 3, "not TOML: "),
        (b"a = 1\na = 2\n", 2, "not TOML: Cannot overwrite a value"),
        (b"a = 1\n\n\xff\xfe", 3, "is no text in UTF-8"),
        (b"a = " + b"[" * 50_000, 1, "too deep in each other"),
        (b"a = " + b"9" * 5_000, 1, "too many digits"),
        (b"departments = 3\norganisation = 4", 1, "departments is 3, expected a table"),
        (b"[[departments]]\nname = 'a'", 1, "departments is [{'name': 'a'}], expected a table"),
        (b"[departments]\na = 3", 2, "the department a is 3, expected a table"),
        (b"[departments.a]\nagents = [1]", 2, "agent 0 of a is 1, expected a table"),
    ],
)
def test_what_is_no_organisation_file(room: Path, text: bytes, line: int, sentence: str) -> None:
    """A file that is no TOML, no text or of another shape is told so, with the line."""
    assert any(fault.line == line and sentence in fault.sentence for fault in read(room, text))


def test_what_is_no_file(room: Path) -> None:
    """No file, a directory, a pipe without a writer and a file too large are one sentence each, and nobody waits."""
    os.mkfifo(room / "pipe.toml")
    (room / "large.toml").write_bytes(b"#" * (LARGEST_BYTES + 1))
    for name, sentence in {
        "none.toml": "there is no file",
        "": "cannot be read: Is a directory",
        "pipe.toml": "is no regular file",
        "large.toml": "is larger than 1 MiB",
        "a\0b": "cannot be read",
    }.items():
        with pytest.raises(UsageFault) as caught:
            load(os.path.join(room, name))
        assert sentence in caught.value.sentence
        assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads what it likes")
def test_what_may_not_be_read(room: Path) -> None:
    """A file without the right to read it is one sentence."""
    (room / "secret.toml").write_text(SOUND)
    (room / "secret.toml").chmod(stat.S_IWUSR)
    with pytest.raises(UsageFault, match="Permission denied"):
        load(room / "secret.toml")


def test_what_a_fault_shows_is_harmless(room: Path) -> None:
    """A value of the file reaches the terminal without its escapes and line breaks, and cut."""
    name = r"\u001b[2J\n" + "x" * 2_000
    faults = read(room, SOUND.replace('name = "clerk"', f'name = "{name}"\nskill = 1'))
    assert len(faults) == 2
    assert all(str(fault).isprintable() and len(str(fault)) < 1_000 for fault in faults)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_text_breaks_the_check(room: Path, data: st.DataObject) -> None:
    """A sound file with lines lost, doubled, swapped or rewritten is loaded, or refused with lines that exist."""
    lines = SOUND.splitlines()
    for _ in range(data.draw(st.integers(1, 6))):
        at, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        key = lines[at].partition("=")[0]
        value = data.draw(
            st.sampled_from(
                ["1", "-1", "1.5", '""', '"x"', "[]", "[1]", '["x"]', "{}", "{ x = 1 }", "[{}]", "true", "1979-05-27"]
            )
        )
        lines[at] = data.draw(
            st.sampled_from(["", lines[at] + "\n" + lines[at], lines[other], f"{key} = {value}", lines[at][:-1]])
        )
    try:
        (room / "wild.toml").write_text("\n".join(lines))
        load(room / "wild.toml")
    except Faulty as faulty:
        assert all(1 <= fault.line <= "\n".join(lines).count("\n") + 1 and fault.sentence for fault in faulty.faults)
    except MaiError as error:
        pytest.fail(f"a file that exists and is small: {error.sentence}")


def test_the_code_may_be_left_unread(room: Path) -> None:
    """Who asks for it gets the organisation without a look at handlers and commands; all else is checked the same."""
    text = SOUND.replace("code.py:", "none.py:").replace('"sh"', '"no-such-program"')
    assert len(read(room, text)) == 5
    assert load(room / "acme.toml", code=False).departments[0].agents[1].handler == "none.py:desk"
    (room / "acme.toml").write_text(text.replace('"find_order"', '"find_ordr"', 1).replace("none.py:prepare", "prepare"))
    with pytest.raises(Faulty) as caught:
        load(room / "acme.toml", code=False)
    assert ["names no function" in caught.value.faults[0].sentence, "unknown tool" in caught.value.faults[1].sentence] == [
        True,
        True,
    ]


def test_a_sound_organisation_can_be_cut_up(room: Path) -> None:
    """Every process of a loaded organisation can be given its mandate, and each starts after its client's Mai."""
    (room / "sound.toml").write_text(SOUND)
    organisation = load(room / "sound.toml")
    assert organisation.processes() == ["acme/mai", "acme/support", "acme/finance", "beta/mai", "beta/support", "beta/finance"]
    for process in organisation.processes():
        client, department = process.split("/")
        cut = mandate(organisation, client, department)
        assert (cut.organisation.clients, cut.department) == ((client,), department)


def test_the_supervisor_stays_free_of_what_a_check_does_not_need(room: Path) -> None:
    """Loading imports neither the user's code nor sockets, databases or the command line's libraries."""
    (room / "sound.toml").write_text(SOUND)
    code = (
        "import sys; from mai.agents.check import load; load(sys.argv[1])\n"
        "heavy = {'zmq', 'sqlite3', 'pysqlite3', 'sqlite_utils', 'click', 'rich', 'supervisor', 'asyncio', 'code'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-c", code, str(room / "sound.toml")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_examples_are_sound(file: Path) -> None:
    """Every organisation file in etc/ loads."""
    assert load(file).departments
