"""A table, gateways and nodes in memory, for the audit's machine: what is asked is answered, and looks are as told."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from aoii.broker.repair_messages import Ask, Finding, FindingKind, Holding, Report
from aoii.server import ranges
from aoii.server.audit import Audit, KnownGateway
from aoii.server.gap import DatedGap, Gap, NodeEpoch, overlaid
from aoii.server.look import Look, NodeFacts

KEY: NodeEpoch = ("7", 2)
ZERO = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
FILE = "0123456789abcdef"


def numbers_of(*pairs: tuple[int, int]) -> set[int]:
    return {number for first, last in pairs for number in range(first, last + 1)}


@dataclass
class FakeGateway:
    """A gateway: what it holds of nodes, what it has forgotten, and what nodes will tell it.

    Attributes:
        held: Numbers that it gives back when they are asked for.
        forgotten: Numbers that it once had.
        node_says: What it will find of numbers that it shall ask a node for; others get no answer.
        can_ask: Whether it can ask nodes.
        is_deaf: Whether questions do not reach it.
        questions: What it was asked.
    """

    name: str
    held: dict[NodeEpoch, set[int]] = field(default_factory=dict)
    forgotten: dict[NodeEpoch, set[int]] = field(default_factory=dict)
    node_says: dict[int, FindingKind] = field(default_factory=dict)
    can_ask: bool = True
    is_deaf: bool = False
    file: str = FILE
    seq: int = 1000
    asked: int = 0
    questions: list[Ask] = field(default_factory=list)

    def asked_numbers(self, *, is_for_node: bool = False, key: NodeEpoch = KEY) -> set[int]:
        """The numbers of one node that it was ever asked for, or for which it was to ask the node."""
        return numbers_of(*(
            (hole.first, hole.last)
            for ask in self.questions
            for hole in ask.holes
            if (hole.node, hole.epoch) == key and hole.is_for_node >= is_for_node
        ))  # fmt: skip

    def report(self, findings: dict[NodeEpoch, list[Finding]] | None = None) -> Report:
        """What it holds, with these findings."""
        findings = findings or {}
        holdings = []
        for key in sorted({*self.held, *self.forgotten, *findings}):
            numbers = self.held.get(key, set()) | self.forgotten.get(key, set())
            of_key = tuple(findings.get(key, ()))
            if numbers:
                holdings.append(Holding(*key, min(numbers), max(numbers), 0, of_key))
            elif of_key:
                holdings.append(Holding(*key, of_key[0].first, of_key[0].first, 0, of_key))
        return Report(self.file, self.seq, self.asked, tuple(holdings))

    def answer(self, ask: Ask) -> tuple[Report, list[tuple[NodeEpoch, int]]]:
        """The report that names this question, and the readings that it gives back."""
        self.asked = ask.number
        findings: dict[NodeEpoch, list[Finding]] = {}
        given: list[tuple[NodeEpoch, int]] = []
        for hole in ask.holes:
            key = hole.node, hole.epoch
            held, forgotten = self.held.get(key, set()), self.forgotten.get(key, set())
            asked = ranges.united([(hole.first, hole.last)])
            here = ranges.intersection(asked, ranges.united((number, number) for number in held))
            given += [(key, number) for number in sorted(numbers_of(*here))]
            for first, last in ranges.difference(asked, here):
                if last - first > 1000:
                    findings.setdefault(key, []).append(Finding(first, last, "absent"))
                    continue
                for number in range(first, last + 1):
                    kind: FindingKind | None = "forgotten" if number in forgotten else "absent"
                    if hole.is_for_node:
                        kind = "absent" if not self.can_ask else self.node_says.get(number)
                        kind = "forgotten" if kind not in (None, "absent") and number in forgotten else kind
                    if kind is not None:
                        findings.setdefault(key, []).append(Finding(number, number, kind))
        return self.report(findings), given


class World:
    """Everything around the machine; a step is a second.

    Attributes:
        rows: By node and epoch, each number with the gateway that brought it.
        asks: Every question that was sent, with its second and gateway.
    """

    def __init__(self, *gateways: FakeGateway) -> None:
        self.now_s = 5000.0
        self.audit = Audit(1, self.now_s)
        self.gateways = {one.name: one for one in gateways}
        self.rows: dict[NodeEpoch, dict[int, str]] = {}
        self.letters: dict[NodeEpoch, set[int]] = {}
        self.floors: dict[NodeEpoch, int] = {}
        self.before: dict[NodeEpoch, int] = {}
        self.gaps: dict[NodeEpoch, list[DatedGap]] = {}
        self.recorded: list[tuple[str, Report]] = []
        self.asks: list[tuple[float, str, Ask]] = []
        self.looks: list[tuple[float, str]] = []
        self.has_vanished = False  # rows that the look before has seen

    def store(self, numbers: Iterable[int], gateway: str = "a", key: NodeEpoch = KEY) -> None:
        for number in numbers:
            self.rows.setdefault(key, {}).setdefault(number, gateway)

    def lose(self, numbers: Iterable[int], key: NodeEpoch = KEY) -> None:
        for number in numbers:
            self.rows[key].pop(number, None)
        if not self.rows[key]:
            del self.rows[key]

    def connect(self) -> None:
        """Every gateway reports."""
        for one in self.gateways.values():
            self.report(one)

    def report(self, gateway: FakeGateway, report: Report | None = None) -> None:
        found = self.audit.take_report(gateway.name, report or gateway.report(), self.now_s)
        if found is not None:
            self.recorded.append((gateway.name, found))

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.step()

    def step(self) -> None:
        while (question := self.audit.next_question(self.now_s)) is not None:
            self.asks.append((self.now_s, question.gateway, question.ask))
            gateway = self.gateways.get(question.gateway)
            if gateway is None or gateway.is_deaf:
                continue
            gateway.questions.append(question.ask)
            report, given = gateway.answer(question.ask)
            for key, number in given:
                self.store([number], gateway.name, key)
            self.report(gateway, report)
        kind = self.audit.look_due(self.now_s)
        if kind is not None:
            self.looks.append((self.now_s, kind))
            self._look(kind == "full" or self.has_vanished)
        self.now_s += 1

    def _look(self, is_full: bool) -> None:
        self.has_vanished = False
        changes = self.audit.take_look(self.look(is_full), self.now_s)
        touched: dict[NodeEpoch, list[tuple[int, int]]] = {}
        added: dict[NodeEpoch, list[DatedGap]] = {}
        for node, epoch, first, last in changes.clear:
            touched.setdefault((node, epoch), []).append((first, last))
        for gap in changes.record:
            touched.setdefault((gap.node, gap.epoch), []).append((gap.first, gap.last))
            added.setdefault((gap.node, gap.epoch), []).append(DatedGap(gap, ZERO))
        for key, cut in touched.items():
            self.gaps[key] = overlaid(self.gaps.get(key, []), cut, added.get(key, []))

    def look(self, is_full: bool) -> Look:
        facts = {}
        for key in {*self.rows, *self.letters, *self.floors, *self.gaps}:
            floor = self.floors.get(key, -1)
            rows = {number: by for number, by in self.rows.get(key, {}).items() if number > floor}
            facts[key] = NodeFacts(
                ranges.united((number, number) for number in rows),
                ranges.united((number, number) for number in self.letters.get(key, ())),
                [one.gap for one in self.gaps.get(key, ())],
                floor,
                frozenset(rows.values()),
                self.before.get(key, -1),
            )
        writers = {by for of_key in self.rows.values() for by in of_key.values()}
        return Look(facts, is_full, frozenset(writers))

    def states(self, key: NodeEpoch = KEY) -> dict[int, str]:
        """The state of each number that has a gap."""
        return {
            number: one.gap.state for one in self.gaps.get(key, ()) for number in range(one.gap.first, one.gap.last + 1)
        }

    def details(self, key: NodeEpoch = KEY) -> set[str]:
        return {one.gap.detail for one in self.gaps.get(key, ())}

    def record(self, gap: Gap) -> None:
        key = gap.node, gap.epoch
        self.gaps[key] = overlaid(self.gaps.get(key, []), [(gap.first, gap.last)], [DatedGap(gap, ZERO)])

    def restart(self) -> None:
        """A new server process, which has what the database remembers."""
        known = [
            KnownGateway(
                one.name,
                one.file,
                one.seq,
                {(each.node, each.epoch): (each.low, each.high) for each in one.report().holdings},
            )
            for one in self.gateways.values()
        ]
        self.audit = Audit(int(self.now_s * 1000), self.now_s)
        self.audit.know(known, self.now_s)

    def holes_asked(self) -> set[int]:
        """All numbers of the node that any gateway was ever asked for."""
        return set().union(*(one.asked_numbers() for one in self.gateways.values()))


def gateway(name: str = "a", held: Iterable[int] = (), forgotten: Iterable[int] = (), **others: object) -> FakeGateway:
    """A gateway that holds numbers of the one node."""
    made = FakeGateway(name, {KEY: set(held)}, {KEY: set(forgotten)})
    return replace(made, **others)  # type: ignore[arg-type]  # by name
