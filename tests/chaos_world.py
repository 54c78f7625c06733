"""The organisation of the chaos campaign: transfers between accounts of a bank that stands outside of the company.

A client asks `branch` for a transfer: it looks (effect none), takes the money from one account, lets `vault` put it on the
other, and now and then `post` write a receipt with a model. The way of a transfer says which kinds of tool take and put. The bank
is a file to which each call of a tool adds one line, see chaos_books.py; nothing of the company reads it but queries by key.
"""

from pathlib import Path

WAYS = {  # of a transfer -> the tools that take and put
    "idempotent": ("take_idempotent", "put_idempotent"),
    "queryable": ("take_queryable", "put_queryable"),
    "opaque": ("take_opaque", "put_opaque"),
    "command": ("take_command", "put_command"),
    "network": ("take_idempotent", "put_network"),
    "again": ("take_idempotent", "put_again"),
}
EFFECTS = {  # tool -> its effect
    "take_idempotent": "idempotent", "put_idempotent": "idempotent", "put_again": "idempotent",
    "take_queryable": "queryable", "put_queryable": "queryable",
    "take_opaque": "opaque", "put_opaque": "opaque", "take_command": "opaque", "put_command": "opaque", "put_network": "opaque",
}  # fmt: skip
UNDOES = {"idempotent": "undo_{}", "queryable": "undo_{}", "opaque": "undo_{}_once"}  # effect of a tool -> what undoes it
UNDO_EFFECTS = {"undo_take": "idempotent", "undo_put": "idempotent", "undo_take_once": "opaque", "undo_put_once": "opaque"}
CLIENT = "acme"
MAI = "acme/mai"
SERVICES = ("acme/models", "acme/tools")
DEPARTMENTS = ("acme/branch", "acme/vault", "acme/post")
INSIDE = (MAI, *DEPARTMENTS, *SERVICES)  # what the watchdog starts
HEARTBEAT_S = 3.0
TEXT = "transfer {amount} from account {source} to account {target} by {way} as number {ref}"

HEAD = f"""
[organisation]
name = "Chaos"
clients = ["{CLIENT}"]

[[policies]]
name = "all"
verdict = "allow"
tools = ["*"]

[limits]
request_s = 60
task_s = 60
heartbeat_s = {HEARTBEAT_S}

[[models.providers]]
name = "main"
url = "URL"
running = 8

[[models.models]]
name = "writer"
chain = [{{ provider = "main", model = "scripted" }}]
output_tokens = 50
call_s = 15

[departments.branch]
charter = "Transfers money."

[[departments.branch.agents]]
name = "teller"
rank = "operator"
charter = "Transfers money."
skills = ["transfers"]
handler = "bank.py:teller"
tools = ["look", "take_idempotent", "take_queryable", "take_opaque", "take_command"]

[[departments.branch.contracts]]
name = "transfer"
about = "Transfer money"
served_by = "teller"
may_ask = ["client"]
request = {{ amount = "int", source = "int", target = "int", way = "str", ref = "int" }}
reply = {{ ref = "int" }}
phrases = ["{TEXT}"]

[[departments.branch.tools]]
name = "look"
handler = "bank.py:look"
timeout_s = 2

[departments.vault]
charter = "Keeps money."

[[departments.vault.agents]]
name = "clerk"
rank = "operator"
charter = "Puts money on accounts."
skills = ["deposits"]
handler = "bank.py:clerk"
tools = ["put_idempotent", "put_queryable", "put_opaque", "put_command", "put_network", "put_again"]

[[departments.vault.contracts]]
name = "deposit"
about = "Put money on an account"
served_by = "clerk"
may_ask = ["branch"]
request = {{ amount = "int", account = "int", tool = "str", ref = "int" }}
reply = {{ ref = "int" }}

[departments.post]
charter = "Writes receipts."

[[departments.post.agents]]
name = "writer"
rank = "specialist"
charter = "Writes receipts."
skills = ["receipts"]
handler = "bank.py:writer"
model = "writer"

[[departments.post.contracts]]
name = "receipt"
about = "Write a receipt"
served_by = "writer"
may_ask = ["branch"]
request = {{ ref = "int" }}
reply = {{ words = "int" }}
"""
HANDLERS = """
import fcntl, json, os, time
from mai.agents.context import Answer, Refusal

BANK = "FILE"
WAYS = TABLE


def line(key, tool, given):
    pause = given["ref"] % 8  # at times it takes a while before, at times after it
    if pause == 1:
        time.sleep(0.03)
    file = os.open(BANK, os.O_WRONLY | os.O_APPEND)
    os.write(file, (key + " " + tool + " " + json.dumps(given) + "\\n").encode())
    os.close(file)
    if pause == 2:
        time.sleep(0.03)
    return given["ref"]


def found(key):
    with open(BANK) as lines:
        return next((json.loads(rest)["ref"] for at, _, rest in (one.split(" ", 2) for one in lines) if at == key), None)


def asked(files, key):
    return found(key)


def look(files, account: int, ref: int):
    return account


TOOLS

async def teller(ctx, task):
    i, (take, put) = task.input, WAYS[task.input["way"]]
    await ctx.tool("look", account=i["source"], ref=i["ref"])
    await ctx.tool(take, account=i["source"], amount=-i["amount"], ref=i["ref"])
    await ctx.ask("vault.deposit", account=i["target"], amount=i["amount"], tool=put, ref=i["ref"])
    if i["ref"] % 5 == 0:
        await ctx.ask("post.receipt", ref=i["ref"])
    return Answer(f"Transfer {i['ref']} is done.", {"ref": i["ref"]})


async def clerk(ctx, task):
    i = task.input
    return {"ref": await ctx.tool(i["tool"], account=i["account"], amount=i["amount"], ref=i["ref"])}


async def writer(ctx, task):
    reply = await ctx.model([{"role": "user", "content": f"A receipt for transfer {task.input['ref']}."}])
    return {"words": len(reply.text.split())}
"""
FUNCTION = """
def {tool}(files, account: int, amount: int, ref: int, *, key):
    return line(key, "{tool}", dict(account=account, amount=amount, ref=ref))

"""
UNDO = """
def {tool}(files, undoes, input, value, *, key):
    assert key == undoes + "!"
    return line(key, "{tool}", dict(input, amount=-input["amount"]))

"""
COMMAND = """read -r given
ref=${given##*\\"ref\\":}; ref=${ref%%[!0-9]*}
[ $((ref % 8)) = 1 ] && sleep 0.03
printf '%s %s %s\\n' "$MAI_KEY" "$1" "$given" >>"FILE"
[ $((ref % 8)) = 2 ] && sleep 0.03
echo "$ref"
"""


def write(directory: Path, bank: Path, url: str) -> Path:
    """Lay out the organisation in a new directory; returns its file. `url`: of the models' provider."""
    directory.mkdir()
    functions = "".join(FUNCTION.format(tool=tool) for tool in EFFECTS if not tool.endswith("_command"))
    functions += "".join(UNDO.format(tool=tool) for tool in UNDO_EFFECTS)
    texts = {
        "chaos.toml": HEAD.replace("URL", url) + "".join(map(_tool, (*EFFECTS, *UNDO_EFFECTS))),
        "bank.py": HANDLERS.replace("FILE", str(bank)).replace("TABLE", repr(WAYS)).replace("TOOLS", functions),
        "bank.sh": COMMAND.replace("FILE", str(bank)),
    }
    for name, text in texts.items():
        (directory / name).write_text(text)
    return directory / "chaos.toml"


def _tool(name: str) -> str:
    """One tool of the branch or of the vault."""
    department, effect = "branch" if "take" in name else "vault", (EFFECTS | UNDO_EFFECTS)[name]
    called = f'command = ["sh", "bank.sh", "{name}"]' if name.endswith("_command") else f'handler = "bank.py:{name}"'
    lines = [f"[[departments.{department}.tools]]", f'name = "{name}"', called, f'effect = "{effect}"', "timeout_s = 2"]
    if name.endswith("_command"):
        lines.append('input = { account = "int", amount = "int", ref = "int" }')
    if name in ("put_network", "put_again"):
        lines.append('hosts = ["localhost"]')
    if name in EFFECTS:
        lines.append(f'undo = "{UNDOES[effect].format(name.partition("_")[0])}"')
    if effect == "queryable":
        lines.append('asked_by = "bank.py:asked"')
    return "\n" + "\n".join(lines) + "\n"
