"""What a look changes in the table `gaps`: entries that a row has overridden go, and verdicts are recorded. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from aoii.server import ranges
from aoii.server.gap import Gap, GapState, NodeEpoch, Numbers
from aoii.server.look import Look
from aoii.server.ranges import Ranges
from aoii.server.verdict import Verdict

CHANGES_LIMIT = 2_000  # gaps that one look changes: ingest waits for the transaction


@dataclass(frozen=True)
class Changes:
    """What to write after a look: first `clear`, then `record`.

    Attributes:
        clear: Numbers whose entries are to go.
        record: Entries to add; each replaces what was there.
        is_cut: Whether there is more than one look may change: the next one says the rest.
    """

    clear: Sequence[Numbers] = ()
    record: Sequence[Gap] = ()
    is_cut: bool = False


def changes_after(verdicts: Mapping[NodeEpoch, Verdict], look: Look) -> Changes:
    """What a look and the verdicts on it change."""
    clear = list(islice(_overridden(look), CHANGES_LIMIT))
    record = list(islice(_differences(verdicts, look), CHANGES_LIMIT))
    return Changes(clear, record, len(clear) == CHANGES_LIMIT or len(record) == CHANGES_LIMIT)


def _overridden(look: Look) -> Iterator[Numbers]:
    """Numbers of gaps that have a row, or a dead letter.

    A letter that is being dropped is still there when its number has become retired, so it does not count against that.
    """
    for key, facts in look.facts.items():
        if facts.gaps:
            others = ranges.united((gap.first, gap.last) for gap in facts.gaps if gap.state != "retired")
            retired = ranges.united((gap.first, gap.last) for gap in facts.gaps if gap.state == "retired")
            for first, last in (
                *ranges.intersection(others, facts.present),
                *ranges.intersection(retired, facts.rows),
            ):
                yield (*key, first, last)


def _differences(verdicts: Mapping[NodeEpoch, Verdict], look: Look) -> Iterator[Gap]:
    """Gaps that are not recorded yet as the verdicts say."""
    for key, verdict in verdicts.items():
        recorded = _by_label(look.facts_of(key).gaps)
        for (state, detail), numbers in _by_label(verdict.gaps).items():
            for first, last in ranges.difference(numbers, recorded.get((state, detail), ())):
                yield Gap(*key, first, last, state, detail)


def _by_label(gaps: Iterable[Gap]) -> dict[tuple[GapState, str], Ranges]:
    """The numbers of gaps of one node and epoch, by state and detail."""
    pairs: dict[tuple[GapState, str], list[ranges.Range]] = {}
    for gap in gaps:
        pairs.setdefault((gap.state, gap.detail), []).append((gap.first, gap.last))
    return {label: ranges.united(each) for label, each in pairs.items()}
