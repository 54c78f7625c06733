"""The organisation of the escape campaign: who tries to get out, what he is to get at, and whom alone that may be asked of."""

ORGANISATION = """
[organisation]
name = "Escape"
clients = ["acme", "beta"]

[limits]
request_s = 10
turn_s = 20
heartbeat_s = 60

[watchdog]
sign_s = 0.5

[departments.lair]
charter = "Tries to get out."

[[departments.lair.agents]]
name = "imp"
rank = "specialist"
charter = "Tries what it is told."
skills = ["attempt"]
handler = "tests/escape_inside.py:attack"

[[departments.lair.contracts]]
name = "attempt"
about = "Make an attempt"
served_by = "imp"
may_ask = ["client"]
request = { name = "str" }
reply = { worked = "bool", said = "str" }
phrases = ["try {name}"]

[departments.vault]
charter = "Keeps what is precious."

[[departments.vault.agents]]
name = "keeper"
rank = "specialist"
charter = "Keeps it."
skills = ["treasure"]
handler = "victim.py:keep"

[[departments.vault.contracts]]
name = "keep"
about = "Keep it"
served_by = "keeper"
may_ask = ["client"]
request = {}
reply = { secret = "str", address = "int", fd = "int" }
phrases = ["keep it"]

[[departments.vault.contracts]]
name = "open"
about = "Open it"
served_by = "keeper"
may_ask = ["friend"]
request = { text = "str" }
reply = { text = "str" }

[departments.friend]
charter = "May ask for it."

[[departments.friend.agents]]
name = "agent"
rank = "specialist"
charter = "May ask."
skills = ["asking"]
handler = "victim.py:keep"
"""
VICTIM = "from tests.escape_inside import keep\n"
