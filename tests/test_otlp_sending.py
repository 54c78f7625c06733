"""Towards a collector that refuses, is slow, is away, takes only a part: tried again where that helps, and nothing is lost."""

import shutil
import signal
import subprocess
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from mai.cli import main
from mai.daemon import otlp_sending
from mai.daemon.otlp import Span, export
from mai.daemon.otlp_following import PORTION, Cursor, Following
from mai.daemon.otlp_sending import BATCH_SPANS, TRIES, Collector, Undelivered, batches
from mai.daemon.records import RequestAccepted, RequestEnded
from mai.daemon.trace import trace
from mai.sandbox.errors import UsageFault
from tests.collector import Answer, collecting
from tests.small import MAI
from tests.test_why import hop, journal
from tests.wired import Wired, bare, waited


def some(count: int = 3, size: int = 0) -> list[Span]:
    """Spans of one process."""
    data = {"traceId": "0" * 31 + "1", "name": "x" * size, "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    return [Span("acme/mai", {**data, "spanId": f"{number + 1:016x}"}) for number in range(count)]


def patient(url: str, waits: list[float], answer_s: float = 5.0) -> Collector:
    """A sender whose waits are noted, and not waited."""
    return Collector(url, answer_s=answer_s, wait=waits.append, chance=lambda: 1.0)


def test_what_is_taken_is_taken_once() -> None:
    """With the protocol's path, as compressed JSON."""
    with collecting() as collector:
        assert patient(collector.url, []).send(some()) == (3, 0, "")
    assert len(collector.spans()) == 3 and [path for path, _ in collector.seen] == ["/v1/traces"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_who_is_busy_is_asked_again(status: int) -> None:
    """After twice as long each time, and then all is there, once."""
    waits: list[float] = []
    with collecting(Answer(status), Answer(status), Answer(status)) as collector:
        assert patient(collector.url, waits).send(some()).spans == 3
    assert waits == [0.5, 1.0, 2.0] and len(collector.spans()) == 3


@pytest.mark.parametrize(("said", "least", "most"), [("7", 7, 7), ("date", 1, 10), ("soon", 0.5, 0.5), ("99999", 30, 30)])
def test_a_collector_may_say_how_long(said: str, least: float, most: float) -> None:
    """Retry-After as seconds or as a date, within a bound; what is neither counts for nothing."""
    waits: list[float] = []
    after = formatdate(time.time() + 9, usegmt=True) if said == "date" else said
    with collecting(Answer(503, {"Retry-After": after})) as collector:
        patient(collector.url, waits).send(some())
    assert len(waits) == 1 and least <= waits[0] <= most


@pytest.mark.parametrize(
    ("status", "hint"), [(400, ""), (401, "Authorization"), (404, "/v1/traces"), (413, ""), (500, ""), (301, "")]
)
def test_a_refusal_is_not_repeated(status: int, hint: str) -> None:
    """What the protocol does not let be tried again is an error at once, with the collector's own words."""
    body = b'{"message": "not so"}'
    with collecting(Answer(status, {}, body)) as collector, pytest.raises(Undelivered, match=f"status {status}: not so") as error:
        patient(collector.url, []).send(some())
    assert error.value.lasting and hint in error.value.hint and len(collector.seen) == 1


def test_one_that_stays_busy_or_away_is_given_up() -> None:
    """After so many attempts, bounded in time, with what was last said; and where nobody listens likewise."""
    waits: list[float] = []
    with collecting(*[Answer(503)] * TRIES) as collector, pytest.raises(Undelivered, match=f"{TRIES} attempts: status 503"):
        patient(collector.url, waits).send(some())
    assert len(collector.seen) == TRIES and waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    with pytest.raises(Undelivered, match="refused") as away:
        patient(collector.url, waits).send(some())
    assert not away.value.lasting and "4318" in away.value.hint


def test_a_silent_collector_is_not_waited_for() -> None:
    """One that takes the connection and says nothing: after its time it is tried again."""
    with collecting(Answer(0, hang=True)) as collector:
        waits: list[float] = []
        assert patient(collector.url, waits, answer_s=0.2).send(some()).spans == 3
        assert len(waits) == 1


def test_a_part_that_is_rejected_is_told_and_not_repeated() -> None:
    """The collector's partial success: how many, and why; nothing goes again."""
    body = b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}'
    with collecting(Answer(200, {}, body)) as collector:
        assert patient(collector.url, []).send(some()) == (3, 2, "too old")
    assert len(collector.seen) == 1


def test_large_traces_go_in_portions() -> None:
    """No request has more spans or bytes than a collector takes, and none is left out."""
    with collecting() as collector:
        assert patient(collector.url, []).send(some(2 * BATCH_SPANS + 1)).spans == 2 * BATCH_SPANS + 1
    assert len(collector.taken) == 3 and len({span.span_id for span in collector.spans()}) == 2 * BATCH_SPANS + 1
    sizes = [len(batch) for batch in batches(some(9, otlp_sending.BATCH_BYTES // 2))]
    assert max(sizes) <= 2 and sum(sizes) == 9 and not list(batches([]))


def test_addresses_and_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is OTLP's if there is none; headers come from the environment; a password is never shown."""
    monkeypatch.setenv(otlp_sending.HEADERS, "Authorization=Bearer%20abc, X-Team=a%2Cb")
    assert Collector("http://h:1/other?x=1").url.path == "/other" and Collector("https://h").url.path == "/v1/traces"
    assert Collector("http://u:pw@h:1").name == "http://h:1/v1/traces"
    with collecting() as collector:
        patient(collector.url, []).send(some())
    headers = collector.seen[0][1]
    assert (headers["authorization"], headers["x-team"]) == ("Bearer abc", "a,b")
    for wrong in ("http://", "ftp://h", "http://h:x"):
        with pytest.raises(UsageFault):
            Collector(wrong)
    monkeypatch.setenv(otlp_sending.HEADERS, "nonsense")
    with pytest.raises(UsageFault, match="is not of the form"):
        Collector("http://h")


# -- all that has ended
def ids(collected: list[Any]) -> list[str]:
    """The requests whose own spans came, in order."""
    roots = [span for span in collected if not span.parent_span_id]
    return [next(one.value.string_value for one in span.attributes if one.key == "mai.request") for span in roots]


def test_each_request_goes_once_over_restarts(tmp_path: Path) -> None:
    """What was taken does not go again, what was not goes the next time; in the order in which the requests ended."""
    company = Wired(tmp_path).asked("r1", "r2")
    otlp = ["--state", str(company.place.state), "otlp", "--json", "--to"]
    with collecting() as collector:
        first = CliRunner().invoke(main, [*otlp, collector.url])
        assert first.exit_code == 0 and msgspec.json.decode(first.stdout)["requests"] == 2, first.output
        company.asked("r3", "r4").close()
        collector.answers.append(Answer(400))
        refused = CliRunner().invoke(main, [*otlp, collector.url])
        assert refused.exit_code == 1 and "takes no traces" in refused.output
        assert CliRunner().invoke(main, [*otlp, collector.url]).exit_code == 0
        assert msgspec.json.decode(CliRunner().invoke(main, [*otlp, collector.url]).stdout)["requests"] == 0
    assert ids(collector.spans()) == ["r1", "r2", "r3", "r4"]
    assert len({span.span_id for span in collector.spans()}) == len(collector.spans())


def test_a_crash_between_two_portions_repeats_at_most_one(tmp_path: Path) -> None:
    """The cursor moves when a portion is taken: who ends in the middle goes on behind it, and the same ids come again."""
    company = Wired(tmp_path).asked("r1", "r2", "r3").close()
    cursor, sent = tmp_path / "cursor", list[list[Span]]()

    def dies(spans: list[Span]) -> otlp_sending.Delivered:
        sent.append(spans)
        raise KeyboardInterrupt

    following = Following(company.place, "acme", Cursor(cursor), contents=False)
    with pytest.raises(KeyboardInterrupt):
        list(following.deliver(dies, all_=True))
    assert not cursor.exists()
    again = Following(company.place, None, Cursor(cursor), contents=False)

    def takes(spans: list[Span]) -> otlp_sending.Delivered:
        sent.append(spans)
        return otlp_sending.Delivered(len(spans))

    ((count, _),) = again.deliver(takes, all_=True)
    assert count == 3 and sent[0] == sent[1] and Cursor(cursor).known()
    assert not list(Following(company.place, None, Cursor(cursor), contents=False).ready(all_=True))


def test_a_cursor_outlives_its_ledger(tmp_path: Path) -> None:
    """Beyond the end of an older copy the next request that ends goes out; of a client made anew under the same name all do."""
    place, path = bare(tmp_path, "acme/mai"), tmp_path / "cursor"

    def ended(*requests: str) -> None:
        for request in requests:
            journal(place, "acme/mai", RequestEnded(request=request, state="answered", answer="", parts=(), elapsed_ms=1))

    def sent() -> list[str]:
        following, found = Following(place, None, Cursor(path), contents=False), list[Span]()

        def takes(spans: list[Span]) -> otlp_sending.Delivered:
            found.extend(spans)
            return otlp_sending.Delivered(len(spans))

        list(following.deliver(takes, all_=True))
        return [str(span) for span in found]

    ended("q1")
    older = shutil.copy(place.ledger("acme/mai"), tmp_path / "older")
    ended("q2", "q3")
    assert len(sent()) == 3 and sent() == []
    shutil.copy(older, place.ledger("acme/mai"))
    assert sent() == []
    ended("q4")
    assert len(sent()) == 1 and sent() == []
    shutil.rmtree(place.home("acme/mai"))
    bare(tmp_path, "acme/mai")
    ended("q5", "q6", "q7", "q8")
    assert len(sent()) == 4 and sent() == []


def test_what_goes_on_behind_the_answer_is_waited_for(tmp_path: Path) -> None:
    """While a task of an ended request is open its trace waits, and those behind it; not for ever, and not if all is wanted."""
    place = bare(tmp_path, "acme/mai", "acme/sales")
    accepted = RequestAccepted(request="q1", asker="acme/client", text="?", accepted_ms=1, deadline_ms=2)
    journal(place, "acme/sales", hop())
    journal(place, "acme/mai", accepted, RequestEnded(request="q1", state="expired", answer="late", parts=(), elapsed_ms=1))

    def ready(settle_s: float, *, all_: bool) -> int:
        following = Following(place, "acme", Cursor(None), contents=False, settle_s=settle_s)
        return sum(len(portion) for portion in following.ready(all_=all_))

    assert (ready(60, all_=False), ready(60, all_=True), ready(0, all_=False)) == (0, 1, 1)


def test_portions_and_what_is_left_out(tmp_path: Path) -> None:
    """Many requests go in several portions, each with its place; --from-now leaves out what there is."""
    place = bare(tmp_path, "acme/mai")
    ended = [
        RequestEnded(request=f"q{number}", state="answered", answer="", parts=(), elapsed_ms=1) for number in range(PORTION + 1)
    ]
    journal(place, "acme/mai", *ended)
    portions = list(Following(place, None, Cursor(None), contents=False).ready(all_=True))
    assert [len(portion) for portion in portions] == [PORTION, 1]
    otlp = ["--state", str(place.state), "otlp", "--to", str(tmp_path / "t.jsonl")]
    assert "0 requests" in CliRunner().invoke(main, [*otlp, "--from-now", "--cursor", str(tmp_path / "c")]).output
    assert f"{PORTION + 1} requests" in CliRunner().invoke(main, otlp).output
    assert CliRunner().invoke(main, [*otlp, "nobody"]).exit_code == 2
    (tmp_path / "c").write_text("{")
    assert "is no cursor" in CliRunner().invoke(main, [*otlp, "--cursor", str(tmp_path / "c")]).output


def test_the_spans_of_a_request_are_those_of_its_trace(tmp_path: Path) -> None:
    """What goes out by itself is what `mai trace --otlp` sends."""
    place = Wired(tmp_path).asked("r1").close().place
    ((one,),) = Following(place, None, Cursor(None), contents=False).ready(all_=True)
    assert one.spans == export(trace(place, "r1"))


def test_it_follows_beside_the_company(tmp_path: Path) -> None:
    """As a process of its own: what is there goes, what ends later goes as it ends, also past a busy answer; Ctrl-C ends it."""
    company = Wired(tmp_path).asked("r1")
    with collecting() as collector:
        url = collector.url
        command = [*MAI, "--state", str(company.place.state), "otlp", "--follow", "--to", url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
            try:
                waited(lambda: ids(collector.spans()) == ["r1"], "the first request")
                collector.answers.append(Answer(503, {"Retry-After": "0"}))
                company.asked("r2", "r3").close()
                waited(lambda: ids(collector.spans()) == ["r1", "r2", "r3"], "the others")
            finally:
                follower.send_signal(signal.SIGINT)
            out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0 and "3 requests" in out, err
