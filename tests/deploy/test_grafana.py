"""Dashboards are what their source builds, and every query of theirs is one that Prometheus or MariaDB takes."""

import importlib.util
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from aoii.runtime import metrics
from aoii.server.db import Database
from aoii.settings import Database as Address
from reference_pages import metric_rows
from servers import MariaDB

ROOT = Path(__file__).parent.parent.parent
GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
TARGETS = [
    (f"{name}: {panel['title']}", target)
    for name, board in BOARDS.items()
    for panel in board["panels"]
    for target in panel["targets"]
]
PROMQL = [(where, target["expr"]) for where, target in TARGETS if "expr" in target]
SQL = [(where, target["rawSql"]) for where, target in TARGETS if "rawSql" in target]


@pytest.fixture(scope="module")
def source() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", GRAFANA / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LIVE, DEMO, OLDER, PAST = "7", "8", "9", "6"
WHEN = "created_at, created_utc, event_time"
TIMES = {  # created_at, created_utc and event_time of a row of each node
    LIVE: ("NOW()", "UTC_TIMESTAMP()", "UTC_TIMESTAMP()"),
    DEMO: ("UTC_TIMESTAMP()", "UTC_TIMESTAMP()", "'2016-01-01 12:00:00'"),  # of a server in another zone
    OLDER: ("NOW()", "NULL", "NULL"),
    PAST: ("NOW() - INTERVAL 3 DAY", "NULL", "UTC_TIMESTAMP() - INTERVAL 3 DAY"),
}


@pytest.fixture(scope="module")
def seoul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A database on a machine whose zone is not UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Seoul")
        server = MariaDB(tmp_path_factory.mktemp("seoul"))
        server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def schema(seoul: MariaDB) -> str:
    """A schema with the tables of aoii, and in each a row of each node of `TIMES`."""
    name = seoul.new_schema()
    database = Database(Address(Path("unused"), "127.0.0.1", seoul.port, "root", "", name), create=True)
    database.migrate()
    database.close()
    for node, times in TIMES.items():
        seoul.execute(  # all of it is ours
            f"INSERT INTO readings ({WHEN}, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "  # noqa: S608
            f"error_humidity, node, kind) VALUES ({', '.join(times)}, 21, 40, 20, 41, 1, -1, '{node}', 'event')",
            f"INSERT INTO edge_log ({WHEN}, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "  # noqa: S608
            "error_humidity, triggered, status, inference_time_us, node) "
            f"VALUES ({', '.join(times)}, 21, 40, 20, 41, 1, -1, 0, 'SKIP', 900, '{node}')",
            database=name,
        )
    return name


def of_the_last_day(seoul: MariaDB, schema: str, text: str, node: str = LIVE) -> list[tuple[object, ...]]:
    """The rows of a query, with Grafana's macros for the range of the last day in their places."""
    now_s = int(time.time())
    begin, end = f"FROM_UNIXTIME({now_s - 86400})", f"FROM_UNIXTIME({now_s + 60})"
    text = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN {begin} AND {end}", text)
    text = text.replace("$__timeFrom()", begin).replace("$__timeTo()", end)
    text = text.replace("${node:sqlstring}", f"'{node}'")
    assert "$" not in text
    return seoul.execute("SET time_zone = '+00:00'", text, database=schema)  # as the data source does


def test_the_dashboards_are_what_their_source_builds(source: ModuleType) -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FILES} == source.built()


def test_there_is_a_dashboard_for_each_question() -> None:
    assert BOARDS.keys() == {"fleet", "node", "delivery", "learning"}
    assert {board["uid"] for board in BOARDS.values()} == {f"aoii-{name}" for name in BOARDS}
    assert [panel["title"] for board in BOARDS.values() for panel in board["panels"] if not panel["description"]] == []


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": expr.replace("$node", "7")} for number, (_, expr) in enumerate(PROMQL)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))

    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(PROMQL)} rules found" in done.stdout


@pytest.mark.parametrize(("where", "expr"), PROMQL, ids=[where for where, _ in PROMQL])
def test_a_query_asks_for_metrics_and_labels_that_exist(where: str, expr: str) -> None:
    labels = {row.name: set(filter(None, row.labels.split(", "))) for row in metric_rows()}
    for name, kind, *_ in metric_rows():
        if kind == "histogram":
            labels |= {f"{name}_{end}": labels[name] | {"le"} for end in ("bucket", "sum", "count")}
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules/recording.yml").read_text())["groups"][0]["rules"]
    recorded = {rule["record"] for rule in rules}

    asked = set(re.findall(r"\b(?:aoii[_:][\w:]+|up|ALERTS)\b", re.sub(r'"[^"]*"', '""', expr)))
    selected = re.findall(r"\b(aoii_\w+)\{([^}]*)\}", expr)

    assert asked, where
    assert not [old for old in metrics.RENAMED if old in expr]
    assert asked <= labels.keys() | recorded | {"up", "ALERTS"}
    for name, matchers in selected:
        assert set(re.findall(r"(\w+)=", matchers)) <= labels[name]


def test_the_choice_of_a_node_asks_for_a_label_that_exists() -> None:
    (choice,) = BOARDS["node"]["templating"]["list"]

    assert choice["query"] == "label_values(aoii_node_readings_total, node)"
    assert ("aoii_node_readings_total", "counter", "node, kind") in [row[:3] for row in metric_rows()]


@pytest.mark.parametrize(("where", "text"), SQL, ids=[where for where, _ in SQL])
def test_mariadb_takes_a_query_and_finds_what_came_in_the_range(
    where: str, text: str, schema: str, seoul: MariaDB
) -> None:
    """Rows of a demo have dates of 2016, and those of the older installation none: both stand where they came."""
    if "${node" in text:
        found = {node: len(of_the_last_day(seoul, schema, text, node)) for node in TIMES}
        assert found == {LIVE: 1, DEMO: 1, OLDER: 1, PAST: 0}
    elif "COUNT(*) AS value" in text:
        assert [row[2] for row in of_the_last_day(seoul, schema, text)] == [3]
    else:
        values = {value for row in of_the_last_day(seoul, schema, text) for value in row if isinstance(value, str)}
        assert {LIVE, DEMO, OLDER} == values & TIMES.keys()


@pytest.mark.parametrize("node", [LIVE, DEMO, OLDER])
def test_the_time_of_a_row_is_utc_wherever_the_database_is(node: str, schema: str, seoul: MariaDB) -> None:
    (text,) = [text for where, text in SQL if where == "node: Temperature"]

    ((shown, *_),) = of_the_last_day(seoul, schema, text, node)

    assert isinstance(shown, datetime)
    assert abs(shown.replace(tzinfo=UTC).timestamp() - time.time()) < 3600


def test_queries_go_to_sources_that_are_provisioned() -> None:
    file = GRAFANA / "provisioning/datasources/aoii.yaml"
    sources = {one["uid"]: one["type"] for one in yaml.safe_load(file.read_text())["datasources"]}

    asked = {(target["datasource"]["uid"], target["datasource"]["type"]) for _, target in TARGETS}

    assert asked == set(sources.items())


def test_the_provider_takes_the_dashboards_from_a_folder_and_lets_nobody_change_them() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/aoii.yaml").read_text())["providers"]

    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["options"]["path"]


# What stations serve in health: a node with a battery has sent one reading, and nothing has failed.
HEALTHY = """
from prometheus_client import generate_latest
from aoii.broker.messages import Identity
from aoii.broker.node_liveness import Vouched
from aoii.broker.node_status import NodeStatus
from aoii.core.forecast import Trend
from aoii.core.frames import EVENT, Uplink
from aoii.gateway.node_metrics import NodeMetrics
from aoii.gateway.readings import AcceptedReading
from aoii.runtime import metrics
from aoii.settings import load
nodes = NodeMetrics(load({}, None).gateway)
nodes.expect("7")
nodes.record_frame(Uplink(7, 1, 1, 1, 0, 2100, 4000, Trend(0, 0, 0, 0, 0), EVENT, 0, 150, 0), -90, 7)
nodes.record_reading(AcceptedReading(Identity("7", 1, 1), "event", 21.0, 40.0, (20.0, 41.0), 0, True, held_ms=0))
nodes.count_periods(["7"], 60)
nodes.record_status(NodeStatus("7", "gateway", Vouched("ok"), 0, 7200, None, 300))
metrics.SERIAL_UP.labels(port="/dev/ttyUSB0").set(1)
metrics.CLOCK_OFFSET_S.labels(gateway="gateway").set(0)
metrics.DEAD_LETTERS.labels(reason="mismatch").set(0)  # as the server does at its start, for every reason
metrics.LEDGER_NUMBERS.labels(part="lost").set(0)  # as the server does when it has counted, for every part
for station in ("gateway", "server"):
    print(generate_latest(metrics.BY_STATION[station]).decode())
for metric, declared in metrics.DECLARED.items():
    if not declared.registries:  # of the page, whose values come from the database
        print(declared.name, 1)
"""
NOT_IN_HEALTH = {"node: Clock of an old node"}  # this node is none; the panel says so


def _healthy_series() -> list[dict[str, str]]:
    done = subprocess.run([sys.executable, "-c", HEALTHY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = {}
    for family in text_string_to_metric_families(done.stdout + "\n"):
        for sample in family.samples:
            labels = sample.labels | {"job": "aoii-gateway", "station": "gateway", "instance": "g"}
            text = ",".join(f"{name}={json.dumps(value)}" for name, value in labels.items())
            found[f"{sample.name}{{{text}}}"] = sample.value
    found['up{job="aoii-gateway",station="gateway",instance="g"}'] = 1
    steps = {name: 1 if name.startswith("aoii_node_sample_periods_total") else 0 for name in found}
    return [{"series": name, "values": f"{value:g}+{steps[name]}x60"} for name, value in found.items()]


def test_no_panel_is_empty_in_health(tmp_path: Path) -> None:
    """Least of all those of what does not happen in health, which show 0: duplicates, rejections, lost connections."""
    is_there = [
        {"expr": f"count({expr.replace('$node', '7')}) > bool 0", "eval_time": "40m",
         "exp_samples": [{"labels": "{}", "value": 1}]}
        for where, expr in PROMQL if where not in NOT_IN_HEALTH
    ]  # fmt: skip

    _promtool(tmp_path, [{"interval": "1m", "input_series": _healthy_series(), "promql_expr_test": is_there}])


def test_the_share_of_a_periodic_fleet_is_that_of_the_history_at_hand_and_of_its_sample_period(tmp_path: Path) -> None:
    """Two hours of a node that samples every 30 s, 240 times, and sends 36 of these: 15 %."""
    (expr,) = [expr for where, expr in PROMQL if where == "learning: Share of a periodic fleet"]
    counters = {'aoii_node_readings_total{node="7",kind="event"}': 0.3, 'aoii_node_sample_periods_total{node="7"}': 2}
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"0+{step}x120"} for name, step in counters.items()],
        "promql_expr_test": [
            {"expr": f"round({expr}, 0.0001)", "eval_time": "2h", "exp_samples": [{"labels": "{}", "value": 0.15}]}
        ],
    }
    _promtool(tmp_path, [case])


def _promtool(folder: Path, cases: list[dict[str, Any]]) -> None:
    """Let promtool evaluate `cases`, with the recording rules."""
    file = folder / "cases.yml"
    rules = [str(ROOT / "deploy/prometheus/rules/recording.yml")]
    file.write_text(yaml.safe_dump({"rule_files": rules, "evaluation_interval": "1m", "tests": cases}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
