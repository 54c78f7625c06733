"""Texts of a user's made fit for one line of a terminal or a drawing. Pure."""


def printable(text: str) -> str:
    """The text with signs that a terminal would obey (and the breaks of lines) written out, such as \\x1b."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def plain(text: str) -> str:
    """The text on one line."""
    return printable(" ".join(text.split()))


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and `…`, in at most so many characters."""
    return text if len(text) <= longest else text[: max(longest - 1, 0)] + "…" * (longest > 0)
