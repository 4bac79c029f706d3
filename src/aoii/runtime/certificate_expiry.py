"""The metric that tells when a station's certificates expire, so that an alert comes before they do."""

import functools
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aoii.core.errors import InputError
from aoii.runtime import metrics
from aoii.security import tls
from aoii.security.tls import Tls


def register(peer: str, settings: Tls | None, peer_expires: Callable[[], datetime | None] | None = None) -> None:
    """Export when the certificates of one connection expire; each scrape finds the present values.

    Args:
        peer: `broker`, `database` or `page`.
        settings: Our TLS files; None: the connection has no TLS, and nothing is exported.
        peer_expires: Returns when the certificate that the peer showed last expires; None before it has shown one.
    """
    if settings is None:
        return
    for whose, path in (("authority", settings.ca), ("ours", settings.cert)):
        if path is not None:
            metrics.CERTIFICATE_EXPIRY.labels(peer, whose).set_function(functools.partial(_file_expires_s, path))
    if peer_expires is not None:
        metrics.CERTIFICATE_EXPIRY.labels(peer, "theirs").set_function(lambda: _unix_s(peer_expires()))


def _file_expires_s(path: Path) -> float:
    """When the certificate in a file expires, Unix seconds; NaN if the file cannot be read."""
    try:
        return _unix_s(_expires(path, path.stat().st_mtime_ns))
    except (OSError, InputError):
        return math.nan


@functools.lru_cache
def _expires(path: Path, _changed_ns: int) -> datetime:
    """When the certificate in a file expires; with its time of change, `_changed_ns`, the cache sees a changed file."""
    return tls.expires(path)


def _unix_s(at: datetime | None) -> float:
    return math.nan if at is None else at.timestamp()
