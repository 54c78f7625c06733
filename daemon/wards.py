"""All processes that the watchdog cares for, which of them needs which, and how the whole stands."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from mai.agents.organisation import Organisation
from mai.daemon.case import Case, Rules
from mai.daemon.programs import is_mai
from mai.daemon.ward import Ward
from mai.sandbox.place import Place


class Wards(dict[str, Ward]):
    """By name, in the order of their start."""

    def __init__(
        self, organisation: Organisation, place: Place, unwanted: Collection[str], asleep: Mapping[str, Any] = {}
    ) -> None:
        """`asleep`: what the book has of those that sleep."""
        super().__init__()
        self._place = place
        self._after: dict[str, tuple[str, ...]] = {}  # process -> departments that it stands after
        self.extend(organisation, unwanted)
        for name, row in asleep.items():
            if name in self and self[name].case.wanted and self[name].rules.sleep_s:
                self[name].case = Case(state="stopped" if row["sure"] else "waiting", asleep=True)

    def extend(self, organisation: Organisation, unwanted: Collection[str]) -> None:
        """Care for all processes of an organisation."""
        for name in (*organisation.engines(), *organisation.processes()):
            if name not in self:
                wanted = name not in unwanted
                self[name] = Ward(name, self._place.log(name), Case(wanted=wanted, state="waiting" if wanted else "stopped"))
            self[name].rules = rules_of(organisation, name)
        self._after = {
            f"{client}/{department.name}": tuple(f"{client}/{other}" for other in department.after)
            for client in organisation.clients for department in organisation.departments
        }  # fmt: skip

    def of(self, pid: int) -> Ward | None:
        """Whose pid it is, if it is one of them."""
        return next((ward for ward in self.values() if ward.case.pid == pid), None)

    def needs(self, ward: Ward) -> list[Ward]:
        """What has to be ready before it is started: its Mai, and what it stands after; she herself and engines need nothing."""
        mai = () if is_mai(ward.name) else (f"{ward.name.split('/')[0]}/mai",)
        return [self[name] for name in (*mai, *self._after.get(ward.name, ())) if name in self]

    def leaning(self, ward: Ward) -> list[Ward]:
        """Departments that stand after this one, or after one that does."""
        found: list[Ward] = []
        for other in self.values():
            if ward.name in self._after.get(other.name, ()):
                found += [one for one in (other, *self.leaning(other)) if one not in found]
        return found

    def gate(self, ward: Ward) -> bool:
        """May it be started, as far as the others go?"""
        return all(other.case.state == "ready" for other in self.needs(ward))

    def rank(self, name: str) -> int:
        """Who starts first of those who wait: Mai and what all clients share, then who has work waiting, as is last known."""
        if is_mai(name) or "/" not in name or (ward := self.get(name)) is None:
            return 0
        mai = self.get(f"{name.partition('/')[0]}/mai")
        waited_for = mai is not None and mai.word is not None and name in mai.word.waits_for
        return 1 if waited_for or (ward.word is not None and (ward.word.queue or ward.word.pending)) else 2

    def vain(self, ward: Ward) -> str:
        """What it waits for that will not become ready by itself; "" if there is no such thing."""
        if ward.case.state != "waiting":
            return ""
        needed = [other for other in self.needs(ward) if not other.case.asleep]
        dead = next((other for other in needed if other.case.state in ("failed", "stopped")), None)
        return f"{ward.name} waits for {dead.name}, which is {dead.case.state}" if dead else ""

    def summary(self) -> tuple[bool, str]:
        """Has everything become ready, or was given up; and the figures for people."""
        wanted = [ward for ward in self.values() if ward.case.wanted]
        asleep = sum(ward.case.asleep and ward.case.state == "stopped" for ward in wanted)
        count = sum(ward.case.state == "ready" for ward in wanted) + asleep
        failed = [ward.name for ward in wanted if ward.case.state == "failed"]
        vain = sum(bool(self.vain(ward)) for ward in wanted)
        sleep = f", {asleep} of them asleep" if asleep else ""
        text = f"{count} of {len(wanted)} ready{sleep}" + (f"; failed: {', '.join(failed)}" if failed else "")
        return count + len(failed) + vain == len(wanted), text


def rules_of(organisation: Organisation, process: str) -> Rules:
    """How the watchdog watches a process; engines of the host hold a model's weights, and have no bounds."""
    whole, found = organisation.watchdog, organisation.department(process.partition("/")[2])
    watching = found.watchdog.over(whole) if found else whole
    stuck_s = 0.0 if is_mai(process) else watching.stuck_s  # she waits for departments, as long as they take
    rules = Rules(
        heartbeat_s=organisation.limits.heartbeat_s, deaths=watching.deaths, period_s=watching.period_s, stuck_s=stuck_s
    )
    if "/" not in process:
        return rules
    return msgspec.structs.replace(
        rules, memory_bytes=watching.memory_bytes, descriptors=watching.descriptors,
        cpu_cores=watching.cpu_cores, cpu_s=watching.cpu_s, sleep_s=watching.sleep_s,
    )  # fmt: skip
