"""The page's answers: JSON for scripts, gauges for Prometheus, health, and the stream of events that moves the page.

`/api/stats` and `/api/recent` have the reference system's keys. Every refusal is JSON with an `error` that says what to
do.
"""

import itertools
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import UTC, datetime

import anyio
from anyio.to_thread import run_sync
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import metrics, status_port
from aoii.server.db import Database
from aoii.server.rows import NodeSummary, ReadingRow, Stats
from aoii.web import history
from aoii.web.fleet import UNNAMED
from aoii.web.live import CARD_SPAN_S, SPANS_S, Live
from aoii.web.source import Source
from aoii.web.subscribers import DeliveryFollower, FleetFollower, Follower, NodeFollower, delivery

RECENT_DEFAULT, RECENT_LIMIT = 100, 5000
HISTORY_DEFAULT, HISTORY_LIMIT = 2000, 10_000
STREAMS_LIMIT = 64  # open pages; each costs a look four times a second
LOOK_S = 0.25
SEND_TIMEOUT_S = 30.0  # a page that does not read is let go, and comes back by itself
END_S = 1.0  # `_follow` ends by itself; cut off, the page would see a broken answer
RETRY_AFTER_S = 5


class Answers:
    """All endpoints over one source and one live view."""

    def __init__(self, source: Source, live: Live) -> None:
        self._source = source
        self._live = live
        self._streams = 0
        self._registry = CollectorRegistry()
        ours = (
            metrics.BUILD,
            metrics.WEB_STREAMS,
            metrics.WEB_DATABASE_UP,
            metrics.WEB_BROKER_UP,
            metrics.WEB_REFUSALS,
            metrics.BROKER_REFUSALS,
            metrics.CERTIFICATE_EXPIRY,
        )
        for collector in (*ours, _Totals(source)):
            self._registry.register(collector)

    def routes(self) -> list[Route]:
        """The routes; GET only."""
        return [
            Route("/api/stats", self.stats),
            Route("/api/recent", self.recent),
            Route("/api/nodes", self.nodes),
            Route("/api/history", self.history),
            Route("/api/series", self.series),
            Route("/api/delivery", self.delivery),
            Route("/events", self.events),
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
        ]

    def stats(self, request: Request) -> Response:
        """Totals over all readings."""
        return _json(_stats(self._source.stats()))

    def recent(self, request: Request) -> Response:
        """The newest readings, oldest first."""
        limit = _whole(request, "limit", RECENT_DEFAULT, RECENT_LIMIT)
        return _json([_reading(row) for row in self._source.read(lambda database: database.recent(limit))])

    def nodes(self, request: Request) -> Response:
        """Every node: what the database holds of it, and its last day in the live view (null when it is not in it)."""
        nodes = self._source.read(Database.nodes)
        return _json([_node(node) | {"last_day": self._last_day(node)} for node in nodes])

    def history(self, request: Request) -> Response:
        """Readings of one node or of all between two instants, in the order of their insert."""
        node = request.query_params.get("node")
        start, end = _instant(request, "start"), _instant(request, "end")
        limit = _whole(request, "limit", HISTORY_DEFAULT, HISTORY_LIMIT)

        def ask(database: Database) -> list[ReadingRow]:
            return list(itertools.islice(database.export(node=node, start=start, end=end), limit + 1))

        rows = self._source.read(ask)
        return _json({"rows": [_reading(row) for row in rows[:limit]], "truncated": len(rows) > limit})

    def series(self, request: Request) -> Response:
        """One node over a range as the page draws it: every point of a short one, the extremes of a long one."""
        node = request.query_params.get("node")
        start, end = _instant(request, "start"), _instant(request, "end")
        if node is None or start is None or end is None:
            raise InputError("node, start and end are needed; such as ?node=7&start=2026-01-31&end=2026-02-28")
        span = history.Range(_unix_ms(start), _unix_ms(end))
        rules = self._live.rules
        return _json(self._source.read(lambda database: history.read(database, node, span, rules)))

    def delivery(self, request: Request) -> Response:
        """The way of a reading, hop by hop, as the stations and this page see it now."""
        return _json(delivery(self._live))

    async def events(self, request: Request) -> Response:
        """The stream of server-sent events for one page: a `snapshot`, then `news`."""
        view = request.query_params.get("view", "node")
        if view not in ("fleet", "node", "delivery"):
            raise InputError(f"view is {_shown(request, 'view')}; use one of fleet, node, delivery")
        span_s = request.query_params.get("span", str(CARD_SPAN_S))
        if span_s not in map(str, SPANS_S):
            raise InputError(f"span is {_shown(request, 'span')}; use one of {', '.join(map(str, SPANS_S))} (seconds)")
        if self._streams >= STREAMS_LIMIT:
            raise UnavailableError(f"{STREAMS_LIMIT} pages are open already; close one")
        follower: Follower
        if view == "fleet":
            follower = FleetFollower(self._live)
        elif view == "delivery":
            follower = DeliveryFollower(self._live)
        else:
            follower = NodeFollower(self._live, request.query_params.get("node"), int(span_s))
        return EventSourceResponse(
            self._follow(follower),
            send_timeout=SEND_TIMEOUT_S,
            shutdown_event=anyio.Event(),
            shutdown_grace_period=END_S,
        )

    async def _follow(self, follower: Follower) -> AsyncIterator[ServerSentEvent]:
        self._streams += 1
        metrics.WEB_STREAMS.set(self._streams)
        try:
            while not self._live.stopping.is_set():
                event = await run_sync(follower.look)
                if event is not None:
                    name, content = event
                    yield ServerSentEvent(json.dumps(content, separators=(",", ":")), event=name)
                await anyio.sleep(LOOK_S)
        finally:
            self._streams -= 1
            metrics.WEB_STREAMS.set(self._streams)

    def metrics(self, request: Request) -> Response:
        """The reference system's gauges and our own, in Prometheus's text form."""
        metrics.WEB_DATABASE_UP.set(self._live.database_away is None)
        metrics.WEB_BROKER_UP.set(self._live.broker_up)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def healthz(self, request: Request) -> Response:
        """200 while everything makes progress, else 503 with the reason; the database is not asked."""
        code, content = status_port.health_response(status_port.NOT_ALIVE, self._live.is_alive())
        return _json(content, code)

    async def readyz(self, request: Request) -> Response:
        """200 while the page lacks nothing, else 503 with the reason and, as `detail`, why the database is away."""
        code, content = status_port.health_response(status_port.NOT_READY, self._live.is_ready())
        return _json(content | {"detail": self._live.database_away}, code)

    def _last_day(self, node: NodeSummary) -> dict[str, object] | None:
        summary = self._live.summary(node.node or UNNAMED, CARD_SPAN_S)
        return None if summary is None else asdict(summary)


class _Totals(Collector):
    """The reference system's gauges, from the totals in the database."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Read the totals. While the database is away the last known ones stay: "nothing received" still grows old."""
        try:
            stats: Stats | None = self._source.stats()
        except UnavailableError:
            stats = self._source.last_stats
        if stats is None:
            return
        values = {
            metrics.TOTAL_READINGS: stats.total,
            metrics.MAE_TEMP: stats.mae_temp,
            metrics.MAE_HUMIDITY: stats.mae_humidity,
            metrics.AVG_TEMP: stats.avg_temp,
            metrics.AVG_HUMIDITY: stats.avg_humidity,
            metrics.LAST_RECEIVED_S: stats.last_at.timestamp() if stats.last_at else None,
        }
        for gauge, value in values.items():
            if value is not None:
                gauge.set(value)
                yield from gauge.collect()


def refused(request: Request, error: Exception) -> Response:
    """The user's mistake: what is wrong and what to write."""
    return _json({"error": str(error)}, 400)


def away(request: Request, error: Exception) -> Response:
    """The world's: it may work later."""
    response = _json({"error": str(error)}, 503)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def not_served(request: Request, error: Exception) -> Response:
    """Another path or another method."""
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "failed")
    return _json({"error": f"{request.method} {request.url.path}: {detail}"}, status)


def _json(content: object, status: int = 200) -> JSONResponse:
    return JSONResponse(content, status)


def _stats(stats: Stats) -> dict[str, object]:
    return asdict(stats) | {"first_at": _local(stats.first_at), "last_at": _local(stats.last_at)}


def _reading(row: ReadingRow) -> dict[str, object]:
    return asdict(row) | {"created_at": _local(row.created_at), "event_time": _utc(row.event_time)}


def _node(node: NodeSummary) -> dict[str, object]:
    times = {"last_event_time": _utc(node.last_event_time), "last_created_at": _local(node.last_created_at)}
    return asdict(node) | times


def _local(instant: datetime | None) -> str | None:
    """ISO 8601 without a zone: the server's local time, as in the database."""
    return None if instant is None else instant.isoformat()


def _utc(instant: datetime | None) -> str | None:
    return None if instant is None else f"{instant.isoformat()}Z"


def _shown(request: Request, name: str) -> str:
    return json.dumps(request.query_params.get(name, "")[:64], ensure_ascii=False)


def _whole(request: Request, name: str, default: int, limit: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= limit:
        return int(text)
    raise InputError(f"{name} is {_shown(request, name)}; use a whole number from 1 to {limit}, such as {default}")


def _unix_ms(instant: datetime) -> int:
    return round(instant.replace(tzinfo=UTC).timestamp() * 1000)


def _instant(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    except (ValueError, OverflowError) as error:
        shown = _shown(request, name)
        raise InputError(f"{name} is {shown}; use ISO 8601, such as 2026-01-31T12:00:00Z (write + as %2B)") from error
