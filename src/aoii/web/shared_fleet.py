"""The fleet of the live view, shared between the threads that fill it and those that answer pages.

A summary is kept for about a second, so that any number of open pages together cost one summary of each node.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from aoii.broker.node_liveness import Vouched
from aoii.broker.node_status import Label
from aoii.server.rows import NodeSummary
from aoii.web.fleet import Fleet
from aoii.web.fleet_settings import FleetSettings
from aoii.web.summary import NodeHealth, Summary

DAY_S = 86400
SUMMARY_MAX_AGE_S = 1.0  # of a node that changed
SUMMARY_IDLE_MAX_AGE_S = 10.0  # of a node that did not change: its log may have become old
NODES_PER_S = 25  # summaries made in a second: of a hundred nodes every 4 s, which costs a twentieth of a core


class _KeptSummary(NamedTuple):
    """A summary, when it was made (monotonic seconds), the fleet's version then, and what the gateways said."""

    made_s: float
    version: int
    summary: Summary
    vouched: Vouched


class SharedFleet:
    """A fleet, its lock, and the summaries of its nodes.

    Args:
        settings: The settings that all nodes share.
        expected: Nodes to list although nothing was received from them.
        now_ms: Returns the time on the nodes' wall clock, Unix ms.
        health: Returns what gateways report of nodes, by node.
        vouched_for: Returns what the gateways say of a node.
        label_of: Returns its name and place.

    Attributes:
        lock: Must be held while `fleet` is used.
        fleet: The present fleet; a new object takes its place when the database is replaced.
    """

    def __init__(
        self,
        settings: FleetSettings,
        expected: Iterable[str],
        now_ms: Callable[[], int],
        health: Callable[[], dict[str, NodeHealth]],
        vouched_for: Callable[[str], Vouched],
        label_of: Callable[[str], Label],
    ) -> None:
        self._settings = settings
        self._expected = tuple(expected)
        self._now_ms = now_ms
        self._health = health
        self._vouched_for = vouched_for
        self._label_of = label_of
        self._kept: dict[tuple[str, int], _KeptSummary] = {}
        self._days: tuple[float, list[Summary]] | None = None
        self.lock = threading.Lock()
        self._start_fleet()

    def names(self) -> list[str]:
        """All nodes, in natural order."""
        with self.lock:
            return self.fleet.names()

    def add_nodes(self, nodes: Iterable[NodeSummary], *, is_replaced: bool) -> None:
        """Add the nodes of the database; if it is replaced, first drop everything that came from the old one."""
        with self.lock:
            if is_replaced:
                self._start_fleet()
            for node in nodes:
                self.fleet.add_node(node)

    def summary(self, name: str, span_s: int, max_age_s: float = SUMMARY_MAX_AGE_S) -> Summary | None:
        """The node's summary over its last `span_s` seconds; None if there is no such node.

        If the node has changed since, the summary is at most `max_age_s` seconds old. While it is kept, it is the same
        object.
        """
        health, vouched, label = self._health().get(name), self._vouched_for(name), self._label_of(name)
        with self.lock:
            if name not in self.fleet:
                return None
            now_s = time.monotonic()
            kept = self._kept.get((name, span_s))
            if kept is not None:
                has_changed = self.fleet.has_changed(name, kept.version) or kept.summary.health != health
                has_changed = has_changed or kept.vouched != vouched
                has_changed = has_changed or (kept.summary.name, kept.summary.place) != label
                if now_s - kept.made_s <= (max_age_s if has_changed else SUMMARY_IDLE_MAX_AGE_S):
                    return kept.summary
            summary = self.fleet.summary(name, span_s, self._now_ms(), health, vouched)
            summary = replace(summary, name=label.name, place=label.place)
            self._kept[name, span_s] = _KeptSummary(now_s, self.fleet.version, summary, vouched)
            return summary

    def day_summaries(self) -> list[Summary]:
        """The summary of every node over its last day; while they are kept, the same objects."""
        with self.lock:
            fleet, days = self.fleet, self._days
            names = fleet.names()
        if days is not None and time.monotonic() - days[0] < SUMMARY_MAX_AGE_S / 2:
            return days[1]
        max_age_s = max(SUMMARY_MAX_AGE_S, len(names) / NODES_PER_S)
        summaries = [each for name in names if (each := self.summary(name, DAY_S, max_age_s)) is not None]
        with self.lock:
            if self.fleet is fleet:  # or the database was replaced meanwhile
                self._days = (time.monotonic(), summaries)
        return summaries

    def _start_fleet(self) -> None:
        """Begin again with a fleet that has only the expected nodes, and without summaries."""
        self.fleet = Fleet(self._settings)
        for name in self._expected:
            self.fleet.expect(name)
        self._kept.clear()
        self._days = None
