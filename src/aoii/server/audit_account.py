"""The account of a requested audit: what it found missing, and what has become of that. Pure."""

from collections.abc import Mapping

from aoii.server import ranges
from aoii.server.gap import NodeEpoch, numbers_by_state
from aoii.server.look import Look
from aoii.server.ranges import Ranges
from aoii.server.verdict import Verdict

DECIDED = ("void", "unknown", "lost")


class AuditAccount:
    """One requested audit.

    Args:
        begun_s: When it began, monotonic.

    Attributes:
        begun_s: When it began, monotonic.
        changed_s: When something was last found or mended.
        counts: What was found so far, in numbers of readings:

            - `rows`: readings in the table;
            - `missing`: numbers that two looks lacked;
            - `mended`: those of them that have a row or a dead letter now;
            - `void`, `unknown`, `lost`: those that this audit has decided so;
            - `open`: those that are being asked for, and `asked_nodes`: those of them that nodes are being asked for.
    """

    def __init__(self, begun_s: float) -> None:
        self.begun_s = self.changed_s = begun_s
        self.counts: Mapping[str, int] = {"rows": 0}
        self._found: dict[NodeEpoch, Ranges] = {}

    def take(
        self,
        look: Look,
        missing: Mapping[NodeEpoch, Ranges],
        verdicts: Mapping[NodeEpoch, Verdict],
        now_s: float,
    ) -> None:
        """Take a look, what two looks lack by now, and the verdicts on it."""
        for key, numbers in missing.items():
            self._found[key] = ranges.union(self._found.get(key, ()), numbers)
        counts = dict.fromkeys(("rows", "missing", "mended", *DECIDED, "open", "asked_nodes"), 0)
        counts["rows"] = sum(ranges.count(facts.rows) for facts in look.facts.values())
        counts["missing"] = sum(map(ranges.count, self._found.values()))
        for key, found in self._found.items():
            facts = look.facts.get(key)
            if facts is not None:
                counts["mended"] += ranges.count(ranges.intersection(found, facts.present))
                for state in DECIDED:  # what was decided before this look is missing no more, and is in its gaps
                    of_state = ranges.united((gap.first, gap.last) for gap in facts.gaps if gap.state == state)
                    left = ranges.difference(ranges.intersection(found, of_state), missing.get(key, ()))
                    counts[state] += ranges.count(left)
            if key in verdicts:
                for decided, count in numbers_by_state(verdicts[key].gaps).items():
                    counts[decided] += count
                for_node = ranges.united(pair for each in verdicts[key].for_node.values() for pair in each)
                counts["asked_nodes"] += ranges.count(for_node)
            else:
                counts["open"] += ranges.count(missing.get(key, ()))
        if {**counts, "rows": 0} != {**self.counts, "rows": 0}:
            self.changed_s = now_s
        self.counts = counts
