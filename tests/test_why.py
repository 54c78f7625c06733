"""`mai why`: from a sentence of an answer back to records, over departments, claims, memory and models."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from mai.agents.claim_messages import Ground as Named
from mai.agents.claims import Claimed
from mai.agents.errand_messages import Inquiry
from mai.agents.events import Asked, Begun, Ended, Event, Hopped, ProcessStarted, Remembered, Stepped
from mai.agents.inputs import Call, Report
from mai.agents.messages import address_of
from mai.agents.organisation import mandate
from mai.agents.replies import Said
from mai.agents.sealing import Seals
from mai.agents.state import Done
from mai.agents.talks import Talk, written
from mai.cli import main
from mai.daemon.compose import answer
from mai.daemon.dispute import STANDING, Stand, Verdict
from mai.daemon.dispute_records import CaseOpened, CaseRuled, ClaimNoted
from mai.daemon.reader import NotFound
from mai.daemon.records import (
    ErrandChecked,
    ErrandEnded,
    PartAnswer,
    PartEnded,
    PartPlan,
    RequestAccepted,
    RequestEnded,
    RequestPlanned,
)
from mai.daemon.why import Because, why
from mai.daemon.why_form import LABELS, render
from mai.daemon.why_grounds import Ground
from mai.sandbox.errors import UsageFault
from mai.sandbox.ledger import Ledger
from mai.sandbox.place import Place
from tests import wired
from tests.wired import Wired, bare, organisation, stepped

MAI, SALES, MARKETING = "acme/mai", "acme/sales", "acme/marketing"
BY = "acme/sales/analyst"
OF: dict[str, Any] = {"request": "q1", "task": "q1/1", "agent": "analyst"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A state directory where a test writes the journals itself."""
    return bare(tmp_path, MAI, SALES)


def journal(place: Place, process: str, *events: Event, blobs: tuple[str, ...] = ()) -> None:
    """Write facts as a process does, with the seals of its decisions."""
    ledger = Ledger(place.ledger(process), process)
    addresses = {ledger.keep(text.encode()) for text in blobs}
    seals = Seals(mandate(organisation(), "acme", process.partition("/")[2]), ledger)

    def put(event: Event) -> int:
        columns = {name: getattr(event, name, "") for name in ("request", "task", "agent")}
        return ledger.append(event.kind, msgspec.json.encode(event), **columns)

    start = ProcessStarted(process=process, version="0", organisation="0", pid=1)
    for event in events if ledger.seq else (start, *events):
        seq = put(event)
        seals.note(event, getattr(event, "request", ""), getattr(event, "task", ""), seq, ledger.head)
    seals.seal(1, put)
    assert len(addresses) == len(blobs)
    ledger.commit()
    ledger.close()


def hop() -> Hopped:
    """The task."""
    return Hopped(
        request="q1", task="q1/1", parent="", sender="mai", agent="analyst", asker="acme/client", contract="", text="how much?",
        input={}, deadline_ms=1, hops=9, rule="it may",
    )  # fmt: skip


def department(place: Place, *known: Event, text: str, blobs: tuple[str, ...] = ()) -> None:
    """What the department has on record: the task, what its agent came to know, and how it ended."""
    ended = Ended(**OF, state="answered", text=text, by=BY, sources=("sales",))
    journal(place, SALES, hop(), Begun(**OF, attempt=1, code="c0de"), *known, ended, blobs=blobs)


def answered(place: Place, text: str, *noted: Event, by: str = "", words: str = "") -> None:
    """What Mai has on record of it."""
    part = PartAnswer("sales", "how much?", "answered", text, {}, "", BY, ("sales",))
    journal(
        place, MAI, RequestAccepted(request="q1", asker="acme/client", text="how much?", accepted_ms=1, deadline_ms=2),
        RequestPlanned(request="q1", parts=(PartPlan("sales", "how much?", "", {}, "it fits"),)), *noted,
        PartEnded(request="q1", task="q1/1", answer=part),
        RequestEnded(request="q1", state="answered", answer=words or answer((part,)), parts=(part,), elapsed_ms=1, by=by),
    )  # fmt: skip


def result(sentence: Because) -> Ground:
    """The end of the task that the sentence comes from."""
    part = sentence.grounds[-1]
    assert part.what == "part"
    (ground,) = part.grounds
    return ground


def by_kind(ground: Ground) -> dict[str, Ground]:
    """What stands below, by what it is."""
    return {one.what: one for one in ground.grounds}


def test_a_figure_leads_through_two_departments_to_the_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the client's answer over who came to it and the other department's reply to the tool that gave the figure."""

    def planner(task: Hopped) -> wired.Code:
        yield stepped(task, "tool", {"tool": "weather", "input": {}}, {"rain": True})
        yield Call(task.task, 2, "ask", {"to": "sales.pipeline", "text": "", "input": {"quarter": 2}})
        yield Report(task.task, Done("answered", "We have 4200 in deals, or 17.5 each.", {}, "", "acme/marketing/planner", ()))

    def analyst(task: Hopped) -> wired.Code:
        yield stepped(task, "tool", {"tool": "sum_deals", "input": {"quarter": 2}}, {"cents": 420000})
        yield Report(task.task, Done("answered", "4200 in deals", {"total": 4200}, "", BY, ("sales",)))

    monkeypatch.setitem(wired.WORKERS, "planner", planner)
    monkeypatch.setitem(wired.WORKERS, "analyst", analyst)
    place = Wired(tmp_path, sealed=True).asked("r1").close().place
    found = why(place, "r1", "deals")
    (sentence,) = found.sentences
    assert sentence.exact and sentence.by == "mai" and sentence.nowhere == ("17.5",)
    planned = result(sentence)
    assert (planned.who, planned.verdict, planned.code, planned.made) == ("acme/marketing/planner", "verified", "c0de", ("17.5",))
    assert len(planned.via) == 2 and all(one.startswith("acme/marketing:") for one in planned.via)
    assert any("weather" in one for one in planned.besides)
    reply = by_kind(planned)["reply"]
    assert [(one.said, one.where) for one in reply.found if one.how == "same"] == [("4200", "value.total")]
    (summed,) = reply.grounds
    assert (summed.who, summed.verdict, summed.made) == (BY, "verified", ())
    tool = by_kind(summed)["tool"]
    assert [(one.said, one.where, one.how) for one in tool.found] == [("4200", "value.cents", "hundredfold")]
    assert tool.record.startswith("acme/sales:")
    told = render(found)
    assert f"mai replay {planned.decision}" in told and tool.record in told and "in no record as they stand there: 17.5" in told
    assert found.record.startswith("acme/mai:") and sentence.grounds[0].record.startswith("acme/mai:")


def test_each_record_that_is_named_is_there(tmp_path: Path) -> None:
    """Every way ends in PROCESS:NUMBER; with --all also what has nothing of the sentence, as JSON too."""
    place = Wired(tmp_path, sealed=True).asked("r1").close().place
    run = CliRunner().invoke(main, ["--state", str(place.state), "why", "acme/r1", "--all", "--json"])
    assert run.exit_code == 0, run.output
    data = json.loads(run.output)
    assert set(data) == {"request", "client", "asked", "state", "answer", "record", "sentences"}
    queue, seen = [one for sentence in data["sentences"] for one in sentence["grounds"]], set()
    while queue:
        ground = queue.pop()
        queue += ground["grounds"]
        process, _, number = ground["record"].rpartition(":")
        assert process in (MAI, SALES, MARKETING) and int(number) > 0 and ground["what"] in LABELS
        seen.add(ground["what"])
    assert {"part", "answer", "question", "tool", "reply"} <= seen


def test_a_claim_leads_to_its_ruling_and_to_what_its_agent_names(place: Place) -> None:
    """A conclusion among the grounds comes with how its case was ruled, and with the records that it rests on."""
    tool = Stepped(**OF, n=1, call="tool", given={"tool": "ledger", "input": {}}, value={"score": 731})
    claim = Claimed(
        **OF, subject="customer/7", attribute="standing", value="good", confidence=0.9, grounds=("step:1",), id="q1/1/2",
        found=(Named("step:1", 4),),
    )  # fmt: skip
    department(place, tool, claim, text="The standing of customer 7 is good, with 731 points.")
    stand = Stand("q1/1/2", SALES, BY, "specialist", "q1", "customer/7", "standing", "d1", 0.9, 0, 9, 1, STANDING)
    noted = ClaimNoted(**OF, claim=msgspec.structs.replace(stand, state="open", case="k1"))
    answered(place, "The standing of customer 7 is good, with 731 points.", noted)
    ruling = Verdict("q1/1/2", ("q0/1/2",), "d1", ("d0",), "precedence", "sales knows", MAI, 9, 2)
    opened = CaseOpened(request="k1", subject="customer/7", attribute="standing", claims=("q0/1/2", "q1/1/2"), of="q1", at_ms=1)
    journal(place, MAI, opened, CaseRuled(request="k1", ruling=ruling))
    (sentence,) = why(place, "q1").sentences
    claimed = by_kind(result(sentence))["claim"]
    assert [(one.what, one.record) for one in claimed.grounds] == [("ruling", "acme/mai:10"), ("named", "acme/sales:4")]
    assert "q1/1/2 has won against q0/1/2" in claimed.grounds[0].said
    assert [one.said for one in claimed.grounds[1].found] == ["731"] and sentence.nowhere == ()


def test_what_was_remembered_leads_to_who_wrote_it(place: Place) -> None:
    """A piece of memory is named by key and version, and its writing in another request is found."""
    earlier: dict[str, Any] = {"request": "q0", "task": "q0/1"}
    wrote = Remembered(**earlier, agent="", level="department", key="quota", value=5150, n=2, oldest=1, was=1, by="planner")
    journal(place, SALES, wrote)
    ledger = Ledger(place.ledger(SALES), SALES)
    ledger.save("version/department", "quota/2", b'{"value":5150,"at_ms":1,"by":"planner","task":"q0/1"}')
    ledger.commit()
    ledger.close()
    given = {"key": "quota", "level": "department"}
    department(place, Stepped(**OF, n=1, call="recall", given=given, value=5150, version=2), text="The quota is 5,150.")
    answered(place, "The quota is 5,150.")
    memory = by_kind(result(why(place, "q1").sentences[0]))["memory"]
    assert memory.said == "recall department quota, version 2"
    (written,) = memory.grounds
    assert (written.what, written.who, written.record) == ("written", "planner", "acme/sales:2") and "request q0" in written.said


def test_a_models_words_lead_to_its_inputs(place: Place) -> None:
    """What a model said is named as its own words, with those texts that it was given, earlier ones too, that have a figure."""
    said = msgspec.json.encode(Said(text='{"answer": "It is 9,321 EUR, and 77.7 more."}')).decode()
    inputs = (
        '{"role":"system","content":"You add up."}',
        '{"role":"user","content":"{\\"from\\": \\"tool sum\\", \\"result\\": {\\"cents\\": 932100}}"}',
        '{"role":"user","content":"Answer now."}',
    )
    talk = written(Talk(tuple(address_of(text) for text in inputs[:2])))
    inquiry = Inquiry((address_of(inputs[2]),), 9, talk=address_of(talk), count=3)
    asked = Asked(**OF, n=1, call="model", given={"model": "small", "inquiry": msgspec.to_builtins(inquiry)})
    value = {"answer": address_of(said), "by": "main/two", "usage": {"input_tokens": 1}, "notes": []}
    stepped_ = Stepped(**OF, n=1, call="model", value=value)
    department(place, asked, stepped_, text="It is 9,321 EUR, and 77.7 more.", blobs=(*inputs, talk, said))
    answered(place, "It is 9,321 EUR, and 77.7 more.")
    (sentence,) = why(place, "q1").sentences
    model = by_kind(result(sentence))["model"]
    assert model.who == "main/two" and model.said.startswith("the model's own words: ")
    assert (model.record, model.decision) == ("acme/sales:5", "acme/sales:8")  # behind the task's end and its hop's seal
    (text,) = model.grounds
    assert text.record == "acme/sales:4" and text.said.startswith("its input 2 ")
    assert [(one.said, one.how) for one in text.found] == [("9,321", "hundredfold")]
    assert sentence.nowhere == ("77.7",), "what a model says is no record of where it comes from"


def test_a_models_wording_is_told_by_its_words(place: Place) -> None:
    """Where a model has worded the whole answer, that is said with its record, and the part is found by numbers and words."""
    department(place, Stepped(**OF, n=1, call="tool", given={"tool": "sum"}, value=8100), text="8100 EUR are owed.")
    errand: dict[str, Any] = {"request": "q1", "task": "q1/wording"}
    checked = ErrandChecked(**errand, agent=MAI, asking=MAI, service="models", what="w", allowed=True, rule="r", deadline_ms=9)
    ended = ErrandEnded(**errand, state="answered", by="main/two")
    answered(place, "8100 EUR are owed.", checked, ended, by="main/two", words="Owed are 8,100 EUR.\n   [sales/analyst]")
    (sentence,) = why(place, "q1").sentences
    assert (sentence.text, sentence.by, sentence.exact) == ("Owed are 8,100 EUR.", "main/two", False)
    assert [one.what for one in sentence.grounds] == ["wording", "part"]
    wording = next(one for one in sentence.grounds if one.what == "wording")
    assert wording.record == "acme/mai:5"
    assert by_kind(result(sentence))["tool"].found and sentence.nowhere == ()


def test_a_changed_record_is_seen_on_the_way(place: Place) -> None:
    """The context of who came to the answer is replayed: if it is not what was sealed, that stands there."""
    department(place, Stepped(**OF, n=1, call="tool", given={"tool": "sum"}, value=8100), text="8100 EUR are owed.")
    answered(place, "8100 EUR are owed.")
    assert result(why(place, "q1").sentences[0]).verdict == "verified"
    from mai.sandbox.ledger import connect

    db = connect(place.ledger(SALES), write=True)
    db.execute("DROP TRIGGER journal_update")
    db.execute("UPDATE journal SET body = replace(body, '\"value\":8100', '\"value\":8200') WHERE seq = 4")
    db.close()
    assert result(why(place, "q1").sentences[0]).verdict == "differs"


def test_a_department_that_is_gone_ends_the_way(place: Place) -> None:
    """What Mai has on record is shown as far as it goes, without the department's own ledger."""
    answered(place, "8100 EUR are owed.")
    (sentence,) = why(place, "q1").sentences
    (part,) = sentence.grounds
    assert part.record == "acme/mai:4" and sentence.nowhere == ("8100",)
    assert all(one.record.startswith("acme/mai:") for one in part.grounds)


def test_mais_own_words_are_hers(place: Place) -> None:
    """An answer without a department leads to her choice, with its grounds."""
    accepted = RequestAccepted(request="q1", asker="acme/client", text="sing", accepted_ms=1, deadline_ms=2)
    planned = RequestPlanned(request="q1", parts=(), why="nothing fits that")
    ended = RequestEnded(request="q1", state="refused", answer="Nobody here does that.", parts=(), elapsed_ms=1)
    journal(place, MAI, accepted, planned, ended)
    (sentence,) = why(place, "q1").sentences
    assert [(one.what, one.record, one.said) for one in sentence.grounds] == [("mai", "acme/mai:3", "nothing fits that")]
    part = PartAnswer("", "sing", "refused", "", {}, "nothing fits that", "", ())
    ended = RequestEnded(request="q2", state="refused", answer=answer((part,)), parts=(part,), elapsed_ms=1)
    journal(place, MAI, msgspec.structs.replace(accepted, request="q2"), msgspec.structs.replace(planned, request="q2"), ended)
    ((only,),) = [one.grounds for one in why(place, "q2").sentences]
    assert [(one.what, one.record) for one in only.grounds] == [("mai", "acme/mai:8")]


def test_a_refusal_shows_what_was_looked_at(place: Place) -> None:
    """Where nothing that an agent had says what he says, what he had is named."""
    tool = Stepped(**OF, n=1, call="tool", given={"tool": "sale", "input": {"order": 1}}, value=None)
    refused = Ended(**OF, state="refused", reason="no invoice is there", by=BY)
    journal(place, SALES, hop(), Begun(**OF, attempt=1, code="c0de"), tool, refused)
    part = PartAnswer("sales", "how much?", "refused", "", {}, "no invoice is there", BY, ())
    accepted = RequestAccepted(request="q1", asker="acme/client", text="how much?", accepted_ms=1, deadline_ms=2)
    ended = RequestEnded(request="q1", state="refused", answer=answer((part,)), parts=(part,), elapsed_ms=1)
    journal(place, MAI, accepted, PartEnded(request="q1", task="q1/1", answer=part), ended)
    found = why(place, "q1")
    assert result(found.sentences[0]).besides == ("tool sale order=1 (acme/sales:4)",)
    assert "it also had: tool sale order=1 (acme/sales:4)" in render(found)


def test_what_cannot_be_explained_is_said(place: Place) -> None:
    """A request that has no answer yet, words that are in none of its sentences, a request that there is not."""
    journal(place, MAI, RequestAccepted(request="q2", asker="acme/client", text="?", accepted_ms=1, deadline_ms=2))
    with pytest.raises(NotFound, match="acme/q2 has no answer yet") as waits:
        why(place, "q2")
    assert waits.value.hint == "see how far it is: mai trace q2"
    answered(place, "8100 EUR are owed.")
    with pytest.raises(UsageFault, match="no sentence of the answer has 'moon'"):
        why(place, "q1", "moon")
    run = CliRunner().invoke(main, ["--state", str(place.state), "why", "nope"])
    assert run.exit_code == 2 and "no request begins with 'nope'" in run.output
