"""What the tables of an organisation file are made of: names, numbers with bounds, and tables that know their keys. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_-]*\Z", max_length=40)]  # of a client, a department, an agent, a model
Word = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]*\Z", max_length=40)]  # of a contract, a tool, a field
ToolName = Annotated[str, Meta(pattern=r"\A(remedy\.)?[a-z][a-z0-9_]*\Z", max_length=40)]  # the built-in remedies have a dot
Seconds = Annotated[float, Meta(ge=0.05, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1 << 10, le=1 << 26)]

Access = Literal["", "read", "write"]  # of a program to the data of its department

Fields = dict[str, object]  # name -> a type's name ("int", "list[str]", "date?"), a list of one table, or a table


class Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What all tables of the file share: an unknown key is a fault."""
