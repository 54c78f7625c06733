"""The views of a ledger for people, and what each column of them is. Pure. SCHEMA.md is made of this file.

A view costs who writes nothing: it is a text in the file. All are made of the journal but for those that say so, and of the
state that is open now. What has happened stands in one record, what came of it in another: views join the two by the index
on requests, so a query that names a request is quick however long the journal is. Every time is UTC as ISO 8601 has it.
"""

from typing import Final

from mai.sandbox.view import (
    AGENT,
    ASKED,
    AT,
    AT_MAI,
    BLOB,
    HERE,
    REQUEST,
    SAME_STEP,
    SEQ,
    STEP,
    TASK,
    THERE,
    THIS,
    Column,
    View,
    either,
    json,
    ms,
    ns,
    of,
    same,
    text,
    there,
)

VIEWS: Final = (
    View(
        "records", "all", "The journal, record by record, each body whole wherever it lies.",
        (
            SEQ, AT,
            Column("kind", "r.kind", "what kind of record it is; what its body holds: `mai export --schema DIR`"),
            REQUEST, TASK, AGENT,
            Column("body", f"CASE WHEN r.body GLOB '{BLOB}' THEN (SELECT CAST(value AS TEXT) FROM blob WHERE address = "
                   "r.body->>'$.blob') ELSE r.body END", "what it says, JSON"),
            Column("life", "r.boot", "which start of the process wrote it"),
            Column("term", "r.term", "the number of the facility that was active"),
            Column("digest", "lower(hex(r.digest))", "SHA-256 over all of it and the digest of the record before"),
            Column("at_ns", "r.at_ns", "when, in nanoseconds since 1970"),
        ),
        "FROM journal r",
    ),
    View(
        "requests", "Mai", "What the client asked, and what came of it.",
        (
            REQUEST,
            Column("at", ns("r"), "when it was taken in"),
            Column("state", f"COALESCE({text('state', 'e')}, 'open')", "answered, refused, failed, expired; open"),
            Column("text", text("text"), "what was asked"),
            Column("answer", text("answer", "e"), "what was answered"),
            Column("by", text("by"), "the user at the door; empty where Mai asks herself"),
            Column("thread", text("thread"), "its conversation"),
            Column("deadline", ms(text("deadline_ms")), "until when it has to be answered"),
            Column("ended", ns("e"), "when it was answered"),
            Column("elapsed_ms", text("elapsed_ms", "e"), "how long that took"),
        ),
        of("request.accepted").format(same("request.ended", "e")),
    ),
    View(
        "parts", "Mai", "What each department has answered.",
        (
            *HERE[:4],
            Column("department", text("answer.department"), "which"),
            Column("state", text("answer.state"), "answered, refused, failed, expired, escalated"),
            Column("text", text("answer.text"), "what it was asked"),
            Column("answer", text("answer.answer"), "what it answered, for a person"),
            Column("value", json("answer.value"), "the same for a program"),
            Column("by", text("answer.by"), "the address that did the work"),
            Column("sources", json("answer.sources"), "departments that it rests on"),
            Column("reason", text("answer.reason"), "why not, unless answered"),
        ),
        of("part.ended").format(""),
    ),
    View(
        "tasks", "departments", "Each task as it was handed to an agent, under which rule, and how it ended.",
        (
            *HERE,
            Column("sender", text("sender"), "who handed it on"),
            Column("parent", text("parent"), "the task that it is part of"),
            Column("contract", text("contract"), "the contract that is asked for"),
            Column("text", text("text"), "what was asked, if it is a free text"),
            Column("input", json("input"), "what was given with it"),
            Column("rule", text("rule"), "the rule that allows the hop"),
            Column("deadline", ms(text("deadline_ms")), "until when"),
            Column("state", f"COALESCE({text('state', 'e')}, 'open')", "answered, refused, failed, expired, escalated; open"),
            Column("answer", text("text", "e"), "for a person"),
            Column("value", json("value", "e"), "for a program"),
            Column("reason", text("reason", "e"), "why not, unless answered"),
            Column("ended", ns("e"), "when it ended"),
        ),
        of("hop").format(same("task.ended", "e", "e.task = r.task")),
    ),
    View(
        "steps", "departments", "What agents did, step by step: tools, memory, models, other agents and departments.",
        (
            *HERE,
            Column("n", text("n"), "its number within the task"),
            Column("call", text("call"), "what was called: tool, ask, model, recall, remember …"),
            Column("given", f"COALESCE({json('given')}, ({ASKED}))", "with what"),
            Column("value", json("value"), "what it got"),
            Column("refused", text("refused"), "why it got nothing"),
            Column("text", text("text"), "what it got, in words"),
            Column("by", text("by"), "from whom"),
        ),
        of("step").format(""),
    ),
    View(
        "messages", "all but the watchdog", "What crossed the border of the process.",
        (
            *HERE[:4],
            Column("direction", "substr(r.kind, 9)", "sent or received"),
            Column("peer", either("to", "sender"), "the other process"),
            Column("n", text("lseq"), "its number on the link, in its direction"),
            Column("id", text("id"), "derived from what caused it"),
            Column('"is"', text("body.is"), "task, result, recall, think …"),
            Column("state", text("body.state"), "of an answer"),
            Column("text", text("body.text"), "of a task or an answer"),
            Column("deadline", ms(text("deadline_ms")), "until when"),
            Column("body", json("body"), "all of it"),
        ),
        "FROM records r WHERE r.kind IN ('message.sent', 'message.received')",
    ),
    View(
        "decisions", "all but the watchdog", "What was decided, sealed with what it was based on. `mai replay` shows that.",
        (
            Column("record", text("record"), "the decision's own record"),
            AT, REQUEST, TASK, AGENT,
            Column("what", text("what"), "route, refusal, answer, verdict, approval, ruling, model, effect …"),
            Column("kind", "d.kind", "of its record"),
            Column("said", "d.body", "its record, JSON"),
            Column("seal", "r.seq", "the record that seals it"),
            Column("context", text("context"), "digest of all records that it was based on"),
            Column("before", text("before"), "the seal that it goes on from; 0: the first"),
            Column("code", text("code"), "digest of the code that decided; empty for the built-in behaviour of a rank"),
            Column("life", text("life"), "the record of the process's start: version, organisation, libraries"),
        ),
        "FROM records r LEFT JOIN records d ON d.seq = r.body->>'$.record' WHERE r.kind = 'decision'",
    ),
    View(
        "verdicts", "departments, Mai", "What policies, contracts and scopes said before something was done.",
        (
            *HERE,
            Column("what", either("what", "contract"), "tool, contract, claim; a contract's, a model's name"),
            Column("name", text("name"), "of what"),
            Column("verdict", "COALESCE(r.body->>'$.verdict', iif(r.body->>'$.allowed', 'allow', 'deny'))",
                   "allow, deny, board, person"),
            Column("clause", either("clause", "rule"), "the policy or rule that says so"),
            Column("why", text("why"), "its reason"),
            Column("policies", text("policies"), "the digest of all policies"),
        ),
        "FROM records r WHERE r.kind IN ('policy.judged', 'contract.checked', 'errand.checked') AND r.request <> ''",
    ),
    View(
        "refusals", "all", "Whatever was refused, by which rule.",
        (
            *HERE,
            Column("kind", "r.kind", "of the record"),
            Column("who", either("sender", "peer", "asking", "user"), "who was refused, if not the agent"),
            Column("what", either("receiver", "name", "contract", "call", "verb", "what"), "what he wanted"),
            Column("rule", either("rule", "refused", "clause", "why"), "why not"),
            Column("detail", "COALESCE(r.body->>'$.detail', r.body->'$.instead')", "more, or what would have been allowed"),
        ),
        "FROM records r WHERE r.kind IN ('hop.refused', 'message.refused', 'memory.refused', 'door.denied', 'door.refused') "
        "OR (r.kind = 'step' AND r.body->>'$.refused' <> '') OR (r.kind = 'policy.judged' AND r.body->>'$.verdict' = 'deny') "
        "OR (r.kind IN ('contract.checked', 'errand.checked') AND NOT r.body->>'$.allowed')",
    ),
    View(
        "claims", "departments, Mai", "Conclusions of agents about a subject; at Mai those of all departments.",
        (
            *HERE,
            Column("id", text("id"), "the claim"),
            Column("subject", text("subject"), "about whom or what"),
            Column("attribute", text("attribute"), "what of it"),
            Column("value", json("value"), "is what; at Mai only what may leave its department"),
            Column("confidence", text("confidence"), "0 to 1"),
            Column("why", text("why"), "its reason"),
            Column("grounds", json("grounds"), "what it rests on"),
        ),
        of("claim").format(""),
        (
            (
                (*THERE, text("claim.id"), text("claim.subject"), text("claim.attribute"),
                 json("claim.value"), text("claim.confidence"), text("claim.why"), json("claim.grounds")),
                of("claim.noted").format(""),
            ),
        ),
    ),
    View(
        "cases", "Mai", "Claims that contradict each other, and what was ruled last.",
        (
            Column("id", "r.request", "the case"),
            AT,
            Column("subject", text("subject"), "about whom or what"),
            Column("attribute", text("attribute"), "what of it"),
            Column("claims", json("claims"), "that contradict each other"),
            Column("state", "iif(e.seq IS NULL, 'open', 'ruled')", "open or ruled"),
            Column("winner", text("ruling.winner", "e"), "the claim that stands"),
            Column("clause", text("ruling.clause", "e"), "by which clause"),
            Column("by", text("ruling.by", "e"), "who said so"),
            Column("why", text("ruling.why", "e"), "on what grounds"),
            Column("ruled", ns("e"), "when"),
        ),
        of("case.opened").format(
            "LEFT JOIN records e ON e.seq = (SELECT MAX(x.seq) FROM journal x WHERE x.request = r.request "
            "AND x.request <> '' AND x.kind = 'case.ruled')"
        ),
    ),
    View(
        "approvals", "departments, Mai", "Calls that wait for an approval, or had to: bound to the exact call.",
        (
            *HERE,
            Column("id", text("id"), "the digest that binds the approval to this call"),
            Column("name", text("name"), "the tool or contract"),
            Column("given", json("given"), "what it is called with"),
            Column("clause", text("clause"), "the policy that wants it"),
            Column("why", text("why"), "its reason"),
            Column("state", f"CASE WHEN {there('approval.used', THIS)} THEN 'used' "
                   f"WHEN {there('approval.expired', THIS)} THEN 'over' "
                   "WHEN e.seq IS NULL THEN 'waits' WHEN e.body->>'$.approved' THEN 'approved' ELSE 'denied' END",
                   "waits, approved, denied, used, over"),
            Column("by", "COALESCE(e.body->'$.by', e.body->>'$.user')", "who decided"),
            Column("note", text("note", "e"), "what he said to it"),
            Column("decided", ns("e"), "when"),
        ),
        of("approval.asked").format(
            same("approval.decided", "e", "e.body->>'$.id' = r.body->>'$.id' AND COALESCE(e.body->>'$.late', '') = ''")
        ),
        (
            (
                (*THERE, text("approval.id"), text("approval.name"), json("approval.given"),
                 text("approval.clause"), text("approval.why"),
                 f"CASE WHEN {there('approval.closed', AT_MAI)} THEN 'over' "
                 "WHEN e.seq IS NULL THEN 'waits' WHEN e.body->>'$.approved' THEN 'approved' ELSE 'denied' END",
                 text("user", "e"), text("note", "e"), ns("e")),
                of("approval.raised").format(
                    same("approval.voted", "e", "e.body->>'$.approval' = r.body->>'$.approval.id' AND e.body->>'$.last'")
                ),
            ),
        ),
    ),
    View(
        "effects", "departments", "What was changed outside, or may have been: each call of a tool that has an effect.",
        (
            *HERE,
            Column("n", text("n"), "the step"),
            Column('"key"', text("key"), "the key that it was called with"),
            Column("tool", text("tool"), "which"),
            Column("effect", text("effect"), "idempotent, queryable, opaque"),
            Column("given", json("given"), "what it was called with"),
            Column("state", "CASE WHEN s.seq IS NOT NULL THEN iif(COALESCE(s.body->>'$.refused', '') = '', 'done', 'refused') "
                   f"WHEN {there('effect.resolved', STEP)} THEN 'resolved' WHEN {there('effect.unknown', STEP)} THEN 'in doubt' "
                   "ELSE 'open' END", "done, refused, in doubt, resolved, open"),
            Column("value", json("value", "s"), "what it gave"),
            Column("refused", text("refused", "s"), "why it was not done"),
            Column("ended", ns("s"), "when that was on record"),
        ),
        of("effect.intent").format(same("step", "s", SAME_STEP.format("s"))),
    ),
    View(
        "escalations", "departments, Mai", "What somebody could not do and gave up to those above, at last to a person.",
        (
            *HERE,
            Column("id", "NULL", "of what a person is asked; Mai's"),
            Column("cause", text("cause"), "choice, refusal, failure, deadline, fallback, doubt, budget, difference"),
            Column("reason", text("reason"), "in words"),
            Column("owner", text("to"), "who has it then"),
            Column("state", "NULL", "at Mai: waits, answered, refused, expired, withdrawn"),
            Column("answer", "NULL", "what the person said"),
            Column("by", "NULL", "who that was"),
            Column("ended", "NULL", "when"),
        ),
        of("escalated").format(""),
        (
            (
                (*THERE, text("id"), text("body.plea.cause"), text("body.plea.reason"), "'person'",
                 "COALESCE(e.body->>'$.state', 'waits')", "COALESCE(NULLIF(e.body->>'$.text', ''), e.body->>'$.reason')",
                 text("by", "e"), ns("e")),
                of("escalation.raised").format(
                    "LEFT JOIN records e ON e.request = r.request AND e.request <> '' "
                    "AND e.kind IN ('escalation.answered', 'escalation.ended') AND e.body->>'$.id' = r.body->>'$.id'"
                ),
            ),
        ),
    ),
    View(
        "memory", "departments, Mai", "What is remembered now: the newest version of each key. Made of the state.",
        (
            Column("shelf", "substr(m.noun, 8)", "whose it is: agent/NAME, department, client"),
            Column('"key"', "m.key", "under which"),
            Column("value", "(SELECT v.value->'$.value' FROM state v WHERE v.noun = 'version/' || substr(m.noun, 8) "
                   "AND v.key = m.key || '/' || (m.value->>'$.n'))", "what, JSON"),
            Column("version", "m.value->>'$.n'", "how often it was written"),
            Column("at", ms("m.value->>'$.at_ms'"), "when that version was"),
            Column("expires", ms("m.value->>'$.expires_ms'"), "until when it is kept"),
        ),
        "FROM state m WHERE m.noun >= 'memory/' AND m.noun < 'memory0'",
    ),
    View(
        "memory_log", "departments, Mai", "Who read and wrote what in memory, and who was refused.",
        (
            *HERE,
            Column("did", "iif(r.kind = 'step', r.body->>'$.call', substr(r.kind, 8))",
                   "written, read, refused, expired …; recall … of a step"),
            Column("level", either("level", "given.level"), "agent, department, client"),
            Column('"key"', either("key", "given.key", "given.prefix", "given.query"),
                   "which, or what was searched for"),
            Column("version", either("n", "version"), "which; of a step its number"),
            Column("value", json("value"), "what was read or written, JSON"),
            Column("rule", either("rule", "refused"), "why it was refused"),
        ),
        "FROM records r "
        "WHERE r.kind IN ('memory.written', 'memory.read', 'memory.refused', 'memory.forgotten', 'memory.expired') "
        "OR (r.kind = 'step' AND r.body->>'$.call' IN ('recall', 'remember', 'forget', 'recall_all', 'search', 'versions'))",
    ),
    View(
        "calls", "models", "What models were asked, and what it cost.",
        (
            *HERE,
            Column("model", text("model"), "as the organisation calls it"),
            Column("peer", text("peer"), "the process that asked"),
            Column("state", f"COALESCE({text('state', 'e')}, 'open')", "answered, refused, failed, expired; open"),
            Column("by", text("by", "e"), "the provider and his model"),
            Column("input_tokens", text("usage.input_tokens", "e"), "that were read"),
            Column("output_tokens", text("usage.output_tokens", "e"), "that were written"),
            Column("cost", "e.body->>'$.usage.cost_nano' / 1e9", "in the currency of the prices"),
            Column("reason", text("reason", "e"), "why there is no answer"),
            Column("ended", ns("e"), "when it was answered"),
        ),
        of("call.taken").format(same("call.ended", "e", "e.task = r.task")),
    ),
    View(
        "incidents", "the watchdog",
        "What the watchdog saw and did. What concerns a client alone is sealed: `mai incidents` opens it.",
        (
            SEQ, AT,
            Column("kind", "r.kind", "of the record"),
            Column("process", text("process"), "whom it concerns"),
            Column("what", either("what", "wanted", "step", "state"), "death, hung …; what is wanted"),
            Column("text", either("text", "why"), "in words, where it is not sealed"),
            Column("by", text("by"), "who ordered it"),
            Column("sealed", "r.body->'$.sealed.names'", "fields that only the client's key opens"),
        ),
        "FROM records r WHERE r.kind IN ('incident', 'given_up', 'revived', 'wanted', 'remedy', 'reload', 'reloaded', 'raised')",
    ),
    View(
        "lives", "all but the watchdog", "Each start of the process.",
        (
            SEQ, AT,
            Column("life", "r.life", "its name in records"),
            Column("version", text("version"), "of mai"),
            Column("organisation", text("organisation"), "digest of the organisation that it works under"),
            Column("policies", text("policies"), "digest of the policies that concern it"),
            Column("walls", text("walls"), "full, or what is missing"),
            Column("pid", text("pid"), "its number then"),
            Column("libraries", json("libraries"), "what its code runs on"),
        ),
        "FROM records r WHERE r.kind = 'process.started'",
    ),
    View(
        "links", "all but the watchdog", "How far the process and each other have come. Made of the state.",
        (
            Column("peer", "s.key", "the other process"),
            Column("sent", "s.value->>'$.sent'", "messages that were sent"),
            Column("acked", "s.value->>'$.acked'", "of them, those that the other has on record"),
            Column("received", "s.value->>'$.received'", "messages that were received"),
        ),
        "FROM state s WHERE s.noun = 'link'",
    ),
    View(
        "open_tasks", "departments", "What is under way now. Made of the state.",
        (
            Column("task", "s.key", "the task"),
            Column("request", "s.value->>'$.request'", "the client's request"),
            Column("agent", "s.value->>'$.agent'", "who has it"),
            Column("contract", "s.value->>'$.contract'", "the contract that is asked for"),
            Column("deadline", ms("s.value->>'$.deadline_ms'"), "until when"),
        ),
        "FROM state s WHERE s.noun = 'task'",
    ),
)  # fmt: skip
STATEMENTS: Final = tuple(f"CREATE VIEW {view.sql}" for view in VIEWS)
