"""What is common to all messages. Pure."""

from typing import Any, Literal

import msgspec

Outcome = Literal["answered", "refused", "failed", "expired", "escalated"]  # the last: between ranks only, never to a client
Fields = dict[str, Any]  # values of a contract's request or reply, as JSON has them


class Body(msgspec.Struct, frozen=True, tag_field="is"):
    """What all bodies share: a map whose `is` names the kind, so that a journal reads well."""
