"""SCHEMA.md: what a ledger holds, for who reads it with ordinary tools. Made of the code itself by `make schema`."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mai.daemon.kinds import kinds
from mai.daemon.levels import level_of
from mai.daemon.site import QUESTIONS
from mai.sandbox.place import FORMAT
from mai.sandbox.schema import TABLES
from mai.sandbox.view import View
from mai.sandbox.views import VIEWS

HEAD = """# What a ledger holds

Each process has one SQLite file: `STATE/watchdog/ledger.db`, `STATE/clients/CLIENT/DEPARTMENT/ledger.db` (`mai` and `models`
are departments in that). This page is made of the code by `make schema`; it is about format {format} (`PRAGMA user_version`).

A ledger may be read while its process writes: open it read-only, ask short questions, and keep no transaction open: as long as
it is, the write-ahead log cannot be cleared and grows.

    mai sql acme/support "select at, agent, call, given, value from steps where request = '19a2b3c4d5e6f7a8b'"
    sqlite-utils rows --limit 3 file:STATE/clients/acme/support/ledger.db?mode=ro steps

`mai sql` sees archived segments as well, and brings the views of this version to ledgers of older formats. To keep and read
elsewhere take copies: `mai client export`, `mai backup`, or `mai export --datasette DIR` for a site to browse.

## Tables

The journal is the truth: append only, chained by `digest`, which `mai verify` checks. The state follows from it. A body above
16 KiB lies in `blob`, and so do texts of models; the view `records` puts bodies back.

```sql
{tables}
```

Tables called `words …` and their shadows are the full-text indexes of memory, one for each shelf; their rows follow from the
state.

## Views
"""


def text() -> str:
    """The whole page."""
    views = (_view(view) for view in VIEWS)
    return "\n".join((HEAD.format(format=FORMAT, tables=_tables()), *views, *_questions(), *_kinds(), ""))


def _tables() -> str:
    return TABLES[: TABLES.index("CREATE VIEW")].strip()


def _view(view: View) -> str:
    rows = "\n".join(f"| `{column.name.strip(chr(34))}` | {column.about} |" for column in view.columns)
    return f"### `{view.name}` ({view.where})\n\n{view.about}\n\n| column | what |\n|---|---|\n{rows}\n"


def _questions() -> Iterator[str]:
    yield "## Questions\n"
    yield "For `mai sql PROCESS '…'`, with a `--value` for each name with a colon, in their order; Datasette shows them.\n"
    for whose, questions in QUESTIONS.items():
        yield f"Of {whose}:\n"
        for title, sql in questions.values():
            yield f"- {title}: `{sql}`"
        yield ""


def _kinds() -> Iterator[str]:
    yield "## Kinds of records\n"
    yield "What a `body` holds; `mai export --schema DIR` writes a JSON schema for each. The level is `mai tail --level`'s.\n"
    yield "| kind | level | what | fields |\n|---|---|---|---|"
    for kind, struct in kinds().items():
        about = " ".join((inspect.getdoc(struct) or "").split()).replace("|", "\\|")
        fields = ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(struct))
        yield f"| `{kind}` | {level_of(kind)} | {about} | {fields} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
