"""The table of the escape campaign: how many attempts of each class worked, in each configuration. Pure."""

from collections.abc import Mapping, Sequence

from tests.escape_kit import GROUPS, Attempt

NONE, FULL = "unconfined", "full"
Made = Mapping[str, tuple[bool, str]]  # attempt -> did it work, what was said
Found = Mapping[str, Mapping[str, Made]]  # root or user -> configuration -> what was made
WHO = {"root": "Started as root", "user": "Started as an ordinary user"}
CLASSES = {
    "files": "files of others", "processes": "other processes", "ipc": "sockets, queues, keys", "network": "network",
    "kernel": "kernel surface, undoing", "resources": "resources", "messages": "messages", "journal": "own journal",
}  # fmt: skip


def table(found: Found, attempts: Sequence[Attempt]) -> str:
    """In Markdown: for root and for a user a table each, with a row for each class and a column for each configuration."""
    return "\n\n".join(f"{WHO[who]}:\n\n{_table(made, attempts)}" for who, made in found.items())


def _table(found: Mapping[str, Made], attempts: Sequence[Attempt]) -> str:
    rows = [["class (attempts)", *found], ["---", *("---:" for _ in found)]]
    for group in GROUPS:
        if names := [one.name for one in attempts if one.group == group]:
            counts = [str(sum(made[name][0] for name in names)) for made in found.values()]
            rows.append([f"{CLASSES[group]} ({len(names)})", *counts])
    whole = [f"**{sum(worked for worked, _ in made.values())}**" for made in found.values()]
    rows.append([f"**all ({len(attempts)})**", *whole])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def verdict(found: Found, attempts: Sequence[Attempt]) -> tuple[str, int]:
    """What worked behind all walls, and what proves nothing here; the status is 1 if something of it is not listed."""
    lines: list[str] = []
    unlisted = 0
    for who, configurations in found.items():
        full, none = configurations.get(FULL), configurations.get(NONE)
        for one in attempts if full else ():
            assert full is not None
            if full[one.name][0]:
                unlisted += not one.listed
                lines.append(f"{who}: {one.name} worked behind all walls ({one.listed or 'NOT LISTED'}): {one.says}")
        for one in attempts if none else ():
            assert none is not None
            if not none[one.name][0] and one.group != "messages":
                lines.append(f"{who}: {one.name} proves nothing here: unconfined it fails as well: {none[one.name][1][:100]}")
    lines.append(f"{unlisted} worked that SECURITY.md does not list" if unlisted else "nothing worked that is not listed")
    return "\n".join(lines), int(bool(unlisted))
