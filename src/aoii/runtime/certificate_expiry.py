"""The metric that says when a station's certificates expire, so that an alert comes in time."""

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aoii.core.errors import InputError
from aoii.runtime import metrics
from aoii.security import tls
from aoii.security.tls import Tls


def register(peer: str, settings: Tls | None, peer_expires: Callable[[], datetime | None] | None = None) -> None:
    """Export when the certificates of one connection expire; read anew at each scrape.

    Args:
        peer: `broker`, `database` or `page`.
        settings: Our TLS files; None: the connection has no TLS, and nothing is exported.
        peer_expires: When the certificate expires that the peer showed last; None before it has shown one.
    """
    if settings is None:
        return
    for whose, path in (("authority", settings.ca), ("ours", settings.cert)):
        if path is not None:
            metrics.CERTIFICATE_EXPIRY.labels(peer, whose).set_function(_FileExpiry(path))
    if peer_expires is not None:
        metrics.CERTIFICATE_EXPIRY.labels(peer, "theirs").set_function(lambda: _unix_s(peer_expires()))


class _FileExpiry:
    """When the certificate in a file expires, Unix seconds; NaN if it cannot be read. A renewed file is read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_ns = -1
        self._expires_s = math.nan

    def __call__(self) -> float:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._expires_s, self._read_ns = _unix_s(tls.expires(self._path)), changed_ns
        except (OSError, InputError):
            return math.nan
        return self._expires_s


def _unix_s(at: datetime | None) -> float:
    return math.nan if at is None else at.timestamp()
