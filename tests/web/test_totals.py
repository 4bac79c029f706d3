"""The reference system's gauges."""

from datetime import datetime

import pytest
from starlette.testclient import TestClient

from aoii.runtime import metrics
from aoii.server.db import Database
from aoii.web.app import create_app
from web.conftest import Load
from web.gauges import gauges


def test_metrics_have_the_reference_systems_names_as_gauges_and_are_documented(client: TestClient) -> None:
    stats = client.get("/api/stats").json()

    exported = gauges(client)

    reference = {
        "aoii_readings_total": stats["total"],
        "aoii_mae_temp": stats["mae_temp"],
        "aoii_mae_humidity": stats["mae_humidity"],
        "aoii_avg_temp_celsius": stats["avg_temp"],
        "aoii_avg_humidity_percent": stats["avg_humidity"],
        "aoii_last_received_timestamp_seconds": datetime.fromisoformat(stats["last_at"]).timestamp(),
    }
    assert {name: exported[name] for name in reference} == pytest.approx(reference)
    documented = {name for name, *_ in metrics.DECLARED.values()}
    beside = {name for name in exported if name.endswith("_created")}  # the library's own, of each counter
    assert set(exported) - beside <= documented | {"aoii_build_info"}


def test_an_empty_database_has_totals_without_means(load: Load, database: Database) -> None:
    with TestClient(create_app(load())) as client:
        stats = client.get("/api/stats").json()
        exported = gauges(client)

    assert stats["total"] == 0
    assert set(stats.values()) == {0, None}
    assert exported["aoii_readings_total"] == 0
    assert "aoii_avg_temp_celsius" not in exported
    assert "aoii_last_received_timestamp_seconds" not in exported
