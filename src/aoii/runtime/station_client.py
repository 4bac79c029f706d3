"""Asks a station on this machine for its metrics and checks: one request to its status port, no retry, no judgement."""

import http
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 3.0
UNKNOWN_CHECK = "something"  # stands for the checks of a station that hides their names


class MetricSnapshot:
    """The metrics of a station, read at one instant.

    Args:
        text: The answer to `/metrics`, in Prometheus's text format.

    Raises:
        ValueError: It has another format.
    """

    def __init__(self, text: str) -> None:
        self._samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of the samples with this name and these labels; they may have more labels."""
        return [
            sample.value for sample in self._samples if sample.name == name and labels.items() <= sample.labels.items()
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of `values`; 0 if there are none."""
        return sum(self.values(name, **labels))

    def by_label(self, name: str, label: str) -> Mapping[str, float]:
        """The values of the samples with this name, by the value of one label."""
        return {
            sample.labels[label]: sample.value
            for sample in self._samples
            if sample.name == name and label in sample.labels
        }


def fetch_metrics(port: int) -> MetricSnapshot | None:
    """The metrics of the station on this loopback port; None if none answers there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as answer:
            return MetricSnapshot(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException):
        return None


def fetch_failing_checks(port: int, path: str, host: str = "127.0.0.1", is_encrypted: bool = False) -> list[str] | None:
    """The names of the checks that fail; None if no station answers.

    The certificate is not verified: nothing secret is sent or received.

    Args:
        port: The status port, or the port of the page.
        path: `/healthz` or `/readyz`.
        host: Where the station listens.
        is_encrypted: Whether it speaks HTTPS.

    Returns:
        The names; `["something"]` if the station does not tell strangers which check fails.
    """
    context = ssl._create_unverified_context() if is_encrypted else None  # noqa: S323
    address = f"{'https' if is_encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{path}"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S, context=context):  # noqa: S310 - http or https
            return []
    except urllib.error.HTTPError as error:
        return _failing_names(error) if error.code == http.HTTPStatus.SERVICE_UNAVAILABLE else None
    except (OSError, ValueError, http.client.HTTPException):
        return None


def _failing_names(answer: urllib.error.HTTPError) -> list[str]:
    try:
        with answer:
            return [name for name, passes in json.loads(answer.read())["checks"].items() if not passes]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, http.client.HTTPException):
        return [UNKNOWN_CHECK]
