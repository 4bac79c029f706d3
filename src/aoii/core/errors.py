"""Every error that aoii raises on purpose: one root, and below it one class for each party that has to act.

Noise on a wire is not here: a reader reports damaged bytes as values, never as exceptions.
"""


class AoiiError(Exception):
    """Root of all errors raised by aoii; the message is written for whoever must act."""


class SettingsError(AoiiError):
    """The user's configuration: one or more settings are wrong. `faults` lists each with its remedy."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class InputError(AoiiError):
    """A file or an argument that the user gave cannot be used; the message says which and what to do."""


class PeerError(AoiiError):
    """A peer sent bytes that are not a message. `reason` is one word from a fixed set, fit for a metric label."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class WorldError(AoiiError):
    """The world refused: a port, a broker, a database or a disk. Trying again later may help."""


class ProgramError(AoiiError):
    """Our own mistake: code asked for something that it must never ask for. Nothing was changed; report it."""
