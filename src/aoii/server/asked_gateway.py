"""One gateway as the audit knows it: what it has been asked, and what it has answered. Pure.

A gateway's answer counts only for numbers of a question that its report has named, and a report names a question only
when it has arrived. So a lost question is asked again, and what a gateway said before it was asked is not believed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aoii.broker.repair_messages import (
    HOLES_LIMIT,
    KINDS,
    NUMBER_LIMIT,
    Ask,
    FindingKind,
    Holding,
    Hole,
    Report,
    encode_ask,
)
from aoii.server import ranges
from aoii.server.ranges import Ranges

NodeEpoch = tuple[str, int]
"""A node and one of its epochs: within it numbers count."""

SILENT_S = 2 * 3600.0  # two missed reports and some: a gateway that is off is not waited for
ROUND_TRIP_S = 3600.0  # between two questions that only prove that both topics work
ANSWER_S = 60.0  # a question without an answer is counted as lost then, and asked again at the next look
ASK_PAUSE_S = 1.0  # between two questions to one gateway: a gateway with many holes is not flooded
REFRESH_S = 3600.0  # an answer that did not settle a hole is asked for again
HOLDINGS_LIMIT = 20_000  # nodes and epochs that one gateway may report: a peer must not fill our memory


@dataclass
class _Asked:
    """What one gateway was asked of one node and epoch, and what it found."""

    confirmed: Ranges = ()  # of questions that have arrived
    confirmed_air: Ranges = ()  # of those for the node itself
    findings: dict[FindingKind, Ranges] = field(default_factory=dict)


Part = tuple[NodeEpoch, int, int, bool]
"""Node and epoch, first and last number, and whether the gateway shall ask the node."""


class AskedGateway:
    """One gateway.

    Args:
        first_number: Questions are numbered from here on; higher than that of any earlier process.
        started_s: Until it reports, it counts as heard at this moment, monotonic.

    Attributes:
        is_reporting: Whether it has ever reported, to this process or an earlier one; an older gateway never does.
        heard_s: When it last reported, monotonic; at first `started_s`.
        file: The name of its outbox file; empty before the first report.
        seq: The highest sequence number that it has reported for this file.
        numbers: Lowest and highest number that it has accepted, by node and epoch.
        is_restored: Whether its file is an older copy of itself, and it has not been told so for sure.
        round_trip_s: When it last named a question of ours, monotonic; None: never.
    """

    def __init__(self, first_number: int, started_s: float) -> None:
        self.is_reporting = False
        self.heard_s = started_s
        self.file = ""
        self.seq = 0
        self.numbers: dict[NodeEpoch, tuple[int, int]] = {}
        self.is_restored = False
        self.round_trip_s: float | None = None
        self._number = first_number
        self._asked: dict[NodeEpoch, _Asked] = {}
        self._queue: list[Part] = []
        self._sent: list[Part] | None = None  # of the question that waits for its answer; None: none does
        self._sent_s: float | None = None  # when the newest question left; None: none has
        self._unanswered_since_s: float | None = None  # when the first of the questions without an answer left
        self._refreshed_s = started_s

    def is_live(self, now_s: float) -> bool:
        """Whether it is waited for: it has reported, and not too long ago."""
        return self.is_reporting and now_s - self.heard_s < SILENT_S

    def is_answering(self, now_s: float) -> bool:
        """Whether it is live, and questions seem to reach it."""
        since_s = self._unanswered_since_s
        return self.is_live(now_s) and (since_s is None or now_s - since_s < SILENT_S / 4)

    def learn(self, report: Report, now_s: float) -> bool:
        """Take a report; return whether it shows a file that is an older copy of itself.

        Work: linear in what is asked of the nodes that the report names, and in its findings.
        """
        self.is_reporting = True
        self.heard_s = now_s
        if report.file != self.file:
            self.file = report.file
            self.numbers.clear()  # of a disk that is gone
            self._asked.clear()
            self.is_restored = False
            self.seq = 0
        is_older = report.seq < self.seq and not self.is_restored
        self.is_restored |= is_older
        if not self.is_restored:
            self.seq = report.seq
        self._confirm(report, now_s)
        for holding in report.holdings:
            self._learn_holding(holding)
        return is_older

    def found(self, key: NodeEpoch, *kinds: FindingKind) -> Ranges:
        """The numbers for which it has found one of `kinds`, since they were asked for."""
        asked = self._asked.get(key)
        return () if asked is None else ranges.united(pair for kind in kinds for pair in asked.findings.get(kind, ()))

    def may_hold(self, key: NodeEpoch) -> Ranges:
        """The numbers that it may have, as far as its reports say."""
        pair = self.numbers.get(key)
        return () if pair is None else (pair,)

    def plan(self, holes: Mapping[NodeEpoch, Ranges], air: Mapping[NodeEpoch, Ranges], now_s: float) -> None:
        """Ask from now on for `holes`, and for those of `air` ask the node; replaces the plan before.

        What has no answer yet comes first. What has one comes again after REFRESH_S, because the gateway may have
        forgotten the question, or may hold the number since.
        """
        for key in [key for key in self._asked if key not in holes]:
            del self._asked[key]
        if self._sent is not None and self._sent_s is not None and now_s - self._sent_s >= ANSWER_S:
            self._sent = None
        is_refreshing = now_s - self._refreshed_s >= REFRESH_S
        if is_refreshing:
            self._refreshed_s = now_s
        first: list[Part] = []
        again: list[Part] = []
        for key, missing in holes.items():
            asked = self._asked.get(key) or _Asked()
            of_node = ranges.intersection(air.get(key, ()), missing)
            asked.confirmed = ranges.intersection(asked.confirmed, missing)
            asked.confirmed_air = ranges.intersection(asked.confirmed_air, missing)
            for kind, found in list(asked.findings.items()):
                asked.findings[kind] = ranges.intersection(found, missing)
            known = ranges.difference(asked.confirmed, ranges.difference(of_node, asked.confirmed_air))
            first += _parts(key, ranges.difference(missing, known), of_node)
            if is_refreshing:
                again += _parts(key, ranges.intersection(missing, known), of_node)
        self._queue = [*first, *again][::-1]  # taken from its end

    def next_question(self, now_s: float) -> Ask | None:
        """The question to publish now; None: nothing is to ask, or an answer is waited for."""
        idle_s = None if self._sent_s is None else now_s - self._sent_s
        if self._sent is not None:
            return None
        if idle_s is not None and idle_s < ASK_PAUSE_S:
            return None
        is_overdue = self.round_trip_s is None or now_s - self.round_trip_s >= ROUND_TRIP_S
        is_due = is_overdue and (idle_s is None or idle_s >= ROUND_TRIP_S)
        if not self._queue and not self.is_restored and not is_due:
            return None
        self._number = min(self._number + 1, NUMBER_LIMIT)
        parts = [self._queue.pop() for _ in range(min(HOLES_LIMIT, len(self._queue)))]
        while len(encode_ask(self._ask(parts))) > 1:  # one message a number, so that its number proves all of it
            half = len(parts) // 2
            self._queue += parts[half:][::-1]
            parts = parts[:half]
        self._sent, self._sent_s = parts, now_s
        if self._unanswered_since_s is None:
            self._unanswered_since_s = now_s
        return self._ask(parts)

    def forget_question(self) -> None:
        """Note that the newest question could not be published; it is asked again."""
        if self._sent:
            self._queue += self._sent[::-1]
        self._sent = None

    @property
    def is_busy(self) -> bool:
        """Whether it is being asked for something, or is still to be asked."""
        return bool(self._queue or self._sent)

    def _ask(self, parts: Sequence[Part]) -> Ask:
        holes = tuple(Hole(*key, first, last, is_for_node) for key, first, last, is_for_node in parts)
        return Ask(self._number, self.is_restored, holes)

    def _confirm(self, report: Report, now_s: float) -> None:
        """Take what a report says about our questions: whether the newest has arrived."""
        if report.asked == self._number and self._sent_s is not None:
            self.round_trip_s = now_s
            self._unanswered_since_s = None
            if self.is_restored and self._sent is not None:
                self.is_restored = False
                self.seq = report.seq
            by_key: dict[NodeEpoch, tuple[list[ranges.Range], list[ranges.Range]]] = {}
            for key, first, last, is_for_node in self._sent or ():
                all_, of_node = by_key.setdefault(key, ([], []))
                all_.append((first, last))
                if is_for_node:
                    of_node.append((first, last))
            for key, (all_, of_node) in by_key.items():
                asked = self._asked.setdefault(key, _Asked())
                numbers = ranges.united(all_)
                asked.confirmed = ranges.union(asked.confirmed, numbers)
                asked.confirmed_air = ranges.union(asked.confirmed_air, ranges.united(of_node))
                for kind, found in list(asked.findings.items()):  # it answers again
                    asked.findings[kind] = ranges.difference(found, numbers)
            self._sent = None
        elif self._number < report.asked < NUMBER_LIMIT and self._sent is None:
            self._number = report.asked  # of another server, or of this one when its clock was ahead

    def _learn_holding(self, holding: Holding) -> None:
        key = holding.node, holding.epoch
        if key in self.numbers or len(self.numbers) < HOLDINGS_LIMIT:
            self.numbers[key] = holding.low, holding.high
        asked = self._asked.get(key)
        if asked is None or not holding.findings:
            return
        for kind in KINDS:
            new = ranges.united((one.first, one.last) for one in holding.findings if one.kind == kind)
            new = ranges.intersection(new, asked.confirmed)
            if new:
                for other, found in list(asked.findings.items()):
                    asked.findings[other] = ranges.difference(found, new)
                asked.findings[kind] = ranges.union(asked.findings.get(kind, ()), new)


def _parts(key: NodeEpoch, missing: Ranges, of_node: Ranges) -> Iterator[Part]:
    """`missing` as parts of questions, ascending; those of `of_node` are for the node."""
    for first, last in ranges.intersection(missing, of_node):
        yield key, first, last, True
    for first, last in ranges.difference(missing, of_node):
        yield key, first, last, False
