"""The web station, wired: database, broker and status ports in; the page, its API and `/metrics` out."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from aoii.core.errors import UnavailableError
from aoii.runtime import certificate_expiry
from aoii.runtime.station import Part, Station, run_station
from aoii.security import tls
from aoii.security.tls import Tls
from aoii.settings import Settings
from aoii.settings import Web as WebSettings
from aoii.settings.faults import Fault, SettingsError
from aoii.web import api
from aoii.web.access import Access, SecurityHeaders
from aoii.web.demo_switches import DemoSwitches
from aoii.web.live import Live

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
BEAT_S = 0.2  # how often the event loop records that it makes progress
STOP_S = 8.0  # for the thread to end, of the 10 s that a station has to stop
SHUTDOWN_S = 3  # of these, for requests in progress; streams end by themselves within `stream.POLL_S`


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Raises:
        UnavailableError: The port is taken, or the address is not one of this machine.
        SettingsError: The address is not loopback and there is no token.
        InputError: TLS files of the page or of the database are missing or not valid.
    """
    return run_station("web", 0, lambda: WebPage(settings))  # 0: /metrics and the checks are on the page's own port


class WebPage(Station):
    """The station: the application, served at its address by an event loop in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        web = settings.web
        if web.cert is not None and web.key is not None:
            tls.load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), web.cert, web.key, "WEB_TLS_CERT")
        if settings.database.tls is not None:
            tls.context(settings.database.tls)  # raises now, not when the database is first read
        self._listener = _listen(web)
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        app = create_app(settings)
        self._live: Live = app.state.live
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_S,
                ssl_certfile=web.cert,
                ssl_keyfile=web.key,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="page", daemon=True
        )
        certificate_expiry.register("page", None if web.cert is None else Tls(None, web.cert, web.key, "WEB_TLS"))
        log.info("web page is served", extra={"event": "web_up", "host": web.host, "port": web.port})
        if not (_is_loopback(self._listener) or web.cert):
            log.warning("the page and its token cross the network unencrypted", extra={"event": "web_unencrypted"})

    def start(self) -> None:
        """Start serving; neither database nor broker need be there."""
        self._thread.start()

    def stop(self) -> None:
        """End the streams, then the event loop; otherwise uvicorn would wait for the streams, which do not end."""
        self._live.request_stop()
        self._server.should_exit = True
        self._thread.join(STOP_S)
        self._listener.close()

    def parts(self) -> Iterator[Part]:
        """The event loop, and the threads of the live view."""
        yield Part("page", self._thread.is_alive(), self._live.loop_progress_s)
        if self._server.started:  # then the event loop has started these threads
            yield from self._live.parts()

    def readiness(self) -> Mapping[str, bool]:
        """Whether database and broker are there."""
        return self._live.readiness()


def create_app(settings: Settings) -> Starlette:
    """The application; while it runs, its live view follows database, broker and stations."""
    live = Live(settings)
    demo = DemoSwitches(settings.edge.switches_file)

    async def beat() -> None:
        while True:
            live.loop_progress_s = time.monotonic()
            await asyncio.sleep(BEAT_S)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        live.start()
        beating = asyncio.create_task(beat())
        yield
        beating.cancel()
        live.stop()

    app = Starlette(
        routes=[
            Route("/", _page),
            *api.Api(live).routes(),
            *demo.routes(),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(Access, token=settings.web.token)],
        exception_handlers=dict.fromkeys(api.ERRORS, api.error_response),
        lifespan=lifespan,
    )
    app.state.live = live
    return app


def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


def _listen(web: WebSettings) -> socket.socket:
    """A socket that listens at the page's address; the errors are those of `run`."""
    try:
        found = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address, family=family)
    except OSError as error:
        problem = f"cannot listen on {web.host}:{web.port} ({error.strerror})"
        raise UnavailableError(problem, "set PORT or WEB_HOST to a free one") from error
    if web.token is None and not _is_loopback(listener):
        listener.close()
        problem = f'is "{web.host}", which other machines can reach'
        remedy = "set WEB_TOKEN as well, or use 127.0.0.1 to serve this machine only"
        raise SettingsError([Fault("", "WEB_HOST", problem, remedy)])
    return listener


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
