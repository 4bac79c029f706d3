"""The verdict on numbers that the table lacks: who is to be asked, and what is known once everybody has answered. Pure.

First every gateway must say that it lacks a number; then one of them asks the node; then the number is decided. A
gateway that does not answer keeps nobody from asking on, and the decided gap names it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from aoii.broker.repair_messages import KINDS, NUMBER_LIMIT, FindingKind
from aoii.server import ranges
from aoii.server.gap import Gap, GapState, NodeEpoch
from aoii.server.ledger import FIRST_OLD_EPOCH
from aoii.server.look import NodeFacts
from aoii.server.ranges import Ranges
from aoii.server.unaccounted import NODE_NOT_ASKED, NOT_ASKED, OLD_DETAIL

OF_NODE: tuple[FindingKind, ...] = ("void", "unknown", "silent", "forgotten")  # what a gateway that can ask it may find
NAMES_LIMIT = 150  # characters of a gap's detail


@dataclass(frozen=True)
class Answers:
    """What one gateway says of a node and epoch.

    Attributes:
        is_answering: Whether its answer is waited for.
        is_trusted: Whether the table has rows that it brought: of the node, or newest ones of any node.
        high: The highest number that it has accepted; -1 if none.
        asked_node: The numbers for which it knows that it shall ask the node.
        forgotten: The numbers that it has ever called forgotten.
        found: What it says of numbers, by kind; disjoint.
    """

    gateway: str
    is_answering: bool
    is_trusted: bool
    high: int
    asked_node: Ranges
    forgotten: Ranges
    found: Mapping[FindingKind, Ranges]

    def any_of(self, *kinds: FindingKind) -> Ranges:
        """The numbers of which it says one of these."""
        return ranges.united(pair for kind in kinds for pair in self.found.get(kind, ()))


@dataclass(frozen=True)
class Verdict:
    """What follows.

    Attributes:
        gaps: The state of every missing number, ascending.
        for_node: By gateway, the numbers for which it is to ask the node.
    """

    gaps: Sequence[Gap]
    for_node: Mapping[str, Ranges]


def judge(key: NodeEpoch, missing: Ranges, facts: NodeFacts, answers: Sequence[Answers]) -> Verdict:
    """Judge numbers that are missing in two looks.

    Args:
        key: The node and epoch.
        missing: The numbers.
        facts: What the newest look says of the node.
        answers: What each gateway says that has ever reported.
    """
    answering = [one for one in answers if one.is_answering]
    if not answering:
        return Verdict(_gaps(key, {("open", ""): missing}), {})
    radio = _on_the_air(key, missing, facts)
    for_node = _for_node(radio, answering)
    decided = _common(missing, [one.any_of(*KINDS) for one in answering])
    decided = ranges.difference(decided, ranges.difference(radio, _answered_by_node(answering)))
    trusted = [one for one in answering if one.is_trusted]
    lost = ranges.intersection(decided, ranges.united(pair for one in trusted for pair in one.forgotten))
    rest = ranges.difference(decided, lost)
    rest = ranges.intersection(rest, ((0, facts.highest_row),)) if facts.rows else ()
    void = ranges.intersection(rest, ranges.united(pair for one in trusted for pair in one.any_of("void")))
    unknown = ranges.difference(rest, void)
    old = ranges.intersection(unknown, ((0, facts.before),)) if facts.before >= 0 else ()
    states: dict[tuple[GapState, str], Ranges] = {}
    untold = ranges.difference(radio, _told_by_node(answering))
    note = _note([one.gateway for one in answers if not one.is_answering])
    found: tuple[tuple[GapState, Ranges, str], ...] = (
        ("lost", lost, ""),
        ("void", void, ""),
        ("unknown", ranges.difference(unknown, old), ""),
        ("unknown", old, OLD_DETAIL),
    )
    for state, numbers, detail in found:
        for part, without_node in (
            (ranges.difference(numbers, untold), ""),
            (ranges.intersection(numbers, untold), NODE_NOT_ASKED),
        ):
            states[state, "; ".join(filter(None, (detail, without_node, note)))] = part
    states["open", ""] = ranges.difference(missing, ranges.united((*lost, *void, *unknown)))
    return Verdict(_gaps(key, states), for_node)


def _on_the_air(key: NodeEpoch, missing: Ranges, facts: NodeFacts) -> Ranges:
    """Those for which the node can be asked: it keeps nothing from before 0.3, and old firmware nothing at all."""
    if key[1] >= FIRST_OLD_EPOCH:
        return ()
    return ranges.intersection(missing, ((facts.before + 1, NUMBER_LIMIT),))


def _for_node(radio: Ranges, answering: Sequence[Answers]) -> dict[str, Ranges]:
    """Who asks the node: the gateway that does so already, else the one that heard it last of those that can."""
    left = _common(radio, [ranges.union(one.any_of(*KINDS), one.asked_node) for one in answering])
    chosen: dict[str, Ranges] = {}
    for one in answering:
        cannot = ranges.intersection(one.asked_node, one.any_of("absent"))
        chosen[one.gateway] = ranges.intersection(left, ranges.difference(one.asked_node, cannot))
        left = ranges.difference(left, chosen[one.gateway])
    for one in sorted(answering, key=lambda one: (not one.is_trusted, -one.high, one.gateway)):
        cannot = ranges.intersection(one.asked_node, one.any_of("absent"))
        mine = ranges.difference(left, cannot)
        chosen[one.gateway] = ranges.union(chosen[one.gateway], mine)
        left = ranges.difference(left, mine)
    return {gateway: numbers for gateway, numbers in chosen.items() if numbers}


def _answered_by_node(answering: Sequence[Answers]) -> Ranges:
    """The numbers of which the node, or its silence, has told a gateway; and those for which no gateway can ask it."""
    cannot = [ranges.intersection(one.asked_node, one.any_of("absent")) for one in answering]
    return ranges.union(_told_by_node(answering), _common(((0, NUMBER_LIMIT),), cannot))


def _told_by_node(answering: Sequence[Answers]) -> Ranges:
    """The numbers of which the node, or its silence, has told a gateway."""
    told = [ranges.intersection(one.asked_node, one.any_of(*OF_NODE)) for one in answering]
    return ranges.united(pair for numbers in told for pair in numbers)


def _common(numbers: Ranges, sets: Sequence[Ranges]) -> Ranges:
    """Those of the numbers that are in all sets."""
    return reduce(ranges.intersection, sets, numbers)


def _note(silent: Sequence[str]) -> str:
    """The detail of a gap that was decided without the answers of these gateways."""
    if not silent:
        return ""
    names = ""
    for name in sorted(silent):
        if len(names) + len(name) > NAMES_LIMIT:
            break
        names += f", {name}" if names else name
    return NOT_ASKED + names


def _gaps(key: NodeEpoch, states: Mapping[tuple[GapState, str], Ranges]) -> list[Gap]:
    gaps = [Gap(*key, first, last, state, detail) for (state, detail), found in states.items() for first, last in found]
    return sorted(gaps, key=lambda gap: gap.first)
