"""The errors of aoii: one root, and below it one class for each party that has to act.

Noise on a wire is not an error: readers report damaged bytes as values.
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
    """A fault of one setting, and its remedy.

    Attributes:
        origin: Where it is set: a file, or `environment`; empty when that does not matter.
        name: Name of the setting, or place in the file; empty for the file itself.
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
    """One or more settings are wrong.

    Attributes:
        faults: Each fault with its remedy.
    """

    def __init__(self, faults: "Sequence[Fault]") -> None:
        super().__init__("\n".join([str(fault) for fault in faults]))
        self.faults = tuple(faults)


class InputError(AoiiError):
    """A file or an argument from the user cannot be used; the message says which, and what to do."""


class ProtocolError(AoiiError):
    """The bytes of a peer break the protocol.

    Attributes:
        reason: One word from a fixed set, fit for a metric label.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class UnavailableError(AoiiError):
    """A port, broker, database or disk does not work now. A later try may succeed."""


class InternalError(AoiiError):
    """A mistake in our own code. Nothing was changed; please report it."""
