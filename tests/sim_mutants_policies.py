"""Deliberate bugs in policies: what is denied is done, what is decided is not on record; sim_mutants.py has the others."""

from typing import Any

from msgspec.structs import replace

from mai.agents import gates, judging, policies
from mai.daemon import policing
from tests.sim_mutation import Put, mutant


@mutant
def do_what_is_denied(put: Put) -> None:
    """A verdict that denies is on record, and the tool is called all the same."""
    passes = gates.passes
    put(gates, "passes", lambda decider, step, ruling: ruling.verdict == "deny" or passes(decider, step, ruling))


@mutant
def take_a_denial_for_nothing(put: Put) -> None:
    """Policies that deny are left out."""
    judge = policies.judge

    def kind(code: Any, act: Any, **more: Any) -> Any:
        clauses = tuple(clause for clause in code.clauses if clause.policy.verdict != "deny")
        return judge(code._replace(clauses=clauses), act, **more)

    for module in (judging, policing):
        put(module, "judge", kind)


@mutant
def let_the_last_policy_decide(put: Put) -> None:
    """Not the first that matches decides, but the last."""
    judge = policies.judge
    for module in (judging, policing):
        put(module, "judge", lambda code, act, **more: judge(code._replace(clauses=code.clauses[::-1]), act, **more))


@mutant
def keep_verdicts_from_the_journal(put: Put) -> None:
    """An effect has no verdict on record."""
    put(judging, "on_record", lambda act, ruling: False)


@mutant
def judge_by_other_policies(put: Put) -> None:
    """A department judges by other policies than it has said."""
    rule = judging.rule
    put(judging, "rule", lambda decider, act: replace(rule(decider, act), digest="0000000000000000"))
