"""The stream of events that keeps an open page up to date: the fleet, one node, or the pipeline.

A subscriber stands for one open page. It is asked for the page's next event several times a second, and holds nothing
that grows. The first event is a `snapshot` with everything; then come `update` events with what changed. Once a second
an event also carries the status of the whole system, because every page shows it: what is away, how many nodes are in
which state, and how the pipeline is. The counterpart in the page is static/stream.js.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar, Literal, NamedTuple

import anyio
from anyio.to_thread import run_sync
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.web import page_json
from aoii.web.fleet import Fleet
from aoii.web.live import SPANS_S, Live
from aoii.web.page_json import Json
from aoii.web.parameters import choice
from aoii.web.points import NO_POINTS, Points
from aoii.web.shared_fleet import DAY_S
from aoii.web.summary import Summary

STREAMS_LIMIT = 64  # open pages; each costs four calls of `next_event` a second
POLL_S = 0.25  # between two calls of `next_event`
STATUS_PERIOD_S = 1.0
SEND_TIMEOUT_S = 30.0  # a page that does not read for so long is disconnected; it reconnects by itself
END_GRACE_S = 1.0  # for `_follow` to end by itself; if it were cut off, the page would see a broken answer


class Event(NamedTuple):
    """One server-sent event."""

    name: Literal["snapshot", "update"]
    content: Json


class Subscriber(ABC):
    """What one open page knows and needs.

    Attributes:
        view: What the page shows: `fleet`, `node` or `pipeline`.
    """

    view: ClassVar[str]

    def __init__(self, live: Live) -> None:
        self._live = live
        self._status_sent_s = 0.0

    @abstractmethod
    def next_event(self) -> Event | None:
        """The next event for the page; None if nothing is new."""

    def _is_due(self) -> bool:
        """Whether the page needs the status again."""
        return time.monotonic() - self._status_sent_s > STATUS_PERIOD_S

    def _status(self) -> Json:
        """The status of the whole system. Calling this records that the page gets it now."""
        self._status_sent_s = time.monotonic()
        summaries = self._live.shared.day_summaries()
        return {
            "now_ms": self._live.now_ms(),
            "database_away": self._live.source.away,
            "broker_up": self._live.broker_up,
            "more_nodes": self._live.shared.fleet.left_out > 0,
            "states": page_json.encode_states(summaries),
            "pipeline": page_json.encode_worst(self._live.pipeline()),
        }

    def _event(self, content: Json, *, is_first: bool) -> Event:
        """An update with this content; or if it is the first, a snapshot that also has the settings."""
        if not is_first:
            return Event("update", content)
        settings = page_json.encode_settings(self._live.settings, is_simulated=self._live.is_simulated)
        return Event("snapshot", {"view": self.view} | settings | content)


class NodeSubscriber(Subscriber):
    """A page that shows one node.

    Args:
        live: The live view.
        node: The node to show; if it is None or unknown, the first node.
        span_s: Seconds of event time to show.
    """

    view = "node"

    def __init__(self, live: Live, node: str | None, span_s: int) -> None:
        super().__init__(live)
        self._wanted = node
        self._node: str | None = None
        self._span_s = span_s
        self._fleet: Fleet | None = None
        self._version = -1
        self._summary: Summary | None = None

    def next_event(self) -> Event | None:
        """As for `Subscriber`."""
        with self._live.shared.lock:
            fleet = self._live.shared.fleet
            node = self._choose(fleet)
            points = self._new_points(fleet, node)
            is_first = points is None
            if points is None:
                points = fleet.points(node, self._span_s) if node is not None else NO_POINTS
                self._fleet, self._node, self._summary = fleet, node, None
            self._version = fleet.version
        is_due = is_first or self._is_due()
        if not is_due and not any(points):
            return None
        content = self._status() | self._neighbours() | self._new_summary() if is_due else {}
        if is_first:
            content |= {"node": node, "span_s": self._span_s}
        content |= {kind: rows for kind, rows in page_json.encode_points(points).items() if rows or is_first}
        return self._event(content, is_first=is_first)

    def _choose(self, fleet: Fleet) -> str | None:
        """The wanted node if the fleet has it, else the node shown before, else the first; None without nodes."""
        if self._wanted in fleet:
            return self._wanted
        names = fleet.names()
        return self._node if self._node in fleet else names[0] if names else None

    def _new_points(self, fleet: Fleet, node: str | None) -> Points | None:
        """The points that arrived since the last event; None if the page needs all points again."""
        if fleet is not self._fleet or node != self._node:
            return None
        return NO_POINTS if node is None else fleet.points_since(node, self._version)

    def _neighbours(self) -> Json:
        """The nodes before and after the one shown: null at an end of the list, empty if none is shown."""
        names = self._live.shared.names()
        if self._node not in names:
            return {}
        around = [None, *names, None]
        place = around.index(self._node)
        return {"previous": around[place - 1], "next": around[place + 1]}

    def _new_summary(self) -> Json:
        """The summary if it changed, else empty."""
        summary = None if self._node is None else self._live.shared.summary(self._node, self._span_s)
        if summary is None or summary is self._summary:
            return {}
        self._summary = summary
        return {"summary": page_json.encode_summary(summary)}


class FleetSubscriber(Subscriber):
    """A page that shows all nodes."""

    view = "fleet"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._fleet: Fleet | None = None
        self._sent: dict[str, Summary] = {}

    def next_event(self) -> Event | None:
        """As for `Subscriber`."""
        fleet = self._live.shared.fleet
        is_first = fleet is not self._fleet
        if not is_first and not self._is_due():
            return None
        if is_first:
            self._fleet = fleet
            self._sent.clear()
        changed = [each for each in self._live.shared.day_summaries() if self._sent.get(each.node) != each]
        self._sent |= {summary.node: summary for summary in changed}
        tiles = {"nodes": [page_json.encode_tile(summary) for summary in changed]} if changed or is_first else {}
        return self._event(tiles | self._status(), is_first=is_first)


class PipelineSubscriber(Subscriber):
    """A page that shows the health of the pipeline."""

    view = "pipeline"

    def __init__(self, live: Live) -> None:
        super().__init__(live)
        self._is_new = True

    def next_event(self) -> Event | None:
        """As for `Subscriber`."""
        is_first, self._is_new = self._is_new, False
        if not is_first and not self._is_due():
            return None
        content = page_json.encode_pipeline(self._live.pipeline())
        return self._event(content | self._status(), is_first=is_first)


class Streams:
    """The open streams of one live view."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._open = 0

    async def events(self, request: Request) -> Response:
        """A stream for one page: a `snapshot`, then every `update`.

        Raises:
            InputError: The view or the span is unknown.
            UnavailableError: Too many streams are open.
        """
        view = choice(request, "view", "node", ("fleet", "node", "pipeline"))
        span_s = int(choice(request, "span", str(DAY_S), tuple(map(str, SPANS_S)), " (seconds)"))
        if self._open >= STREAMS_LIMIT:
            raise UnavailableError(f"{STREAMS_LIMIT} pages are open already", "close one")
        subscriber: Subscriber
        if view == "fleet":
            subscriber = FleetSubscriber(self._live)
        elif view == "pipeline":
            subscriber = PipelineSubscriber(self._live)
        else:
            subscriber = NodeSubscriber(self._live, request.query_params.get("node"), span_s)
        return EventSourceResponse(
            self._follow(subscriber),
            send_timeout=SEND_TIMEOUT_S,
            shutdown_event=anyio.Event(),
            shutdown_grace_period=END_GRACE_S,
        )

    async def _follow(self, subscriber: Subscriber) -> AsyncIterator[ServerSentEvent]:
        """The events of one page, until it is closed or the station stops."""
        self._count(1)
        try:
            while not self._live.stopping.is_set():
                event = await run_sync(subscriber.next_event)
                if event is not None:
                    yield ServerSentEvent(json.dumps(event.content, separators=(",", ":")), event=event.name)
                await anyio.sleep(POLL_S)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        """Count streams that were opened (1) or closed (-1)."""
        self._open += change
        metrics.WEB_STREAMS.set(self._open)
