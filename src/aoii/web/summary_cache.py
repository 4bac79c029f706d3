"""The summaries of nodes, kept for about a second: any number of open pages cost one summary of each node."""

import time
from collections.abc import Callable
from typing import NamedTuple

from aoii.web.fleet import Fleet
from aoii.web.node_health import NodeHealth
from aoii.web.shared_fleet import SharedFleet
from aoii.web.summary import Summary

DAY_S = 86400
SUMMARY_MAX_AGE_S = 1.0  # of a node that changed
SUMMARY_IDLE_S = 10.0  # of a node that did not: it may have become silent
NODES_PER_S = 25  # a hundred nodes are summarized every 4 s, which costs a twentieth of a core


class _Kept(NamedTuple):
    made_s: float
    version: int
    summary: Summary


class SummaryCache:
    """Summaries of the present fleet.

    Args:
        shared: The fleet.
        now_ms: The nodes' wall clock, Unix ms.
        health: What gateways report of nodes, by node.
    """

    def __init__(
        self, shared: SharedFleet, now_ms: Callable[[], int], health: Callable[[], dict[str, NodeHealth]]
    ) -> None:
        self._shared = shared
        self._now_ms = now_ms
        self._health = health
        self._fleet: Fleet | None = None
        self._kept: dict[tuple[str, int], _Kept] = {}
        self._days: tuple[float, list[Summary]] | None = None

    def summary(self, name: str, span_s: int, max_age_s: float = SUMMARY_MAX_AGE_S) -> Summary | None:
        """The node's summary, at most `max_age_s` old if it changed; the same object while it is kept.

        None: there is no such node.
        """
        health = self._health().get(name)
        with self._shared.lock:
            fleet = self._shared.fleet
            self._forget_other(fleet)
            if name not in fleet:
                return None
            now_s = time.monotonic()
            kept = self._kept.get((name, span_s))
            if kept is not None:
                has_changed = fleet.has_changed(name, kept.version) or kept.summary.health != health
                if now_s - kept.made_s <= (max_age_s if has_changed else SUMMARY_IDLE_S):
                    return kept.summary
            summary = fleet.summary(name, span_s, self._now_ms(), health)
            self._kept[name, span_s] = _Kept(now_s, fleet.version, summary)
            return summary

    def all_days(self) -> list[Summary]:
        """The summary of every node over its last day; the same objects while they are kept."""
        with self._shared.lock:
            self._forget_other(self._shared.fleet)
            names = self._shared.fleet.names()
            days = self._days
        if days is not None and time.monotonic() - days[0] < SUMMARY_MAX_AGE_S / 2:
            return days[1]
        max_age_s = max(SUMMARY_MAX_AGE_S, len(names) / NODES_PER_S)
        summaries = [each for name in names if (each := self.summary(name, DAY_S, max_age_s)) is not None]
        self._days = (time.monotonic(), summaries)
        return summaries

    def _forget_other(self, fleet: Fleet) -> None:
        """Forget the summaries of another fleet than this; the caller holds the lock."""
        if fleet is not self._fleet:
            self._fleet, self._days = fleet, None
            self._kept.clear()
