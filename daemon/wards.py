"""All processes that the watchdog cares for, which of them needs which, and how the whole stands."""

from collections.abc import Collection

from mai.agents.organisation import Organisation
from mai.daemon.case import Case
from mai.daemon.programs import is_mai
from mai.daemon.ward import Ward
from mai.sandbox.place import Place


class Wards(dict[str, Ward]):
    """By name, in the order of their start."""

    def __init__(self, organisation: Organisation, place: Place, unwanted: Collection[str]) -> None:
        super().__init__()
        self._place = place
        self.extend(organisation, unwanted)

    def extend(self, organisation: Organisation, unwanted: Collection[str]) -> None:
        """Care for all processes of an organisation."""
        for name in (*organisation.engines(), *organisation.processes()):
            if name not in self:
                wanted = name not in unwanted
                self[name] = Ward(name, self._place.log(name), Case(wanted=wanted, state="waiting" if wanted else "stopped"))

    def of(self, pid: int) -> Ward | None:
        """Whose pid it is, if it is one of them."""
        return next((ward for ward in self.values() if ward.case.pid == pid), None)

    def needs(self, ward: Ward) -> list[Ward]:
        """What has to be ready before it is started: its Mai; she herself and the host's processes need nothing."""
        mai = None if is_mai(ward.name) else self.get(f"{ward.name.split('/')[0]}/mai")
        return [mai] if mai else []

    def gate(self, ward: Ward) -> bool:
        """May it be started, as far as the others go?"""
        return all(other.case.state == "ready" for other in self.needs(ward))

    def vain(self, ward: Ward) -> str:
        """What it waits for that will not become ready by itself; "" if there is no such thing."""
        if ward.case.state != "waiting":
            return ""
        dead = next((other for other in self.needs(ward) if other.case.state in ("failed", "stopped")), None)
        return f"{ward.name} waits for {dead.name}, which is {dead.case.state}" if dead else ""

    def summary(self) -> tuple[bool, str]:
        """Has everything become ready, or was given up; and the figures for people."""
        wanted = [ward for ward in self.values() if ward.case.wanted]
        count = sum(ward.case.state == "ready" for ward in wanted)
        failed = [ward.name for ward in wanted if ward.case.state == "failed"]
        vain = sum(bool(self.vain(ward)) for ward in wanted)
        text = f"{count} of {len(wanted)} ready" + (f"; failed: {', '.join(failed)}" if failed else "")
        return count + len(failed) + vain == len(wanted), text
