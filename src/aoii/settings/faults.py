"""Faults of settings: each with its remedy, and the error that reports all of them together."""

from collections.abc import Sequence
from typing import NamedTuple

from aoii.core.errors import AoiiError


class Fault(NamedTuple):
    """A fault of one setting, and its remedy.

    Attributes:
        origin: Where it is set: a file, or `environment`; empty when that does not matter.
        name: Name of the setting, or a line of the file; empty when the whole file is at fault.
        state: What is wrong with it, such as `is "fast"`; never a secret.
        remedy: What to do.
    """

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

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
