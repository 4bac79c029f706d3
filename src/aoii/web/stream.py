"""The stream of server-sent events that keeps an open page up to date. Its counterpart is static/stream.js."""

import json
from collections.abc import AsyncIterator

import anyio
from anyio.to_thread import run_sync
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.web.live import SPANS_S, Live
from aoii.web.parameters import choice
from aoii.web.subscribers import FleetSubscriber, NodeSubscriber, PipelineSubscriber, Subscriber
from aoii.web.summary_cache import DAY_S

STREAMS_LIMIT = 64  # open pages; each is polled four times a second
POLL_S = 0.25
SEND_TIMEOUT_S = 30.0  # a page that does not read is disconnected; it reconnects by itself
END_S = 1.0  # time for `_follow` to end by itself; cut off, the page would see a broken answer


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
            shutdown_grace_period=END_S,
        )

    async def _follow(self, subscriber: Subscriber) -> AsyncIterator[ServerSentEvent]:
        self._count(1)
        try:
            while not self._live.stopping.is_set():
                event = await run_sync(subscriber.poll)
                if event is not None:
                    yield ServerSentEvent(json.dumps(event.content, separators=(",", ":")), event=event.name)
                await anyio.sleep(POLL_S)
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._open += change
        metrics.WEB_STREAMS.set(self._open)
