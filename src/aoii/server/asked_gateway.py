"""One gateway as the audit knows it: what it has been asked, and what it has answered. Pure.

A gateway's answer counts only for numbers of a question that its report has named, and a report names a question only
when it has arrived. So a lost question is asked again, and what a gateway said before it was asked does not count.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from aoii.server.gap import NodeEpoch
from aoii.server.ranges import Ranges

SILENT_S = 2 * 3600.0  # two missed reports and some: a gateway that is off is not waited for
UNANSWERED_S = 1800.0  # questions that get no answer for so long do not reach it: others go on without it
ROUND_TRIP_S = 3600.0  # between two questions that only prove that both topics work
ANSWER_S = 60.0  # a question without an answer is counted as lost then, and asked again; doubled up to ROUND_TRIP_S
REFRESH_S = 3600.0  # an answer that did not decide a hole is asked for again
OWED_S = 60.0  # nothing has come for so long: what is owed is asked for again; doubled up to REFRESH_S
HOLDINGS_LIMIT = 20_000  # nodes and epochs that one gateway may report: a peer must not fill our memory
NEVER_S = float("inf")
WANTED_LIMIT = 20_000  # ranges in one plan, made again at each look: a gateway answers 6,000 a second at most


@dataclass
class _Asked:
    """What one gateway was asked of one node and epoch, and what it found."""

    confirmed: Ranges = ()  # of questions that have arrived
    confirmed_air: Ranges = ()  # of those for the node itself
    findings: dict[FindingKind, Ranges] = field(default_factory=dict)
    forgotten: Ranges = ()  # what it has ever called so: it had the readings, whatever it says later


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
        self._suspected_at: int | None = None  # our newest number when the sequence number had fallen; None: it has not
        self._is_report_wanted = True
        self._asked: dict[NodeEpoch, _Asked] = {}
        self._queue: list[Part] = []
        self._sent: Ask | None = None  # the question that waits for its answer; None: none does
        self._sent_s: float | None = None  # when the newest question left; None: none has
        self._unanswered_since_s: float | None = None  # when the first of the questions without an answer left
        self._patience_s = ANSWER_S
        self._refreshed_s = started_s
        self._missing = 0  # numbers, as of the newest plan
        self._progress_s = started_s  # when that changed, or what is owed was asked for again
        self._owed_for_s = OWED_S

    def is_live(self, now_s: float) -> bool:
        """Whether it is waited for: it has reported, and not too long ago."""
        return self.is_reporting and now_s - self.heard_s < SILENT_S

    def is_answering(self, now_s: float) -> bool:
        """Whether it is live, and questions seem to reach it."""
        since_s = self._unanswered_since_s
        return self.is_live(now_s) and (since_s is None or now_s - since_s < UNANSWERED_S)

    def know(self, file: str, seq: int, numbers: Mapping[NodeEpoch, tuple[int, int]]) -> None:
        """Take what an earlier process has learned, unless it has reported to this one."""
        if not self.is_reporting:
            self.is_reporting = True
            self.file, self.seq = file, seq
        for key, pair in numbers.items():
            if len(self.numbers) < HOLDINGS_LIMIT:
                self.numbers.setdefault(key, pair)

    def learn(self, report: Report, now_s: float) -> Report | None:
        """Take a message of a report; return what of it to record, None while its file may be an older copy of itself.

        A sequence number that falls shows such a file, and so does a report that the broker delivers late. So it is
        taken for one when a report says it that answers a question which we have sent since.

        Work: linear in what is asked of the nodes that the report names, and in its findings.
        """
        self.is_reporting = True
        self.heard_s = now_s
        self._patience_s = ANSWER_S  # it is there
        if report.file != self.file:
            self.file, self.seq = report.file, report.seq
            self.numbers.clear()  # of a disk that is gone
            self._asked.clear()
            self.is_restored, self._suspected_at = False, None
        elif not self.is_restored:
            self._suspect(report)
        self._confirm(report, now_s)
        for holding in report.holdings:
            self._learn_holding(holding)
        if self.is_restored or self._suspected_at is not None:
            return None
        return replace(report, holdings=tuple(one for one in report.holdings if not _is_echo(one)))

    def found(self, key: NodeEpoch, *kinds: FindingKind) -> Ranges:
        """The numbers for which it has found one of `kinds`, since they were asked for."""
        asked = self._asked.get(key)
        return () if asked is None else ranges.united(pair for kind in kinds for pair in asked.findings.get(kind, ()))

    def forgotten(self, key: NodeEpoch) -> Ranges:
        """The numbers that it once had, and has said so."""
        asked = self._asked.get(key)
        return () if asked is None else asked.forgotten

    def asked_node(self, key: NodeEpoch) -> Ranges:
        """The numbers for which it knows that it shall ask the node."""
        asked = self._asked.get(key)
        return () if asked is None else asked.confirmed_air

    def owes(self, key: NodeEpoch) -> Ranges:
        """The numbers that it was asked for and says nothing of, though the question arrived: it holds them."""
        asked = self._asked.get(key)
        if asked is None:
            return ()
        return ranges.difference(ranges.difference(asked.confirmed, asked.confirmed_air), self.found(key, *KINDS))

    def want_report(self) -> None:
        """Ask what it holds, even if nothing else is to be asked."""
        self._is_report_wanted = True

    def set_wanted(
        self,
        holes: Mapping[NodeEpoch, Ranges],
        air: Mapping[NodeEpoch, Ranges],
        review: Mapping[NodeEpoch, Ranges],
        now_s: float,
    ) -> None:
        """Ask for `holes` from now on, and once for `review`; of both, ask the node for `air`. Replaces the plan.

        What has no answer yet comes first, and `review` last. What has one comes again after REFRESH_S, because the
        gateway may have forgotten the question, or may hold the number since. What it owes comes again sooner: it may
        have come, and have been lost again with the database's newest commits before anybody looked.
        """
        is_owing = self._is_owing(sum(map(ranges.count, holes.values())), now_s)
        for key in [key for key in self._asked if key not in holes and key not in review]:
            del self._asked[key]
        is_refreshing = now_s - self._refreshed_s >= REFRESH_S
        if is_refreshing:
            self._refreshed_s = now_s
        first: list[Part] = []
        again: list[Part] = []
        once: list[Part] = []
        sent = _by_key(self._sent)
        for key in {**holes, **review}:
            missing = holes.get(key, ())
            given_up = ranges.difference(review.get(key, ()), missing)
            both = ranges.union(missing, given_up)
            asked = self._asked.get(key) or _Asked()
            of_node = ranges.intersection(air.get(key, ()), both)
            asked.confirmed = ranges.intersection(asked.confirmed, both)
            if is_owing:
                asked.confirmed = ranges.difference(asked.confirmed, self.owes(key))
            asked.confirmed_air = ranges.intersection(asked.confirmed_air, both)
            asked.forgotten = ranges.intersection(asked.forgotten, both)
            for kind, found in list(asked.findings.items()):
                asked.findings[kind] = ranges.intersection(found, both)
            under_way, under_way_air = sent.get(key, ((), ()))
            known = ranges.union(asked.confirmed, under_way)
            known_air = ranges.union(asked.confirmed_air, under_way_air)
            known = ranges.difference(known, ranges.difference(of_node, known_air))
            if len(first) < WANTED_LIMIT:
                first += _parts(key, ranges.difference(missing, known), of_node)
            if is_refreshing and len(again) < WANTED_LIMIT:
                again += _parts(key, ranges.intersection(ranges.union(missing, of_node), known), of_node)
            if len(once) < WANTED_LIMIT:
                once += _parts(key, ranges.difference(given_up, known), of_node)
        self._queue = [*first, *again, *once][::-1]  # taken from its end

    def _is_owing(self, missing: int, now_s: float) -> bool:
        """Whether nothing has come for so long that what is owed is to be asked for again."""
        if missing != self._missing:
            self._missing, self._progress_s, self._owed_for_s = missing, now_s, OWED_S
        elif now_s - self._progress_s >= self._owed_for_s:
            self._progress_s, self._owed_for_s = now_s, min(2 * self._owed_for_s, REFRESH_S)
            return True
        return False

    def next_question(self, now_s: float) -> Ask | None:
        """The question to publish now; None: nothing is to ask, or an answer is waited for."""
        idle_s = NEVER_S if self._sent_s is None else now_s - self._sent_s
        if self._sent is not None:
            if idle_s < self._patience_s:
                return None
            self._patience_s = min(2 * self._patience_s, ROUND_TRIP_S)
            self._is_report_wanted = True
            self.fail_question()
        is_report_due = self._is_report_wanted or idle_s >= ROUND_TRIP_S
        is_suspected = self._suspected_at is not None and (self._suspected_at == self._number or idle_s >= ANSWER_S)
        if not (self._queue or self.is_restored or is_suspected or is_report_due):
            return None
        self._is_report_wanted = False
        self._number = min(self._number + 1, NUMBER_LIMIT)
        parts = [self._queue.pop() for _ in range(min(HOLES_LIMIT, len(self._queue)))]
        while len(encode_ask(self._ask(parts))) > 1:  # one message a number, so that its number proves all of it
            half = len(parts) // 2
            self._queue += parts[half:][::-1]
            parts = parts[:half]
        self._sent, self._sent_s = self._ask(parts), now_s
        if self._unanswered_since_s is None:
            self._unanswered_since_s = now_s
        return self._sent

    def fail_question(self) -> None:
        """Note that the newest question has not arrived; it is asked again."""
        if self._sent is not None:
            self._queue += [_part(hole) for hole in self._sent.holes][::-1]
        self._sent = None

    def may_ask_node(self, key: NodeEpoch) -> Ranges:
        """The numbers for which it was to ask the node, and has not said that it cannot."""
        return ranges.difference(self.asked_node(key), self.found(key, "absent"))

    def has_answered_since(self, since_s: float) -> bool:
        """Whether a question of ours has come back since an instant."""
        return self.round_trip_s is not None and self.round_trip_s >= since_s

    def is_waited_for(self, now_s: float) -> bool:
        """Whether it is being asked for something, or is still to be asked, and seems to be there."""
        return self.is_patient(now_s) and (bool(self._queue) or (self._sent is not None and bool(self._sent.holes)))

    def is_patient(self, now_s: float) -> bool:
        """Whether no question has been without an answer for so long that a requested audit goes on without it."""
        since_s = self._unanswered_since_s
        return since_s is None or now_s - since_s < ANSWER_S

    def _ask(self, parts: Sequence[Part]) -> Ask:
        holes = tuple(Hole(*key, first, last, is_for_node) for key, first, last, is_for_node in parts)
        return Ask(self._number, self.is_restored, holes)

    def _suspect(self, report: Report) -> None:
        """Take the sequence number of the same file, which never falls unless the file is an older copy of itself."""
        if report.seq >= self.seq:
            self.seq, self._suspected_at = report.seq, None
        elif self._suspected_at is None:
            self._suspected_at = self._number
        elif self._sent is not None and self._suspected_at < report.asked == self._sent.number:
            self.is_restored, self._suspected_at = True, None
            self._asked.clear()  # of readings that this copy may lack

    def _confirm(self, report: Report, now_s: float) -> None:
        """Take what a report says about our questions: whether the newest has arrived."""
        if report.asked == self._number and self._sent_s is not None:
            self.round_trip_s = now_s
            self._unanswered_since_s = None
            if self._sent is None:
                return
            if self._sent.is_restored:
                self.is_restored, self.seq = False, report.seq
            self._take_answer(self._sent)
            self._sent = None
        elif self._number < report.asked < NUMBER_LIMIT and self._sent is None:
            self._number = report.asked  # of another server, or of this one when its clock was ahead

    def _take_answer(self, ask: Ask) -> None:
        """Note that a question has arrived; whatever was found of its numbers before is found anew."""
        for key, (numbers, of_node) in _by_key(ask).items():
            asked = self._asked.setdefault(key, _Asked())
            asked.confirmed = ranges.union(asked.confirmed, numbers)
            asked.confirmed_air = ranges.union(asked.confirmed_air, of_node)
            for kind, found in list(asked.findings.items()):
                asked.findings[kind] = ranges.difference(found, numbers)

    def _learn_holding(self, holding: Holding) -> None:
        key = holding.node, holding.epoch
        if not _is_echo(holding) and (key in self.numbers or len(self.numbers) < HOLDINGS_LIMIT):
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
                if kind == "forgotten":
                    asked.forgotten = ranges.union(asked.forgotten, new)


def _is_echo(holding: Holding) -> bool:
    """Whether a gateway that never had anything of a node merely repeats the first number that it was asked for."""
    return bool(holding.findings) and not holding.waiting and holding.low == holding.high == holding.findings[0].first


def _by_key(ask: Ask | None) -> dict[NodeEpoch, tuple[Ranges, Ranges]]:
    """The numbers of a question, and those of them that are for the node, by node and epoch."""
    found: dict[NodeEpoch, tuple[list[ranges.Range], list[ranges.Range]]] = {}
    for hole in () if ask is None else ask.holes:
        numbers, of_node = found.setdefault((hole.node, hole.epoch), ([], []))
        numbers.append((hole.first, hole.last))
        if hole.is_for_node:
            of_node.append((hole.first, hole.last))
    return {key: (ranges.united(numbers), ranges.united(of_node)) for key, (numbers, of_node) in found.items()}


def _part(hole: Hole) -> Part:
    return (hole.node, hole.epoch), hole.first, hole.last, hole.is_for_node


def _parts(key: NodeEpoch, missing: Ranges, of_node: Ranges) -> Iterator[Part]:
    """`missing` as parts of questions, ascending; those of `of_node` are for the node."""
    for first, last in ranges.intersection(missing, of_node):
        yield key, first, last, True
    for first, last in ranges.difference(missing, of_node):
        yield key, first, last, False
