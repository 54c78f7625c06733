"""The errors of this house: one base class that carries an exit code, a sentence and a hint.

A fault that comes from outside (a file, a message, a user) becomes one of these and is shown as one sentence and
one hint; a bug of ours stays an ordinary exception with its traceback.
"""

DONE, FAILED, USAGE, NOT_RUNNING, REFUSED, EXPIRED, REDACTED = range(7)  # exit codes of every command


class MaiError(Exception):
    """Something that a person is told in one sentence.

    `sentence` says what is wrong (no full stop needed), `hint` what to do about it (may be empty), `code` is the
    exit status of the command that meets it.
    """

    code = FAILED

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class UsageFault(MaiError):
    """A wrong argument, organisation file or setting."""

    code = USAGE


class NotRunning(MaiError):
    """The daemon or the process that was to answer is not there."""

    code = NOT_RUNNING


class Refused(MaiError):
    """A rule of the organisation, or a limit, says no."""

    code = REFUSED


class Expired(MaiError):
    """The deadline passed first."""

    code = EXPIRED


class Erased(MaiError):
    """What is asked for was erased on somebody's order, and nothing is wrong with what is left."""

    code = REDACTED


class LedgerFault(MaiError):
    """A ledger that cannot be opened, read or written; its process must end, and says why.

    `lasting`: a restart will not make it better, a person has to.
    """

    lasting = True


class DiskFault(LedgerFault):
    """The disk, or who else uses it, is in the way just now: full, an I/O error, locked. A restart reads what is true."""

    lasting = False
