"""The errors of aoii: one root, and below it one class for each party that has to act.

Noise on a wire is not an error: readers report damaged bytes as values. `SettingsError` is in `settings/faults.py`.
"""


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
