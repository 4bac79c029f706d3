"""The switches of a demo, for its page: which there are, and turning one. An installation has none."""

import json
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import switches
from aoii.runtime.switches import Switches

BODY_LIMIT_BYTES = 1000


class DemoSwitches:
    """The handlers of `/api/switches`.

    Args:
        file: The file of switches; None: this is no demo.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def routes(self) -> list[Route]:
        """Reading the switches, and turning one."""
        return [Route("/api/switches", self.read), Route("/api/switches", self.turn, methods=["POST"])]

    def read(self, request: Request) -> Response:
        """Which switches there are, and which parts are broken; both empty where there is no demo."""
        return JSONResponse(_encode(switches.read(self._file)))

    async def turn(self, request: Request) -> Response:
        """Break or mend a part: `{"switch": NAME, "broken": true}`; the answer is that of `read`.

        Only JSON is taken, because a browser sends that to no other site's page without asking it first.
        """
        if self._file is None:
            raise HTTPException(404, "only the page of `aoii demo` has switches")
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise InputError("the body is not declared as JSON", "send the header Content-Type: application/json")
        wanted = _decode(await _body(request))
        now = switches.turned(switches.read(self._file), wanted.get("switch"), wanted.get("broken"))
        try:
            switches.write(self._file, now)
        except OSError as error:
            raise UnavailableError(f"the switch cannot be turned: {error}") from error
        return JSONResponse(_encode(now))


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise InputError("the body is too long", f"send at most {BODY_LIMIT_BYTES} bytes")
    return body


def _decode(body: bytes) -> dict[str, object]:
    try:
        wanted = json.loads(body)
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict):
        raise InputError("the body is no JSON object", 'send {"switch": NAME, "broken": true}')
    return wanted


def _encode(now: Switches) -> dict[str, list[str]]:
    """In the order in which the page shows them."""
    return {
        "present": [name for name in switches.SWITCHES if name in now.present],
        "broken": [name for name in switches.SWITCHES if name in now.broken],
    }
