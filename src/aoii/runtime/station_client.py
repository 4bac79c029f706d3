"""The station client: asks a station over HTTP for its metrics and checks, for the web page and the doctor.

It asks once, does not retry and does not judge. Every failure is an `UnavailableError` with a short reason, whether
nobody listens, another program answers, or the answer does not end. Certificates are not verified: nothing secret is
asked or sent.
"""

import contextlib
import http.client
import json
import ssl
import time
from collections.abc import Collection

from prometheus_client.metrics import MetricWrapperBase

from aoii.core.errors import UnavailableError
from aoii.runtime.metric_snapshot import Samples, decode_metrics

STEP_TIMEOUT_S = 2.0  # for each step of an exchange (connect, send, read); stations are on a near network
ANSWER_TIMEOUT_S = 6.0  # for a whole answer, which a peer could send byte by byte for ever
BODY_LIMIT_BYTES = 4_000_000  # metrics of 500 nodes are about 1 MB
CHUNK_BYTES = 65_536
UNNAMED_CHECK = "a check that is not named"  # of a web page that requires a token and got none


class StationClient:
    """Asks one station.

    Args:
        host: Its name or address; an IPv6 address has no brackets.
        port: Its status port; for the web page, the port of the page.
        is_encrypted: Whether the station speaks HTTPS, which only the web page can.
    """

    def __init__(self, host: str, port: int, is_encrypted: bool = False) -> None:
        self._host = host
        self._port = port
        self._context = ssl._create_unverified_context() if is_encrypted else None  # noqa: S323

    def metrics(self, skip: Collection[MetricWrapperBase] = ()) -> Samples:
        """The samples that the station serves on /metrics, without the metrics in `skip`.

        Raises:
            UnavailableError: The station does not answer, or something else does.
        """
        text = self._fetch("/metrics")
        try:
            samples = decode_metrics(text, skip)
        except ValueError as error:
            raise UnavailableError(f"/metrics is not that of a station: {error}") from error
        if not samples:
            raise UnavailableError("/metrics is not that of a station")
        return samples

    def checks(self, path: str) -> dict[str, bool]:
        """The checks that the station serves on `path`, by name, and whether each passes.

        A web page that requires a token gives only the result; it counts as one check, `UNNAMED_CHECK`.

        Args:
            path: /healthz or /readyz.

        Raises:
            UnavailableError: The station does not answer, or something else does.
        """
        text = self._fetch(path)
        try:
            content = json.loads(text)
            checks = content["checks"] if "checks" in content else {UNNAMED_CHECK: content["ok"]}
            are_checks = all(isinstance(passes, bool) for passes in checks.values())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UnavailableError(f"{path} is not that of a station") from error
        if not are_checks:
            raise UnavailableError(f"{path} is not that of a station")
        return dict(checks)

    def _fetch(self, path: str) -> str:
        """The body of the answer. Status 503 is an answer too: a station says with it that a check fails."""
        try:
            return self._exchange(path)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise UnavailableError(_reason(error)) from error

    def _exchange(self, path: str) -> str:
        """As `_fetch`, but the errors of the library pass through."""
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        with contextlib.closing(self._connection()) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            if answer.status not in (http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE):
                raise UnavailableError(f"{path} answers with status {answer.status}")
            body = b""
            while chunk := answer.read1(CHUNK_BYTES):
                body += chunk
                if len(body) > BODY_LIMIT_BYTES or time.monotonic() > deadline_s:
                    raise UnavailableError(f"{path} is too long or too slow")
            return body.decode("utf-8", "replace")

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=STEP_TIMEOUT_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=STEP_TIMEOUT_S, context=self._context)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {STEP_TIMEOUT_S:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
