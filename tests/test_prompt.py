"""What is shown while a person types stands above his line, once, and the line stays what he has typed."""

import os
import re
import string
import sys

from tests.foreground import Foreground

TALK = """
import threading
from mai.daemon.prompt import Prompt

prompt = Prompt("acme> ")
threading.Thread(target=lambda: [prompt.above(f"word {n} of 150") for n in range(150)], daemon=True).start()
while (line := prompt.line()) is not None:
    print("typed:", line, flush=True)
    prompt.above("after " + line)
"""


def test_a_line_stays_what_is_typed_whatever_is_shown_above_it() -> None:
    """A thread shows words at every moment of the typing; behind each of them the line is drawn as it is then."""
    shell, text = Foreground([sys.executable, "-P", "-c", TALK]), string.ascii_lowercase * 2
    shell.until_shown("acme> ")
    for n, letter in enumerate(text):
        shell.until_shown(f"word {n * 2} of 150")
        os.write(shell.terminal, letter.encode())
    shell.until_shown("word 149 of 150")
    shell.until_shown(f"acme> {text}")
    os.write(shell.terminal, b"\x1b[D\x1b[Dxy\n\x04")  # two to the left
    assert shell.end() == 0
    rows = [row.rpartition("\x1b[K")[2].lstrip("\r") for row in shell.shown.split("\r\n")]
    assert f"typed: {text[:-2]}xy{text[-2:]}" in rows and f"after {text[:-2]}xy{text[-2:]}" in rows
    assert [row for row in rows if "word" in row] == [f"word {n} of 150" for n in range(150)]
    lines = [line for line in re.findall(r"acme> ([a-z]*)", shell.shown) if line]
    assert all(text.startswith(line) for line in lines), lines
    assert text in lines and len(set(lines)) > 10
