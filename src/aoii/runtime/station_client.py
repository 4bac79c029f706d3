"""What a station on this machine says of itself on its status port, once, for whoever asks.

It refuses to ask again and to judge the figures.
"""

import http
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

ASK_TIMEOUT_S = 3.0


class Figures:
    """The samples of one answer."""

    def __init__(self, text: str) -> None:
        self._samples = [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def values(self, name: str, **labels: str) -> list[float]:
        """The samples of this name that have these labels, whatever else they have."""
        return [value for found, its, value in self._samples if found == name and labels.items() <= its.items()]

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 when there is none."""
        return sum(self.values(name, **labels))

    def by_label(self, name: str, label: str) -> Mapping[str, float]:
        """The samples of this name, by a label."""
        return {its[label]: value for found, its, value in self._samples if found == name and label in its}


def ask(port: int) -> Figures | None:
    """What the station on this loopback port serves on /metrics; None when it does not answer like one."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=ASK_TIMEOUT_S) as answer:
            return Figures(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException):
        return None


def failing(port: int, path: str, host: str = "127.0.0.1", is_encrypted: bool = False) -> list[str] | None:
    """Names of the checks that fail on /healthz or /readyz; None when nothing answers like a station.

    A station that does not tell strangers which check fails is said to fail in "something". Whose certificate it shows
    is not looked at: nothing secret is asked or sent.
    """
    context = ssl._create_unverified_context() if is_encrypted else None  # noqa: S323
    address = f"{'https' if is_encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{path}"
    try:
        with urllib.request.urlopen(address, timeout=ASK_TIMEOUT_S, context=context):  # noqa: S310 - http or https
            return []
    except urllib.error.HTTPError as error:
        return _names(error) if error.code == http.HTTPStatus.SERVICE_UNAVAILABLE else None
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _names(answer: urllib.error.HTTPError) -> list[str]:
    try:
        with answer:
            return [name for name, is_well in json.loads(answer.read())["checks"].items() if not is_well]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException):
        return ["something"]
