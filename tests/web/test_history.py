"""History by range: nothing of a short one is lost, no extreme of a long one, and no line goes over a hole."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from aoii import settings
from aoii.core.errors import InputError
from aoii.runtime.clock import utc
from aoii.server.db import Database, open_database
from aoii.server.rows import ChartColumn, EdgeLogRow
from aoii.settings import Settings
from aoii.web import history
from aoii.web.app import create_app
from aoii.web.history import Range, envelope, read_history
from servers import MariaDB
from web.recorded import FLEET_SETTINGS, PERIOD_MS, START_MS, Minute, minutes, packets_of, store

Load = Callable[..., Settings]
DAY_MS = 86_400_000
WEEK = Range(START_MS, START_MS + 7 * DAY_MS)


def week(node: str = "7", days: int = 7) -> list[EdgeLogRow]:
    """A log of a week: the recorded day again and again, with a night's hole and one spike."""
    day = [minute.log for minute in minutes(node)]
    rows = [
        replace(row, event_time=(row.event_time or datetime.min) + timedelta(days=number))  # noqa: DTZ901 - never used
        for number in range(days)
        for row in day
    ]
    spike = replace(rows[5000], actual_temp=61.5)
    return [*rows[:3000], *rows[3600:5000], spike, *rows[5001:]]


@pytest.fixture(params=["sqlite", "mariadb"])
def place(request: pytest.FixtureRequest, load: Load) -> settings.Database:
    if request.param == "sqlite":
        return load().database
    server: MariaDB = request.getfixturevalue("mariadb")
    return load(MYSQL_HOST="127.0.0.1", MYSQL_PORT=server.port, MYSQL_DATABASE=server.new_schema()).database


def test_a_long_range_keeps_every_extreme_and_every_hole(place: settings.Database) -> None:
    rows = week()
    database = open_database(place, migrate=True)
    database.insert_edge_log(rows)
    database.insert_edge_log([minute.log for minute in minutes("8")])

    found = read_history(database, "7", WEEK, FLEET_SETTINGS)
    database.close()

    line = found["measured"]
    assert isinstance(line, list)
    drawn = [point for point in line if point[1] is not None]
    assert (found["exact"], len(drawn) < 1500) == (False, True)
    assert max(point[2] for point in drawn) == 61.5
    assert min(point[1] for point in drawn) == min(row.actual_temp for row in rows)
    assert min(point[3] for point in drawn) == min(row.actual_humidity for row in rows)
    assert line.pop()[1] is None  # the line ends
    holes = [
        (before[0], after[0]) for before, gap, after in zip(line, line[1:], line[2:], strict=False) if gap[1] is None
    ]
    assert holes == [(START_MS + 2999 * PERIOD_MS, START_MS + 3600 * PERIOD_MS)]
    summary = found["summary"]
    assert isinstance(summary, dict)
    assert (summary["samples"], summary["packets"], summary["periodic"]) == (len(rows), 0, 7 * 1440)


def test_a_short_range_has_every_point_and_the_summary_of_the_live_view(place: settings.Database) -> None:
    story = list(minutes("7", loses_every=7))
    database = open_database(place, migrate=True)
    store(database, story)

    found = read_history(database, "7", Range(START_MS + 6 * 3_600_000, START_MS + 9 * 3_600_000), FLEET_SETTINGS)
    database.close()

    part = story[360:540]
    assert (found["exact"], len(found["samples"]), len(found["packets"])) == (True, 180, packets_of(part))  # type: ignore[arg-type]  # lists
    summary = found["summary"]
    assert isinstance(summary, dict)
    assert (summary["packets"], summary["periodic"], summary["aoii"]["basis"]) == (packets_of(part), 180, "log")
    assert summary["aoii"]["wrong"] > 0


def test_rows_without_event_time_are_found_by_their_local_time_of_insert(place: settings.Database) -> None:
    database = open_database(place, migrate=True)
    at = datetime(2026, 3, 1, 12, 0)  # noqa: DTZ001 - local, as in the database
    row = next(iter(minutes("old/tty"))).log
    database.insert_edge_log(
        [replace(row, event_time=None, created_at=at + timedelta(minutes=n), actual_temp=n / 100) for n in range(4000)]
    )
    now_ms = round(at.timestamp() * 1000)

    long = read_history(database, "old/tty", Range(now_ms, now_ms + 3 * DAY_MS), FLEET_SETTINGS)
    short = read_history(database, "old/tty", Range(now_ms, now_ms + 3_600_000), FLEET_SETTINGS)
    database.close()

    line, samples = long["measured"], short["samples"]
    assert isinstance(line, list)
    assert isinstance(samples, list)
    assert line[0][0] == now_ms
    assert [sample[1] for sample in samples] == [n / 100 for n in range(60)]


def column(minute: int, rows: int = 1, last: int | None = None, temp: float = 20.0) -> ChartColumn:
    first = utc(START_MS + minute * PERIOD_MS)
    return ChartColumn(first, utc(START_MS + (last or minute) * PERIOD_MS), rows, temp, temp, 40.0, 40.0)


def test_a_gap_of_more_than_three_periods_cuts_the_line() -> None:
    line = list(envelope([column(0), column(3), column(7)], 3 * PERIOD_MS))

    assert [point[1] for point in line] == [20.0, 20.0, None, 20.0, None]


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=200, unique=True), st.integers(1, 400))
def test_no_line_ever_joins_two_samples_over_a_gap_that_is_wider_than_a_column(times: list[int], width: int) -> None:
    times.sort()
    stretches: dict[int, list[int]] = {}
    for minute in times:
        stretches.setdefault(minute // width, []).append(minute)
    columns = [column(of[0], len(of), of[-1]) for of in stretches.values()]

    line = list(envelope(columns, 3 * PERIOD_MS))

    for before, after in itertools.pairwise(times):
        if after // width == before // width or after - before <= 3:
            continue
        between = [
            point for point in line if START_MS + before * PERIOD_MS < (point[0] or 0) < START_MS + after * PERIOD_MS
        ]
        assert [point[1] for point in between] == [None]
    assert {point[0] for point in line} >= {START_MS + times[0] * PERIOD_MS, START_MS + times[-1] * PERIOD_MS}


@pytest.fixture
def client(load: Load, database: Database) -> TestClient:
    store(database, STORY)
    return TestClient(create_app(load()))


STORY: list[Minute] = list(minutes("7", count=300))


def test_the_page_asks_for_a_node_and_two_instants(client: TestClient) -> None:
    answer = client.get(
        "/api/series", params={"node": "7", "start": "2016-01-01T01:00:00Z", "end": "2016-01-01T02:00Z"}
    )

    assert len(answer.json()["samples"]) == 60


def test_a_node_or_a_range_without_rows_is_empty(client: TestClient) -> None:
    answer = client.get("/api/series", params={"node": "9", "start": "2016-01-01", "end": "2016-01-02"})

    assert (answer.json()["samples"], answer.json()["summary"]) == ([], None)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"node": "7"}, "node, start and end are needed"),
        ({"node": "7", "start": "2016-01-02", "end": "2016-01-01"}, "start is not before end"),
        ({"node": "7", "start": "1916-01-02", "end": "2016-01-01"}, "longer than 20 years"),
        ({"node": "7", "start": "soon", "end": "2016-01-01"}, "use ISO 8601"),
    ],
)
def test_an_unusable_range_is_refused_with_what_to_write(client: TestClient, wanted: dict[str, str], said: str) -> None:
    answer = client.get("/api/series", params=wanted)

    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(InputError):
        Range(5, 5)
    assert history.RANGE_LIMIT_S > 366 * 86400
