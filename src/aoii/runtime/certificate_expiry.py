"""When the certificates that a station uses end, as a metric, so that an alert comes before the end does."""

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aoii.core.errors import InputError
from aoii.runtime import metrics
from aoii.security import tls
from aoii.security.tls import Tls


def watch(peer: str, settings: Tls | None, shown: Callable[[], datetime | None] | None = None) -> None:
    """Have the metric tell, at each scrape, when the certificates of one connection end.

    Args:
        peer: `broker`, `database` or `page`.
        settings: Its files; None: there is no TLS, and nothing is told.
        shown: When the certificate ends that the peer showed last; None while it has shown none.
    """
    if settings is None:
        return
    for whose, path in (("authority", settings.ca), ("ours", settings.cert)):
        if path is not None:
            metrics.CERTIFICATE_EXPIRY.labels(peer, whose).set_function(_File(path))
    if shown is not None:
        metrics.CERTIFICATE_EXPIRY.labels(peer, "theirs").set_function(lambda: _unix_s(shown()))


class _File:
    """The end of the certificate in a file, which is read again when it was renewed; NaN when it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_ns = -1
        self._ends_s = math.nan

    def __call__(self) -> float:
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._ends_s, self._read_ns = _unix_s(tls.expires(self._path)), changed_ns
        except (OSError, InputError):
            return math.nan
        return self._ends_s


def _unix_s(at: datetime | None) -> float:
    return math.nan if at is None else at.timestamp()
