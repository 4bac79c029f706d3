"""Decides how a gateway answers the server's questions: what is given back, what is reported, what nodes are asked for.

A question names numbers that the database lacks. They are looked up in the gateway's files, a little at a time. What
was kept goes back into the outbox, at most GIVE_BACK readings that are not acknowledged yet; there they take turns with
live readings, as any backlog does. What is not here is reported, or the node is asked for it (`air_asks`). Questions
about the same numbers are one piece of work. Whatever does not fit is left out: the server asks again for numbers of
which it hears nothing. Pure: the caller does each step in the outbox file and says what came of it.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from aoii.broker.messages import Identity
from aoii.broker.repair_messages import Ask, Finding, FindingKind, Holding, Report
from aoii.gateway.air_asks import AirAsks
from aoii.gateway.findings import Findings, NodeEpoch
from aoii.gateway.number_ranges import NumberRanges
from aoii.gateway.numbers import GivenBack, NodeNumbers, Stretch

V = TypeVar("V")

GIVE_BACK = 1_000  # readings given back and not acknowledged: twice as many as the outbox has in flight
GIVE_BACK_AT = GIVE_BACK // 2  # not acknowledged: with so few, more are given back, so that the way never runs empty
STALLED_MS = 600_000  # after so long without an acknowledgement those given back keep no others waiting
WANTED_LIMIT = 10_000  # ranges of numbers that wait to be looked up, and again so many to be given back: 2 MB each
UNREPORTED_LIMIT = 1_000  # ranges found and not reported: then nothing is looked up until they are
PIECES_LIMIT = 50  # in one step: a commit costs as much as about twenty of them
LOOK_LIMIT = 500  # ranges found in one step, so that they fit among those that wait to be reported
REPORT_MS = 1_000  # at least, between two reports
ANSWER_MS = 50  # at least, between two answers without a report: at most 6,000 holes a second
REPORT_EVERY_MS = 3_600_000
REPORT_AGAIN_MS = 10_000  # after connecting, until a server asks: it may not listen yet; doubled up to REPORT_EVERY_MS
AGAIN_MS = 60_000  # after a step that failed
RESTORED_MS = 3_600_000  # a file is not restored twice in an hour, but a question that says so may be repeated


@dataclass(frozen=True)
class ForgetForecasts:
    """A step: the file is an older copy of itself, so forget all forecasts and draw the epoch of old nodes anew."""


class Piece(NamedTuple):
    """Numbers that a step is about: `first`..`last`, and whether to ask the node for those that are not here."""

    whose: NodeEpoch
    first: int
    last: int
    is_for_node: bool = False


@dataclass(frozen=True)
class Look:
    """A step: find out where numbers are, piece by piece; it may end after any of them."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class GiveBack:
    """A step: copy kept readings into the outbox, piece by piece, at most `limit`; it may end after any piece."""

    pieces: tuple[Piece, ...]
    limit: int


Step = ForgetForecasts | Look | GiveBack


@dataclass
class _Batch:
    """Readings that were given back together.

    Attributes:
        first: The lowest of their numbers.
        last: The highest.
        size: How many they are.
        since_ms: When they were given back, or the latest of them was acknowledged.
        acknowledged: The numbers of those that were.
    """

    first: int
    last: int
    size: int
    since_ms: int
    acknowledged: set[int] = field(default_factory=set)


class Repair:
    """One gateway's answers.

    Args:
        air: What nodes are asked for.
        can_ask: Whether a node can be asked in this epoch: it is one of ours, and its key is here.
    """

    def __init__(self, air: AirAsks, can_ask: Callable[[NodeEpoch], bool]) -> None:
        self._air = air
        self._can_ask = can_ask
        self.findings = Findings()
        self._asked = 0  # the newest question that has been looked up
        self._taken: int | None = None  # the newest one that is being looked up
        self._pieces: deque[Piece] = deque(maxlen=WANTED_LIMIT)  # of the questions since `_asked`
        self._wanted: _Pending[bool] = _Pending()  # to be looked up; the value: is it for the node
        self._kept: _Pending[None] = _Pending()  # to be given back
        self._batches: dict[NodeEpoch, list[_Batch]] = {}  # one for each hole: of scattered holes there are hundreds
        self._step: Step | None = None
        self._resume_ms = 0  # no step before
        self._acknowledged_ms = 0  # when any reading was, the latest time
        self._is_restored = False
        self._restored_ms: int | None = None
        self._is_online = False
        self._is_full_due = self._is_report_due = self._is_reporting = False
        self._answer: int | None = None  # the question to be answered without a report
        self._reported_ms = -REPORT_MS
        self._answered_ms = -ANSWER_MS
        self._next_full_ms = 0
        self._full_every_ms = REPORT_EVERY_MS

    @property
    def outstanding(self) -> int:
        """Readings that were given back and are not acknowledged."""
        return sum(batch.size - len(batch.acknowledged) for batches in self._batches.values() for batch in batches)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was asked has been looked up and given back, as far as it is here."""
        return not (self._wanted or self._kept or self._batches or self._step or self._is_restored)

    def connected(self, now_ms: int) -> None:
        """The broker can be reached: report everything, and again until a server has asked something."""
        self._is_online, self._is_reporting = True, False
        self._next_full_ms, self._full_every_ms = now_ms, REPORT_AGAIN_MS

    def disconnected(self) -> None:
        """Nothing is reported until `connected`."""
        self._is_online = False

    def take(self, ask: Ask, now_ms: int) -> int:
        """Take a question; return how many of its holes were left out, because too much is asked already.

        A report names it when all of it has been looked up: then what is not found is here, and will be given back.
        """
        if self._full_every_ms != REPORT_EVERY_MS:
            self._full_every_ms = REPORT_EVERY_MS
            if now_ms < self._next_full_ms:
                self._next_full_ms = now_ms + REPORT_EVERY_MS
        if ask.is_restored and (self._restored_ms is None or now_ms - self._restored_ms >= RESTORED_MS):
            self._is_restored, self._restored_ms = True, now_ms
        for number, hole in enumerate(ask.holes):
            if len(self._wanted) >= WANTED_LIMIT:
                return len(ask.holes) - number
            piece = Piece(NodeEpoch(hole.node, hole.epoch), hole.first, hole.last, hole.is_for_node)
            self._want(piece)
            self._pieces.append(piece)
        self._taken = ask.number
        self._name_question()
        return 0

    def acknowledge(self, identities: Iterable[Identity], now_ms: int) -> None:
        """Readings have left the outbox; some of them may have been given back."""
        self._acknowledged_ms = now_ms
        for who in identities:
            for batch in self._batches.get(NodeEpoch(who.node, who.epoch), ()):
                if batch.first <= who.counter <= batch.last:
                    batch.acknowledged.add(who.counter)
                    batch.since_ms = now_ms
                    break
        self._drop_batches(lambda batch: len(batch.acknowledged) == batch.size)

    def next_step(self, has_room: bool, now_ms: int) -> Step | None:
        """What to do next in the file, to be ended by `looked`, `gave_back`, `forgot` or `failed`; one at a time.

        Args:
            has_room: Whether the outbox has room for more than live readings.
            now_ms: The machine's elapsed clock.
        """
        # Without any acknowledgement there is no server, and more would only fill the outbox.
        self._drop_batches(lambda batch: self._acknowledged_ms - batch.since_ms >= STALLED_MS)
        if self._step is not None or now_ms < self._resume_ms:
            return None
        if self._is_restored:
            self._is_restored = False
            self._step = ForgetForecasts()
        elif self._kept and has_room and self.outstanding <= GIVE_BACK_AT:
            pieces = tuple(Piece(*one[:3]) for one in self._kept.pop())
            self._step = GiveBack(pieces, GIVE_BACK - self.outstanding)
        elif self._wanted and self.findings.unreported < UNREPORTED_LIMIT and len(self._kept) < WANTED_LIMIT:
            self._step = Look(tuple(Piece(*one) for one in self._wanted.pop()))
        return self._step

    def looked(self, look: Look, found: Sequence[Sequence[Stretch]], now_ms: int) -> None:
        """End a `Look`.

        Args:
            look: The step.
            found: For each of its pieces, in order, where its numbers are; those that are left out are looked up later.
            now_ms: The machine's elapsed clock.
        """
        self._step = None
        for piece, places in zip(look.pieces, found, strict=False):
            self._place(piece, places, now_ms)
            if places[-1][1] < piece.last:
                self._want(piece._replace(first=places[-1][1] + 1))
        for piece in look.pieces[len(found) :]:
            self._want(piece)
        self._name_question()

    def gave_back(self, step: GiveBack, copied: Sequence[GivenBack], now_ms: int) -> None:
        """End a `GiveBack`.

        Args:
            step: The step.
            copied: For each of its pieces, in order, what was given back; those that are left out come later.
            now_ms: The machine's elapsed clock.
        """
        self._step = None
        for piece, (size, next_number) in zip(step.pieces, copied, strict=False):
            last = piece.last if next_number is None else next_number - 1
            if size:
                self._batches.setdefault(piece.whose, []).append(_Batch(piece.first, last, size, now_ms))
            if next_number is not None:
                self._keep(piece._replace(first=next_number))
        for piece in step.pieces[len(copied) :]:
            self._keep(piece)

    def forgot(self) -> None:
        """End `ForgetForecasts`."""
        self._step = None
        self._name_question()

    def failed(self, step: Step, now_ms: int) -> None:
        """End a step that could not be done; it is tried again later."""
        self._step = None
        self._resume_ms = now_ms + AGAIN_MS
        if isinstance(step, ForgetForecasts):
            self._is_restored = True
            return
        for piece in step.pieces:
            if isinstance(step, Look):
                self._want(piece)
            else:
                self._keep(piece)

    def arrived(self, whose: NodeEpoch, number: int) -> None:
        """Note that a reading came from its node: whatever was found of its number is not true any more."""
        self.findings.cut(whose, number, number)

    def found(self, whose: NodeEpoch, findings: Sequence[Finding], now_ms: int) -> None:
        """Take what became of numbers; it is reported soon."""
        if findings:
            self.findings.put(whose, findings, now_ms)
            self._is_report_due = True

    def is_report_due(self, now_ms: int) -> bool:
        """Whether to report now; then the report is made by `report`, or given up by `fail_report`."""
        if now_ms >= self._next_full_ms:
            self._is_report_due = True
        is_due = self._is_online and self._is_report_due and not self._is_reporting
        if not is_due or now_ms - self._reported_ms < REPORT_MS:
            return False
        self._is_reporting = True
        self._reported_ms = now_ms
        return True

    def take_answer(self, now_ms: int) -> int | None:
        """The question to answer now, which then counts as answered; None for none.

        All of it has been looked up, and none of its numbers was found to be missing. The server asks on as soon as it
        knows that. A report that says it too follows, more seldom: to make one is to read all numbers that are here.
        """
        if self._answer is None or not self._is_online or now_ms - self._answered_ms < ANSWER_MS:
            return None
        number, self._answer, self._answered_ms = self._answer, None, now_ms
        return number

    def report(self, file: str, seq: int, numbers: Iterable[NodeNumbers], now_ms: int) -> Report:
        """The report that is due.

        It has what the gateway holds of every node, and the findings that are new; after each connection, and hourly,
        it has all findings that are remembered.

        Args:
            file: Names the outbox file.
            seq: The highest sequence number in it.
            numbers: What it holds and has held, by node and epoch.
            now_ms: The machine's elapsed clock.
        """
        is_all = now_ms >= self._next_full_ms
        if is_all:
            self._next_full_ms = now_ms + self._full_every_ms
            self._full_every_ms = min(2 * self._full_every_ms, REPORT_EVERY_MS)
        is_full, self._is_full_due = is_all or self._is_full_due, False
        self._is_report_due = self._is_reporting = False
        findings = self.findings.take(is_all)
        holdings = []
        for one in numbers:
            found = findings.pop(NodeEpoch(one.node, one.epoch), ())
            if is_full or found:
                holdings.append(Holding(*one, found))
        for whose, found in findings.items():  # nothing of this node was ever here: name a number that is asked anyway
            holdings.append(Holding(*whose, found[0].first, found[0].first, 0, found))
        return Report(file, seq, self._asked, tuple(holdings))

    def fail_report(self, now_ms: int) -> None:
        """The report could not be made; it is tried again later."""
        self._is_reporting = False
        self._reported_ms = now_ms + AGAIN_MS - REPORT_MS

    def _name_question(self) -> None:
        """Let the next report name the newest question if everything that was asked has been looked up.

        It has all findings about it then, also those that an earlier report had: for the server takes only what comes
        with the number.
        """
        if self._taken is None or self._wanted or self._is_restored or isinstance(self._step, Look | ForgetForecasts):
            return
        self._asked, self._taken = self._taken, None
        is_all_here = not any(self.findings.within(piece.whose, piece.first, piece.last) for piece in self._pieces)
        self._answer = self._asked if self._pieces and is_all_here else None
        for piece in self._pieces:
            self.findings.renew(piece.whose, piece.first, piece.last)
        self._pieces.clear()
        self._is_report_due = self._is_full_due = True

    def _drop_batches(self, is_over: Callable[[_Batch], bool]) -> None:
        left = {whose: [one for one in batches if not is_over(one)] for whose, batches in self._batches.items()}
        self._batches = {whose: batches for whose, batches in left.items() if batches}

    def _want(self, piece: Piece) -> None:
        """Have numbers looked up; those for the node stay so when they are asked again without it."""
        for_node = [one for one in self._wanted.within(piece.whose, piece.first, piece.last) if one[2]]
        self._wanted.put(*piece)
        for one in for_node:
            self._wanted.put(piece.whose, *one)

    def _keep(self, piece: Piece) -> None:
        """Have the kept readings of a piece given back."""
        self._kept.put(*piece[:3], None)

    def _place(self, piece: Piece, places: Sequence[Stretch], now_ms: int) -> None:
        """Act on where the numbers of a piece are."""
        missing: list[Finding] = []
        for first, last, place in places:
            if place in ("forgotten", "absent"):
                missing += self._missing(piece, first, last, place == "forgotten", now_ms)
            else:
                self.findings.cut(piece.whose, first, last)
        kept = [one for one in places if one[2] == "kept"]
        if kept:  # all numbers in between are wanted, too: one range, so that they are given back in few steps
            self._keep(piece._replace(first=kept[0][0], last=kept[-1][1]))
        self.found(piece.whose, missing, now_ms)

    def _missing(self, piece: Piece, first: int, last: int, was_here: bool, now_ms: int) -> list[Finding]:
        """What is known of numbers that are not here; the node is asked for them if the question says so.

        What the node has said, or is being asked for, stays as it is.
        """
        found = self.findings.within(piece.whose, first, last)
        known = [one for one in found if one.kind not in ("absent", "forgotten")]
        left: NumberRanges[None] = NumberRanges()
        left.put(first, last, None)
        for one in known:
            left.cut(one.first, one.last)
        if piece.is_for_node and self._can_ask(piece.whose):
            for begin, end, _ in left:
                self.findings.cut(piece.whose, begin, end)
                known += self._air.want(piece.whose, begin, end, was_here, now_ms)
            return known
        if not piece.is_for_node:
            for begin, end in self._air.wanted(piece.whose, first, last):
                left.cut(begin, end)
        # Who cannot ask the node says `absent`, even of what was here: the server then has another gateway ask it.
        kind: FindingKind = "forgotten" if was_here and not piece.is_for_node else "absent"
        return known + [Finding(begin, end, kind) for begin, end, _ in left]


class _Pending(Generic[V]):
    """Ranges of numbers that wait for a step, by node and epoch, each with a value; its length is counted along."""

    def __init__(self) -> None:
        self._ranges: dict[NodeEpoch, NumberRanges[V]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, whose: NodeEpoch, first: int, last: int, value: V) -> None:
        """Add numbers; those that wait already get the new value."""
        ranges = self._ranges.setdefault(whose, NumberRanges())
        before = len(ranges)
        ranges.put(first, last, value)
        self._size += len(ranges) - before

    def within(self, whose: NodeEpoch, first: int, last: int) -> list[tuple[int, int, V]]:
        """Those of the numbers that wait, with their values."""
        ranges = self._ranges.get(whose)
        return [] if ranges is None else ranges.within(first, last)

    def pop(self) -> list[tuple[NodeEpoch, int, int, V]]:
        """Take out the first PIECES_LIMIT ranges."""
        by_node = ((whose, *one) for whose, ranges in self._ranges.items() for one in ranges)
        taken = list(islice(by_node, PIECES_LIMIT))
        for whose, first, last, _ in taken:
            self._ranges[whose].cut(first, last)
            if not self._ranges[whose]:
                del self._ranges[whose]
        self._size -= len(taken)
        return taken
