"""Every error that aoii raises on purpose: one root, and below it one class for each party that has to act.

Noise on a wire is not here: a reader reports damaged bytes as values, never as exceptions.
"""

from collections import namedtuple

MYPY = False
if MYPY:
    from collections.abc import Sequence


class AoiiError(Exception):
    """Root of all errors raised by aoii; the message is written for whoever must act.

    Attributes:
        problem: What happened, and to what.
        remedy: What to do; empty if the problem makes that plain.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


class Fault(namedtuple("Fault", ("origin", "name", "state", "remedy"))):
    """What is wrong with one setting, and what to do.

    Attributes:
        origin: Where it was set: a file, or `environment`; empty when that does not matter.
        name: Of the setting, or the place in the file; empty: the file itself.
        state: What is wrong with it, such as `is "fast"`; never a secret.
        remedy: What to do.
    """

    __slots__ = ()
    origin: str
    name: str
    state: str
    remedy: str

    @property
    def problem(self) -> str:
        """What is wrong, without the remedy."""
        where = f"{self.origin}: " if self.origin else ""
        return f"{where}{self.name} {self.state}" if self.name else f"{where}{self.state}"

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


class SettingsError(AoiiError):
    """The user's configuration: one or more settings are wrong. `faults` lists each with its remedy."""

    def __init__(self, faults: "Sequence[Fault]") -> None:
        super().__init__("\n".join([str(fault) for fault in faults]))
        self.faults = tuple(faults)


class InputError(AoiiError):
    """A file or an argument that the user gave cannot be used; the message says which and what to do."""


class ProtocolError(AoiiError):
    """A peer sent bytes that are not a message. `reason` is one word from a fixed set, fit for a metric label."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class UnavailableError(AoiiError):
    """The world refused: a port, a broker, a database or a disk. Trying again later may help."""


class InternalError(AoiiError):
    """Our own mistake: code asked for something that it must never ask for. Nothing was changed; report it."""
