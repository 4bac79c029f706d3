"""The API: JSON for scripts and for the page, gauges for Prometheus, and health.

`/api/stats` and `/api/recent` have the keys of the older installation. Every error is JSON whose key `error` says what
happened and what to do.
"""

import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import metrics, status_port
from aoii.runtime.station import liveness_of
from aoii.server.db import Database
from aoii.server.rows import NodeSummary, ReadingRow, Stats
from aoii.web.fleet import UNNAMED
from aoii.web.history import Range, read_history
from aoii.web.live import Live
from aoii.web.page_json import Json, encode_ledger, encode_pipeline, encode_summary
from aoii.web.parameters import instant, whole_number
from aoii.web.points import unix_ms
from aoii.web.shared_fleet import DAY_S
from aoii.web.source import Source
from aoii.web.stream import Streams
from aoii.web.summary import Summary

RECENT_DEFAULT, RECENT_LIMIT = 500, 999_999_999  # as in the older installation, which has no limit
PAGE_ROWS = 2000  # of /api/recent, read and sent at once
HISTORY_DEFAULT, HISTORY_LIMIT = 2000, 10_000
RETRY_AFTER_S = 5
ERRORS = (InputError, UnavailableError, HTTPException)  # those that `error_response` answers
EXPORTED = (
    metrics.BUILD, metrics.WEB_STREAMS, metrics.WEB_DATABASE_UP, metrics.WEB_BROKER_UP, metrics.WEB_REFUSALS,
    metrics.BROKER_REFUSALS, metrics.CERTIFICATE_EXPIRY, metrics.SETTINGS_USABLE, metrics.SETTINGS_NEED_RESTART,
)  # fmt: skip


class Api:
    """The handlers of all paths, over one live view."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._source = live.source

    def routes(self) -> list[Route]:
        """The routes; GET only."""
        return [
            Route("/api/stats", self.stats),
            Route("/api/recent", self.recent),
            Route("/api/nodes", self.nodes),
            Route("/api/history", self.history),
            Route("/api/series", self.series),
            Route("/api/pipeline", self.pipeline),
            Route("/api/ledger", self.ledger),
            Route("/api/delivery", self.pipeline),  # its path in 0.1.0; to be removed in 0.3.0
            Route("/events", Streams(self._live).events),
            Route("/metrics", self.metrics),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
        ]

    def stats(self, request: Request) -> Response:
        """Totals over all readings."""
        return JSONResponse(_encode_stats(self._source.stats()))

    def recent(self, request: Request) -> Response:
        """The newest readings, oldest first."""
        limit = whole_number(request, "limit", RECENT_DEFAULT, RECENT_LIMIT)
        first = self._source.query(lambda database: database.first_of_recent(limit))
        pages = self._pages(first, limit)
        start = next(pages)  # an error here is still an answer of its own
        return StreamingResponse(itertools.chain([start], pages), media_type="application/json")

    def nodes(self, request: Request) -> Response:
        """Every node in the database, with the summary of its last day; null if the live view lacks the node."""
        nodes = self._source.query(Database.nodes)
        days = [self._live.shared.summary(node.node or UNNAMED, DAY_S) for node in nodes]
        return JSONResponse([_encode_node(node, day) for node, day in zip(nodes, days, strict=True)])

    def history(self, request: Request) -> Response:
        """The readings between two instants, of one node or of all, in the order in which they were inserted."""
        node = request.query_params.get("node")
        start, end = instant(request, "start"), instant(request, "end")
        limit = whole_number(request, "limit", HISTORY_DEFAULT, HISTORY_LIMIT)
        rows = self._source.query(
            lambda database: list(itertools.islice(database.export(node=node, start=start, end=end), limit + 1))
        )
        return JSONResponse({"rows": [_encode_reading(row) for row in rows[:limit]], "truncated": len(rows) > limit})

    def series(self, request: Request) -> Response:
        """One node over a range, as the page draws it: every point if the range is short, else the extremes."""
        node = request.query_params.get("node")
        start, end = instant(request, "start"), instant(request, "end")
        if node is None or start is None or end is None:
            raise InputError("node, start and end are needed", "such as ?node=7&start=2026-01-31&end=2026-02-28")
        span = Range(unix_ms(start), unix_ms(end))
        settings = self._live.settings
        return JSONResponse(self._source.query(lambda database: read_history(database, node, span, settings)))

    def pipeline(self, request: Request) -> Response:
        """The health of every hop, as the stations and this page see it now."""
        return JSONResponse(encode_pipeline(self._live.pipeline()))

    def ledger(self, request: Request) -> Response:
        """What became of every number of every node; `age_s`: how long ago it was counted."""
        counted = self._live.ledger.read()
        return JSONResponse(encode_ledger(counted.accounts, counted.age_s, has_letters=counted.has_letters))

    def metrics(self, request: Request) -> Response:
        """The older installation's gauges and the page's own, in Prometheus's text format."""
        metrics.WEB_DATABASE_UP.set(self._source.away is None)
        metrics.WEB_BROKER_UP.set(self._live.broker_up)
        registry = CollectorRegistry()
        for metric in (*EXPORTED, *_totals(self._source)):
            registry.register(metric)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def _pages(self, first: int, limit: int) -> Iterator[str]:
        """The JSON of at most `limit` readings from the id `first` on, as a list in pieces."""
        last_id, left, opening = first - 1, limit, "["
        while True:
            read = functools.partial(Database.readings_after, row_id=last_id, limit=PAGE_ROWS)
            page = self._source.query(read)[:left]
            if not page:
                yield opening if opening == "[" else ""
                break
            yield opening + ",".join(json.dumps(_encode_reading(row), separators=(",", ":")) for row in page)
            last_id, left, opening = page[-1].id, left - len(page), ","
        yield "]"

    async def healthz(self, request: Request) -> Response:
        """200 while every part makes progress, else 503 with the reason. Asks no database."""
        code, content = status_port.health_response(status_port.NOT_ALIVE, liveness_of(self._live.parts()))
        return JSONResponse(content, code)

    async def readyz(self, request: Request) -> Response:
        """200 while database and broker are there, else 503 with the reason; `detail`: why the database is away."""
        code, content = status_port.health_response(status_port.NOT_READY, self._live.readiness())
        return JSONResponse(content | {"detail": self._source.away}, code)


def error_response(request: Request, error: Exception) -> Response:
    """The answer to a request that raised one of `ERRORS`; `HTTPException`: no such path or method."""
    if isinstance(error, HTTPException):
        message = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse({"error": message}, error.status_code)
    if isinstance(error, InputError):
        return JSONResponse({"error": str(error)}, 400)
    return JSONResponse({"error": str(error)}, 503, {"Retry-After": str(RETRY_AFTER_S)})


def _totals(source: Source) -> Iterator[Gauge]:
    """The gauges over all readings, which only the page serves; 0 without readings, as in the older installation.

    While the database is away they keep their last values: an alert on the age of the last reading must still fire.
    """
    try:
        stats: Stats | None = source.stats()
    except UnavailableError:
        stats = source.last_stats
    if stats is None:
        return
    values = {
        metrics.TOTAL_READINGS: stats.total,
        metrics.MAE_TEMP: stats.mae_temp,
        metrics.MAE_HUMIDITY: stats.mae_humidity,
        metrics.AVG_TEMP: stats.avg_temp,
        metrics.AVG_HUMIDITY: stats.avg_humidity,
        metrics.LAST_RECEIVED_S: stats.last_utc and unix_ms(stats.last_utc) / 1000,
    }
    for gauge, value in values.items():
        gauge.set(value or 0)
        yield gauge


def _encode_stats(stats: Stats) -> Json:
    """The totals with the digits of the older installation; without readings, their number alone."""
    if stats.avg_temp is None or stats.avg_humidity is None or stats.mae_temp is None or stats.mae_humidity is None:
        return {"total": stats.total}
    return {
        "total": stats.total,
        "avg_temp": round(stats.avg_temp, 2),
        "avg_humidity": round(stats.avg_humidity, 2),
        "mae_temp": round(stats.mae_temp, 4),
        "mae_humidity": round(stats.mae_humidity, 4),
        "first_at": _local(stats.first_at),
        "last_at": _local(stats.last_at),
    }


def _encode_reading(row: ReadingRow) -> Json:
    times = {"created_at": _local(row.created_at), "event_time": _utc(row.event_time)}
    return asdict(row) | times | {"created_utc": _utc(row.created_utc)}


def _encode_node(node: NodeSummary, day: Summary | None) -> Json:
    times = {"last_event_time": _utc(node.last_event_time), "last_created_at": _local(node.last_created_at)}
    times["last_created_utc"] = _utc(node.last_created_utc)
    return asdict(node) | times | {"last_day": encode_summary(day)}


def _local(at: datetime | None) -> str | None:
    """ISO 8601 without a zone: the server's local time, as in the database."""
    return None if at is None else at.isoformat()


def _utc(at: datetime | None) -> str | None:
    """ISO 8601 with `Z`."""
    return None if at is None else f"{at.isoformat()}Z"
