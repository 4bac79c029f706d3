"""The API, /metrics and health on real databases, also while the database is away."""

import statistics
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from aoii.runtime import metrics
from aoii.server.db import Database, open_database
from aoii.web import api
from aoii.web.app import create_app
from server.samples import a_reading
from servers import MariaDB, free_port, until
from web.conftest import Load
from web.gauges import gauges
from web.recorded import START_MS, minutes, packets_of, store

STORY = list(minutes("7"))
READINGS = [minute.reading for minute in STORY if minute.reading is not None]


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_the_totals_are_those_of_the_rows_and_have_the_older_installations_keys(
    engine: str, load: Load, request: pytest.FixtureRequest
) -> None:
    values = load()
    if engine == "mariadb":
        server: MariaDB = request.getfixturevalue("mariadb")
        values = load(MYSQL_HOST="127.0.0.1", MYSQL_PORT=server.port, MYSQL_DATABASE=server.new_schema())
    database = open_database(values.database, migrate=True)
    before = datetime.now()  # noqa: DTZ005 - created_at is local
    store(database, STORY, logs=False)

    with TestClient(create_app(values)) as client:
        stats = client.get("/api/stats").json()

    assert list(stats) == [
        "total", "avg_temp", "avg_humidity", "mae_temp", "mae_humidity", "first_at", "last_at",
    ]  # fmt: skip
    assert stats["total"] == len(READINGS)
    assert stats["avg_temp"] == round(statistics.mean(r.actual_t for r in READINGS), 2)
    assert stats["avg_humidity"] == round(statistics.mean(r.actual_h for r in READINGS), 2)
    assert stats["mae_temp"] == round(statistics.mean(abs(r.actual_t - r.pred_t) for r in READINGS), 4)
    assert stats["mae_humidity"] == round(statistics.mean(abs(r.actual_h - r.pred_h) for r in READINGS), 4)
    first, last = datetime.fromisoformat(stats["first_at"]), datetime.fromisoformat(stats["last_at"])
    assert before <= first <= last <= datetime.now()  # noqa: DTZ005 - created_at is local
    database.close()


def test_the_ledger_has_every_node_with_its_parts(client: TestClient) -> None:
    found = client.get("/api/ledger").json()

    assert (found["has_letters"], found["age_s"]) == (False, 0)
    (account,) = found["accounts"]
    assert account == {
        "node": "7", "epoch": 1, "first": 1, "last": len(READINGS), "is_balanced": True, "stored": len(READINGS),
        "dead_letters": 0, "void": 0, "waiting": 0, "open": 0, "unknown": 0, "lost": 0, "retired": 0,
    }  # fmt: skip


def test_recent_readings_come_oldest_first_with_every_column(client: TestClient) -> None:
    rows = client.get("/api/recent?limit=3").json()

    assert [row["counter"] for row in rows] == [len(READINGS) - 2, len(READINGS) - 1, len(READINGS)]
    last = READINGS[-1]
    assert last.event_unix_ms is not None
    event_time = datetime.fromisoformat(rows[-1]["event_time"])
    assert event_time == datetime.fromtimestamp(last.event_unix_ms / 1000, UTC)
    assert rows[-1]["actual_temp"] == last.actual_t
    assert rows[-1]["error_temp"] == pytest.approx(last.actual_t - last.pred_t)
    assert "digest" not in rows[-1]


def test_five_hundred_recent_readings_come_when_no_limit_is_given(load: Load, database: Database) -> None:
    database.insert_readings([a_reading(counter) for counter in range(1, 601)])

    with TestClient(create_app(load())) as client:
        rows = client.get("/api/recent").json()

    assert [row["counter"] for row in rows] == list(range(101, 601))


@pytest.mark.parametrize("limit", [1, 3, 4, 5, 8, 9, 10_000])
def test_as_many_recent_readings_come_as_are_asked_for(
    load: Load, database: Database, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(api, "PAGE_ROWS", 4)
    database.insert_readings([a_reading(counter) for counter in range(1, 10)])

    with TestClient(create_app(load())) as client:
        rows = client.get(f"/api/recent?limit={limit}").json()

    assert [row["counter"] for row in rows] == list(range(1, 10))[-limit:]


def test_nodes_come_with_their_last_day(client: TestClient) -> None:
    def last_day() -> dict[str, object] | None:
        (node,) = client.get("/api/nodes").json()
        assert (node["node"], node["gateway"], node["readings"]) == ("7", "roof", len(READINGS))
        day: dict[str, object] | None = node["last_day"]
        return day

    until(lambda: (day := last_day()) and day["aoii"] and day["periodic"] == 1440)

    day = last_day()
    assert day is not None
    assert day["packets"] == len(READINGS)
    assert (day["states"], day["liveness"]) == (["unknown"], "unknown")  # there is no gateway


def test_history_is_limited_by_time_and_number_and_marked_when_truncated(client: TestClient) -> None:
    noon = datetime.fromtimestamp(START_MS / 1000 + 12 * 3600, UTC)
    morning = packets_of(STORY[: 12 * 60])

    whole = client.get("/api/history", params={"node": "7", "end": noon.isoformat()}).json()
    cut = client.get("/api/history", params={"start": "2016-01-01T12:00:00Z", "limit": "10"}).json()

    assert (len(whole["rows"]), whole["truncated"]) == (morning, False)
    assert (len(cut["rows"]), cut["truncated"]) == (10, True)
    assert cut["rows"][0]["counter"] == morning + 1
    assert client.get("/api/history?node=8").json()["rows"] == []


def test_no_metric_of_another_station_is_exported(client: TestClient) -> None:
    assert "aoii_outbox" not in client.get("/metrics").text


def test_a_page_without_a_broker_is_alive_and_not_ready(client: TestClient) -> None:
    until(lambda: client.get("/readyz").json()["checks"]["database"])

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "ok": False,
        "checks": {"broker": False, "database": True},
        "reason": "waits for: broker",
        "detail": None,
    }
    assert client.get("/healthz").json() == {"ok": True, "checks": {"poller": True, "network": True}, "reason": None}


def test_while_the_database_is_away_every_answer_says_so_until_it_is_back(load: Load, data_dir: Path) -> None:
    database = open_database(load().database, migrate=True)
    store(database, STORY, logs=False)
    database.close()
    hidden = data_dir / "hidden"
    hidden.mkdir()

    with TestClient(create_app(load())) as client:
        until(lambda: client.get("/api/nodes").json()[0]["last_day"])
        before = gauges(client)
        for file in data_dir.glob("aoii.db*"):
            file.rename(hidden / file.name)
        until(lambda: not client.get("/readyz").json()["checks"]["database"])

        readiness = client.get("/readyz").json()
        assert readiness["ok"] is False
        assert "aoii.db" in readiness["detail"]
        assert client.get("/healthz").status_code == 200
        for path in ("/api/stats", "/api/recent", "/api/nodes", "/api/history"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert "aoii.db" in answer.json()["error"]
        assert client.get("/").status_code == 200
        away = gauges(client)
        assert away["aoii_web_database_up"] == 0
        assert away["aoii_readings_total"] == before["aoii_readings_total"]

        for file in hidden.glob("aoii.db*"):
            file.rename(data_dir / file.name)
        until(lambda: client.get("/readyz").json()["checks"]["database"])

        assert client.get("/api/stats").json()["total"] == len(READINGS)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(client: TestClient, method: str) -> None:
    answer = client.request(method, "/api/recent")

    assert answer.status_code == 405
    assert "error" in answer.json()


def test_an_unknown_path_is_refused_in_json(client: TestClient) -> None:
    answer = client.get("/api/reading")

    assert (answer.status_code, answer.json()) == (404, {"error": "GET /api/reading: Not Found"})


def test_no_secret_is_in_any_answer(load: Load) -> None:
    secrets = {"MYSQL_PASSWORD": "hunter2", "MQTT_PASSWORD": "hunter3"}
    values = load(MYSQL_HOST="127.0.0.1", MYSQL_PORT=free_port(), MQTT_USERNAME="web", **secrets)

    with TestClient(create_app(values)) as client:
        until(lambda: client.get("/readyz").json()["detail"])
        answers = [client.get(path).text for path in ("/healthz", "/readyz", "/api/stats", "/metrics", "/api/nodes")]

    assert not any("hunter" in answer for answer in answers)


def test_metrics_have_the_older_installations_names_as_gauges_and_are_documented(client: TestClient) -> None:
    stats = client.get("/api/stats").json()

    exported = gauges(client)

    older = {
        "aoii_readings_total": stats["total"],
        "aoii_mae_temp": stats["mae_temp"],
        "aoii_mae_humidity": stats["mae_humidity"],
        "aoii_avg_temp_celsius": stats["avg_temp"],
        "aoii_avg_humidity_percent": stats["avg_humidity"],
        "aoii_last_received_timestamp_seconds": datetime.fromisoformat(stats["last_at"]).timestamp(),
    }
    assert {name: exported[name] for name in older} == pytest.approx(older, abs=0.005)
    documented = {name for name, *_ in metrics.DECLARED.values()}
    beside = {name for name in exported if name.endswith("_created")}  # the library's own, of each counter
    assert set(exported) - beside <= documented | {"aoii_build_info"}


def test_an_empty_database_is_told_as_in_the_older_installation(load: Load, database: Database) -> None:
    with TestClient(create_app(load())) as client:
        stats, recent = client.get("/api/stats").json(), client.get("/api/recent").json()
        exported = gauges(client)

    assert (stats, recent) == ({"total": 0}, [])
    for name in ("readings_total", "mae_temp", "mae_humidity", "avg_temp_celsius", "avg_humidity_percent",
                 "last_received_timestamp_seconds"):  # fmt: skip
        assert exported[f"aoii_{name}"] == 0
