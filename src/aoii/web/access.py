"""Access control by one token, and the security headers of every answer.

If no token is set, the page listens on loopback only and answers every request. If one is set, scripts send
`Authorization: Bearer TOKEN` with each request. A browser logs in once through a form and gets a cookie that proves the
token without containing it. There is no list of sessions: a new token ends them all. Three things need no token: the
form, the page's static files, and /healthz and /readyz, which then do not give the reason.
"""

import asyncio
import hashlib
import hmac
import re
import time
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aoii.runtime import metrics

COOKIE = "aoii_session"
SESSION_S = 30 * 86400  # after so long a browser has to log in again
REFUSAL_S = 1.0  # delay of the answer to a wrong token; other requests are not delayed
FORM_LIMIT_BYTES = 4096
OPEN_PATHS = ("/static/",)
PROBES = ("/healthz", "/readyz")  # answered without the token, but without the reason

LOGIN_FORM = (Path(__file__).parent / "static" / "login.html").read_text(encoding="utf-8")
LOGIN_FAILED_NOTICE = '<p role="alert">This token is not valid. · <span lang="ko">토큰이 맞지 않습니다.</span></p>'

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Access:
    """Middleware that passes on only requests with the token or a session, and those that need neither.

    Args:
        app: The application behind it.
        token: What a request must show; None: all requests pass.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it. Plain ASGI, because a stream must not be buffered."""
        token = self._token
        if token is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = str(scope["path"]), Headers(scope=scope)
        if path == "/login":
            answer = await self._login(scope, receive, token)
        elif path.startswith(OPEN_PATHS) or _is_authorized(headers, token):
            await self._app(scope, receive, send)
            return
        elif path in PROBES:
            await self._app(scope, receive, _without_reason(scope, receive, send))
            return
        else:
            answer = _refuse(path, headers)
        await answer(scope, receive, send)

    async def _login(self, scope: Scope, receive: Receive, token: bytes) -> Response:
        if scope["method"] in ("GET", "HEAD"):
            return HTMLResponse(LOGIN_FORM)
        if scope["method"] != "POST":
            return JSONResponse({"error": "/login takes GET and POST"}, 405, {"Allow": "GET, POST"})
        if not _is_token(await _submitted_token(receive), token):
            metrics.WEB_REFUSALS.inc()
            await asyncio.sleep(REFUSAL_S)
            return HTMLResponse(LOGIN_FORM.replace("<!-- notice -->", LOGIN_FAILED_NOTICE), 403)
        answer = RedirectResponse("./", 303)
        session, is_https = _session(int(time.time()), token), scope["scheme"] == "https"
        answer.set_cookie(COOKIE, session, max_age=SESSION_S, httponly=True, samesite="strict", secure=is_https)
        return answer


class SecurityHeaders:
    """Middleware that adds `HEADERS`, and `Cache-Control` so that browsers load a new page after an upgrade.

    The content security policy lets the page load its own files only, and no other page can show it in a frame.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Plain ASGI, because a stream must not be buffered."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _is_token(shown: str, token: bytes) -> bool:
    """Whether a text is the token; takes the same time wherever they differ, so it tells nothing of the token."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), token)


def _session(issued_s: int, token: bytes) -> str:
    """The content of a cookie: the time of issue, Unix s, and the HMAC of that time under the token."""
    proof = hmac.new(token, b"aoii session %d" % issued_s, hashlib.sha256).hexdigest()
    return f"{issued_s}-{proof}"


def _is_authorized(headers: Headers, token: bytes) -> bool:
    """Whether a request has the token, or a session issued for it."""
    scheme, _, shown = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and _is_token(shown.strip(), token):
        return True
    try:
        cookie = SimpleCookie(headers.get("Cookie", "")).get(COOKIE)
    except CookieError:
        return False
    match = None if cookie is None else re.fullmatch(r"([0-9]{1,12})-[0-9a-f]{64}", cookie.value)
    if match is None or cookie is None:
        return False
    issued_s = int(match[1])
    # Our clock may have been set back by up to five minutes since the cookie was issued.
    is_fresh = 0 <= time.time() - issued_s + 300 <= SESSION_S + 300
    return hmac.compare_digest(cookie.value, _session(issued_s, token)) and is_fresh


def _refuse(path: str, headers: Headers) -> Response:
    """The answer to a request without the token: for a browser a redirect to the form, else 401 and what to send."""
    metrics.WEB_REFUSALS.inc()
    if path == "/" and "text/html" in headers.get("Accept", ""):
        return RedirectResponse("login", 303)
    error = "a token is required; send the header `Authorization: Bearer TOKEN`, or log in at /login"
    return JSONResponse({"error": error}, 401, {"WWW-Authenticate": 'Bearer realm="aoii"'})


async def _submitted_token(receive: Receive) -> str:
    """The token in a submitted form; empty if the form has none, is too long or is not a form."""
    body = b""
    while len(body) <= FORM_LIMIT_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            try:
                fields: dict[str, list[str]] = parse_qs(body.decode("utf-8"), max_num_fields=8)
                return fields.get("token", [""])[0]
            except ValueError:
                return ""
    return ""


def _without_reason(scope: Scope, receive: Receive, send: Send) -> Send:
    """A `send` that reduces the answer to a probe to `ok`: without the token the reason is not told."""

    async def send_status(message: Message) -> None:
        if message["type"] == "http.response.start":
            status: int = message["status"]
            await JSONResponse({"ok": status == 200}, status)(scope, receive, send)

    return send_status
