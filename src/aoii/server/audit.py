"""The server's audit: finds what the table lacks, asks the gateways for it, and decides what becomes of it.

A machine: it is told of reports, of looks at the table, of the database's absence and of requested audits, and says
which look to do next, which question to publish, and what to record. Everything is decided at looks; a report only
brings the next one forward. It keeps no clock and does nothing itself. Pure.

One round: look, look again, ask every gateway for what is missing in both, ask the node through one of them for what
all gateways lack, and record what nobody can fill. Each step may take days: rows that come meanwhile end it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aoii.broker.repair_messages import Ask, Report
from aoii.server.gap import Gap, NodeEpoch, Numbers
from aoii.server.look import Look

LookKind = Literal["incremental", "full"]
"""`incremental`: only what is new since the look before; `full`: every row."""

QUICK_S = 10.0  # between two looks after the start, when the database came back, and in a requested audit
LOOK_S = 600.0  # else: a reading on its way has arrived by then
FULL_S = 86_400.0


@dataclass(frozen=True)
class Changes:
    """What to write into the table `gaps` after a look: first `clear`, then `record`."""

    clear: Sequence[Numbers] = ()
    record: Sequence[Gap] = ()


@dataclass(frozen=True)
class Question:
    """A question to publish."""

    gateway: str
    ask: Ask


@dataclass(frozen=True)
class KnownGateway:
    """A gateway as an earlier process left it in the database.

    Attributes:
        file: The name of its outbox file.
        seq: The highest sequence number that this file has reported.
        numbers: Lowest and highest number that it has ever reported, by node and epoch.
    """

    gateway: str
    file: str
    seq: int
    numbers: Mapping[NodeEpoch, tuple[int, int]]


class Audit:
    """The machine. All times are seconds of one monotonic clock.

    Args:
        first_number: Questions are numbered from here on. It must be higher than that of any earlier process: the
            time in ms will do.
        now_s: Now. The first look is due at once.
    """

    def __init__(self, first_number: int, now_s: float) -> None:
        self._first_number = first_number
        self._now_s = now_s

    def know(self, gateways: Iterable[KnownGateway], now_s: float) -> None:
        """Take what the database remembers of gateways, before the first look; they are asked to report.

        What this process has heard itself stays.
        """
        raise NotImplementedError

    def take_report(self, gateway: str, report: Report, now_s: float) -> Report | None:
        """Take one message of a gateway's report; return what of it to record in the database, None for nothing.

        Nothing is recorded of a gateway whose file is an older copy of itself, until it knows that.
        """
        raise NotImplementedError

    def database_away(self) -> None:
        """The database does not answer: no look is due until `database_back`."""
        raise NotImplementedError

    def database_back(self, now_s: float) -> None:
        """The database answers again; it may have been restored meanwhile. A full look is due at once."""
        raise NotImplementedError

    def request(self, is_full: bool, now_s: float) -> None:
        """Begin a requested audit: two looks, questions, and a result; one at a time.

        Args:
            is_full: Whether its first look shall read every row.
            now_s: Now.
        """
        raise NotImplementedError

    def look_due(self, now_s: float) -> LookKind | None:
        """The look that is due now; None for none. End it by `take_look` or `fail_look`."""
        raise NotImplementedError

    def take_look(self, look: Look, now_s: float) -> Changes:
        """Take what a look has found; return what to write. If the writing fails, the next look says it again."""
        raise NotImplementedError

    def fail_look(self, now_s: float) -> None:
        """The look that was due could not be done; it is due again later."""
        raise NotImplementedError

    def next_question(self, now_s: float) -> Question | None:
        """The question to publish now; call again until there is none. Never two to a gateway at a time."""
        raise NotImplementedError

    def fail_question(self, gateway: str, now_s: float) -> None:
        """The newest question to a gateway could not be published; it comes again."""
        raise NotImplementedError

    def deadline_s(self) -> float:
        """When to ask again what is due, at the latest; reports may make it sooner."""
        raise NotImplementedError

    @property
    def progress(self) -> Mapping[str, int] | None:
        """What the requested audit has found so far, in numbers of readings, by name; None if none is running."""
        raise NotImplementedError

    def take_result(self) -> Mapping[str, int] | None:
        """What the requested audit has found, once it has ended; None before, and after it was taken."""
        raise NotImplementedError
