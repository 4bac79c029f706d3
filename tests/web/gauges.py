"""The gauges that a client of the page reads."""

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient


def gauges(client: TestClient) -> dict[str, float]:
    """Values by name."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {sample.name: sample.value for family in families if family.type == "gauge" for sample in family.samples}
