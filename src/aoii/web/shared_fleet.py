"""The fleet of the live view, shared between the threads that fill it and those that answer pages."""

import threading
from collections.abc import Iterable

from aoii.server.rows import NodeSummary
from aoii.web.fleet import Fleet
from aoii.web.node_settings import NodeSettings


class SharedFleet:
    """A fleet and its lock.

    Attributes:
        lock: Held by whoever uses `fleet`.
        fleet: The present fleet; another object after the database was replaced.
    """

    def __init__(self, settings: NodeSettings, expected: Iterable[str]) -> None:
        self._settings = settings
        self._expected = tuple(expected)
        self.lock = threading.Lock()
        self.fleet = self._new_fleet()

    def names(self) -> list[str]:
        """All nodes, in natural order."""
        with self.lock:
            return self.fleet.names()

    def add_nodes(self, nodes: Iterable[NodeSummary], *, is_replaced: bool) -> None:
        """Add the nodes of the database; with `is_replaced`, drop all that is held of the database before."""
        with self.lock:
            if is_replaced:
                self.fleet = self._new_fleet()
            for node in nodes:
                self.fleet.add_node(node)

    def _new_fleet(self) -> Fleet:
        fleet = Fleet(self._settings)
        for name in self._expected:
            fleet.expect(name)
        return fleet
