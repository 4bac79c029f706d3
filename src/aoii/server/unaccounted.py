"""Which numbers nothing accounts for: no row, no dead letter, no gap that is decided, no floor. Pure.

A number counts as missing only when two looks some time apart lack it: what one look lacks may be on its way.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from aoii.server import ranges
from aoii.server.gap import Gap, NodeEpoch
from aoii.server.look import NodeFacts
from aoii.server.ranges import Range, Ranges

OLD_DETAIL = "before version 0.3"  # in the detail of a gap from a time when gateways kept nothing
NODE_NOT_ASKED = "no gateway could ask the node"  # likewise
NOT_ASKED = "not asked: "  # in the detail of a gap, before the names of gateways that did not answer


def unaccounted(
    key: NodeEpoch,
    facts: NodeFacts,
    reported: Iterable[Range],
    answering: Collection[str],
    asking: Ranges = (),
) -> tuple[Ranges, Ranges]:
    """The numbers of a node and epoch that nothing accounts for, and those of them whose gap is open again.

    Without any row, only what gateways report is looked for: else a forged report would make holes of everything below.

    Args:
        key: The node and epoch.
        facts: What a look says of it.
        reported: Lowest and highest number that each gateway has accepted.
        answering: The gateways that answer now. A gap that was decided without one of them is open again.
        asking: Numbers for which a gateway asks the node now. A gap that was decided without the node is open again.
    """
    first = facts.first(key[1])
    if facts.rows:
        span: Ranges = ((first, max(facts.highest_row, *(high for _, high in reported), -1)),)
    else:
        span = ranges.united((max(low, first), high) for low, high in reported if high >= first)
    missing = ranges.difference(span, facts.present)
    if not missing:
        return (), ()
    decided: list[Range] = []
    reopened: list[Range] = []
    for gap in facts.gaps:
        if gap.state == "open":
            continue
        if gaps_wait_for(gap, answering):
            reopened.append((gap.first, gap.last))
            continue
        again = ranges.intersection(((gap.first, gap.last),), asking) if NODE_NOT_ASKED in gap.detail else ()
        reopened += again
        decided += ranges.difference(((gap.first, gap.last),), again)
    missing = ranges.difference(missing, ranges.united(decided))
    return missing, ranges.intersection(missing, ranges.united(reopened))


def gaps_wait_for(gap: Gap, answering: Collection[str]) -> bool:
    """Whether a gap was decided without one of these gateways."""
    _, is_waiting, names = gap.detail.partition(NOT_ASKED)
    return bool(is_waiting) and any(name in answering for name in re.split(r", |;", names))


def node_not_asked(gaps: Iterable[Gap]) -> Ranges:
    """The numbers that were given up because no gateway could ask the node."""
    return ranges.united((gap.first, gap.last) for gap in gaps if NODE_NOT_ASKED in gap.detail)


def reviewed(gaps: Iterable[Gap]) -> Ranges:
    """The numbers that were given up, although a gateway may hold them that was not asked, or was asked too early."""
    given_up = (gap for gap in gaps if gap.state in ("unknown", "lost") and OLD_DETAIL not in gap.detail)
    return ranges.united((gap.first, gap.last) for gap in given_up)


class TwoLooks:
    """What was missing in two looks, by node and epoch.

    Attributes:
        missing: Numbers that two looks lack, as of the newest.
    """

    def __init__(self) -> None:
        self.missing: dict[NodeEpoch, Ranges] = {}
        self._seen: dict[NodeEpoch, list[tuple[float, Ranges]]] = {}  # in one look; when they will be missing in two

    def restart(self) -> None:
        """Forget all looks."""
        self.missing.clear()
        self._seen.clear()

    def take(
        self, lacking: Mapping[NodeEpoch, Ranges], known: Mapping[NodeEpoch, Ranges], wait_s: float, now_s: float
    ) -> None:
        """Take a look.

        Args:
            lacking: What nothing accounts for.
            known: Those that need no second look, because they were missing before.
            wait_s: How long what is seen now has to be seen, at the least; it shortens what waits already.
            now_s: Now.
        """
        missing: dict[NodeEpoch, Ranges] = {}
        seen: dict[NodeEpoch, list[tuple[float, Ranges]]] = {}
        for key, numbers in lacking.items():
            twice = ranges.intersection(numbers, ranges.union(self.missing.get(key, ()), known.get(key, ())))
            once = ranges.difference(numbers, twice)
            waiting: list[tuple[float, Ranges]] = []
            for due_s, before in self._seen.get(key, ()):
                still = ranges.intersection(once, before)
                once = ranges.difference(once, still)
                if now_s >= due_s:
                    twice = ranges.union(twice, still)
                elif still:
                    waiting.append((min(due_s, now_s + wait_s), still))
            if once:
                waiting.append((now_s + wait_s, once))
            if twice:
                missing[key] = twice
            if waiting:
                seen[key] = waiting
        self.missing, self._seen = missing, seen

    @property
    def due_s(self) -> float:
        """When the next look may find numbers missing for the second time; infinite if none was missing once."""
        return min((due_s for waiting in self._seen.values() for due_s, _ in waiting), default=float("inf"))
