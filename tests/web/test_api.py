"""The API, /metrics and health on real databases: what they say, and what they say when the database is away."""

import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from aoii.core.errors import UnavailableError
from aoii.runtime import metrics
from aoii.server.db import Database, open_database
from aoii.settings import Settings
from aoii.web import api, source
from aoii.web.app import create_app
from aoii.web.source import Source
from servers import MariaDB, free_port, until
from web.recorded import START_MS, minutes, packets_of, store

Load = Callable[..., Settings]
STORY = list(minutes("7"))
READINGS = [minute.reading for minute in STORY if minute.reading is not None]


@contextmanager
def page(values: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(values)) as client:
        yield client


@pytest.fixture
def client(load: Load, database: Database) -> Iterator[TestClient]:
    store(database, STORY)
    with page(load()) as client:
        yield client


def gauges(client: TestClient) -> dict[str, float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {sample.name: sample.value for family in families if family.type == "gauge" for sample in family.samples}


@pytest.mark.parametrize("engine", ["sqlite", "mariadb"])
def test_the_totals_are_those_of_the_rows_and_have_the_reference_systems_keys(
    engine: str, load: Load, request: pytest.FixtureRequest
) -> None:
    values = load()
    if engine == "mariadb":
        server: MariaDB = request.getfixturevalue("mariadb")
        values = load(MYSQL_HOST="127.0.0.1", MYSQL_PORT=server.port, MYSQL_DATABASE=server.new_schema())
    database = open_database(values.database, migrate=True)
    before = datetime.now()  # noqa: DTZ005 - created_at is local
    store(database, STORY, logs=False)

    with page(values) as client:
        stats = client.get("/api/stats").json()

    assert list(stats) == [
        "total", "avg_temp", "avg_humidity", "mae_temp", "mae_humidity", "first_at", "last_at",
    ]  # fmt: skip
    assert stats["total"] == len(READINGS)
    assert stats["avg_temp"] == pytest.approx(statistics.mean(r.actual_t for r in READINGS))
    assert stats["avg_humidity"] == pytest.approx(statistics.mean(r.actual_h for r in READINGS))
    assert stats["mae_temp"] == pytest.approx(statistics.mean(abs(r.actual_t - r.pred_t) for r in READINGS))
    assert stats["mae_humidity"] == pytest.approx(statistics.mean(abs(r.actual_h - r.pred_h) for r in READINGS))
    first, last = datetime.fromisoformat(stats["first_at"]), datetime.fromisoformat(stats["last_at"])
    assert before <= first <= last <= datetime.now()  # noqa: DTZ005 - created_at is local
    database.close()


def test_an_empty_database_has_totals_without_means(load: Load, database: Database) -> None:
    with page(load()) as client:
        stats = client.get("/api/stats").json()
        exported = gauges(client)

    assert stats["total"] == 0
    assert set(stats.values()) == {0, None}
    assert exported["aoii_readings_total"] == 0
    assert "aoii_avg_temp_celsius" not in exported
    assert "aoii_last_received_timestamp_seconds" not in exported


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


def test_a_hundred_recent_readings_come_when_no_limit_is_given(client: TestClient) -> None:
    assert len(client.get("/api/recent").json()) == 100


@pytest.mark.parametrize("limit", ["0", "-1", "5001", "many", "1.5", "", "1e3", "９", "9" * 5000, "1;DROP"])
def test_a_wrong_limit_is_refused_with_what_to_write(client: TestClient, limit: str) -> None:
    answer = client.get("/api/recent", params={"limit": limit})

    assert answer.status_code == 400
    assert "use a whole number from 1 to 5000, such as 100" in answer.json()["error"]
    assert len(answer.json()["error"]) < 200


def test_nodes_are_told_with_their_last_day(client: TestClient) -> None:
    def last_day() -> dict[str, object] | None:
        (node,) = client.get("/api/nodes").json()
        assert (node["node"], node["gateway"], node["readings"]) == ("7", "roof", len(READINGS))
        day: dict[str, object] | None = node["last_day"]
        return day

    until(lambda: (day := last_day()) and day["aoii"] and day["periodic"] == 1440)

    day = last_day()
    assert day is not None
    assert day["packets"] == len(READINGS)
    assert day["states"] == ["silent"]  # 2016 is long ago


def test_history_is_cut_by_time_and_says_when_more_is_there(client: TestClient) -> None:
    noon = datetime.fromtimestamp(START_MS / 1000 + 12 * 3600, UTC)
    morning = packets_of(STORY[: 12 * 60])

    whole = client.get("/api/history", params={"node": "7", "end": noon.isoformat()}).json()
    cut = client.get("/api/history", params={"start": "2016-01-01T12:00:00Z", "limit": "10"}).json()

    assert (len(whole["rows"]), whole["truncated"]) == (morning, False)
    assert (len(cut["rows"]), cut["truncated"]) == (10, True)
    assert cut["rows"][0]["counter"] == morning + 1
    assert client.get("/api/history?node=8").json()["rows"] == []


@pytest.mark.parametrize(
    ("name", "text"), [("start", "yesterday"), ("end", "2016-13-01"), ("end", "9999-12-31T23:59-12:00")]
)
def test_a_wrong_instant_is_refused_with_what_to_write(client: TestClient, name: str, text: str) -> None:
    answer = client.get("/api/history", params={name: text})

    assert answer.status_code == 400
    assert f'{name} is "{text}"; use ISO 8601' in answer.json()["error"]


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
    documented = {name for name, _, _, _ in metrics.CATALOGUE}
    beside = {name for name in exported if name.endswith("_created")}  # the library's own, of each counter
    assert set(exported) - beside <= documented | {"aoii_build_info"}


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


def test_while_the_database_is_away_everything_says_so_and_recovers_by_itself(load: Load, data_dir: Path) -> None:
    database = open_database(load().database, migrate=True)
    store(database, STORY, logs=False)
    database.close()
    hidden = data_dir / "hidden"
    hidden.mkdir()

    with page(load()) as client:
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


def test_only_the_poller_waits_for_a_database_that_is_away(load: Load) -> None:
    asked = []

    def ask(database: Database) -> None:
        asked.append(database)
        raise UnavailableError("frozen")

    told = Source(load().database)

    with pytest.raises(UnavailableError):
        told.read(ask)
    with pytest.raises(UnavailableError, match="frozen"):
        told.read(ask)
    with pytest.raises(UnavailableError):
        told.try_read(ask)

    assert len(asked) == 2


def test_a_database_that_hangs_keeps_nobody_waiting_and_nobody_from_ending(load: Load, database: Database) -> None:
    hang = threading.Event()
    asked = Source(load().database)

    with pytest.raises(UnavailableError, match="has not answered"):
        asked.read(lambda _: hang.wait(30), patience_s=0.2)
    threading.Timer(0.2, asked.stop).start()
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="being stopped"):
        asked.read(lambda _: hang.wait(30))

    assert time.monotonic() - began < 20  # not the 30 of the one that hangs
    hang.set()


def test_questions_beyond_the_limit_are_refused_and_the_places_come_back(
    load: Load, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "QUESTIONS_LIMIT", 1)
    hang = threading.Event()
    asked = Source(load().database)
    with pytest.raises(UnavailableError):
        asked.read(lambda _: hang.wait(30), patience_s=0.1)

    with pytest.raises(UnavailableError, match="wait for the database already"):
        asked.read(Database.ping)
    hang.set()

    until(lambda: answers(asked))


def answers(asked: Source) -> bool:
    try:
        asked.read(Database.ping)
    except UnavailableError:
        return False
    return True


def test_ten_pages_that_ask_for_totals_cost_one_query(
    load: Load, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "STATS_MAX_AGE_S", 60)
    counted = Source(load().database)
    first = counted.stats()
    store(database, STORY[:10], logs=False)

    assert [counted.stats() for _ in range(9)] == [first] * 9
    counted.close()


@pytest.mark.parametrize(
    "path", ["/", "/static/app.js", "/static/vendor/uPlot.iife.min.js", "/api/stats", "/metrics", "/nix"]
)
def test_every_answer_forbids_what_a_page_must_not_do(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_the_page_has_no_inline_script_or_style_and_names_no_other_server(client: TestClient) -> None:
    text = client.get("/").text

    assert not re.search(r"<script(?![^>]* src=)", text)
    assert not re.search(r"<style|\sstyle=|\son\w+=", text)
    assert "//" not in text.replace("<!doctype html>", "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(client: TestClient, method: str) -> None:
    answer = client.request(method, "/api/recent")

    assert answer.status_code == 405
    assert "error" in answer.json()


def test_an_unknown_path_is_refused_in_json(client: TestClient) -> None:
    answer = client.get("/api/reading")

    assert (answer.status_code, answer.json()) == (404, {"error": "GET /api/reading: Not Found"})


@pytest.mark.parametrize("span", ["0", "60", "day", "86401", "-3600", ""])
def test_a_wrong_span_of_the_stream_is_refused_with_the_choices(client: TestClient, span: str) -> None:
    answer = client.get("/events", params={"span": span})

    assert answer.status_code == 400
    assert "use one of 3600, 21600, 86400 (seconds)" in answer.json()["error"]


def test_a_view_that_is_none_is_refused_with_the_choices(client: TestClient) -> None:
    answer = client.get("/events", params={"view": "attic"})

    assert answer.status_code == 400
    assert "use one of fleet, node, delivery" in answer.json()["error"]


def test_one_page_too_many_is_told_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "STREAMS_LIMIT", 0)

    answer = client.get("/events")

    assert answer.status_code == 503
    assert "close one" in answer.json()["error"]


def test_no_secret_is_in_any_answer(load: Load) -> None:
    secrets = {"MYSQL_PASSWORD": "hunter2", "MQTT_PASSWORD": "hunter3"}
    values = load(MYSQL_HOST="127.0.0.1", MYSQL_PORT=free_port(), MQTT_USERNAME="web", **secrets)

    with page(values) as client:
        until(lambda: client.get("/readyz").json()["detail"])
        answers = [client.get(path).text for path in ("/healthz", "/readyz", "/api/stats", "/metrics", "/api/nodes")]

    assert not any("hunter" in answer for answer in answers)
