"""The web station, wired: database and broker in, the page, its API and `/metrics` out."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from aoii.core.errors import InputError, SettingsError, WorldError
from aoii.runtime import certificate_expiry
from aoii.runtime.systemd import ServiceManager
from aoii.security import tls
from aoii.security.tls import Tls
from aoii.settings import Settings
from aoii.settings import Web as WebSettings
from aoii.web import api
from aoii.web.access import Access
from aoii.web.headers import SecurityHeaders
from aoii.web.live import Live
from aoii.web.source import Source

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
TURN_S = 0.2
SHUTDOWN_S = 3  # for requests that are being answered; streams end by themselves within one look


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        WorldError: The port is taken or the address is not of this machine.
        SettingsError: The address is not loopback, and there is no token.
        InputError: The files for TLS, here or towards the database, are none.
    """
    web = settings.web
    if web.cert is not None and web.key is not None:
        tls.load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), web.cert, web.key, "WEB_TLS_CERT")
    if settings.database.tls is not None:
        tls.context(settings.database.tls)  # the source opens the database when it is asked; a file is wrong right now
    with _listen(web) as listener:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            ssl_certfile=web.cert,
            ssl_keyfile=web.key,
        )
        server = _Server(config, app.state.live)
        certificate_expiry.watch("page", None if web.cert is None else Tls(None, web.cert, web.key, "WEB_TLS"))
        log.info("web page is served", extra={"event": "web_up", "host": web.host, "port": web.port})
        if not (_is_loopback(listener) or web.cert):
            log.warning("the page and its token cross the network unencrypted", extra={"event": "web_unencrypted"})
        server.run(sockets=[listener])
    return 0


def create_app(settings: Settings) -> Starlette:
    """The application; it follows database and broker from its start to its end."""
    source = Source(settings.database)
    live = Live(settings, source)
    answers = api.Answers(source, live)
    manager = ServiceManager(live.alive, live.ready)

    async def keep_turning() -> None:
        while True:
            manager.turn()
            await asyncio.sleep(TURN_S)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        live.start()
        turning = asyncio.create_task(keep_turning())
        yield
        turning.cancel()
        manager.stopping()
        live.stop()
        source.close()

    app = Starlette(
        routes=[
            Route("/", _page),
            *answers.routes(),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(Access, token=settings.web.token)],
        exception_handlers={InputError: api.refused, WorldError: api.away, HTTPException: api.not_served},
        lifespan=lifespan,
    )
    app.state.live = live
    return app


def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


class _Server(uvicorn.Server):
    """Ends the streams at the signal; the library would wait for them, and then die of the signal, not return."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM or SIGINT."""
        self._live.say_stop()
        self.should_exit = True


def _listen(web: WebSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(web.host, web.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server(address, family=family)
    except OSError as error:
        where = f"{web.host}:{web.port}"
        raise WorldError(f"cannot listen on {where} ({error.strerror}); set PORT or WEB_HOST to a free one") from error
    if web.token is None and not _is_loopback(listener):
        listener.close()
        raise SettingsError(
            [f'WEB_HOST is "{web.host}", which others reach; set WEB_TOKEN as well, or 127.0.0.1 to serve only here']
        )
    return listener


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
