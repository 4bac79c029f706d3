"""Dashboards are what their source builds, and every query of theirs is one that Prometheus or MariaDB takes."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

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


@pytest.fixture(scope="module")
def schema(mariadb: MariaDB) -> str:
    """A schema with the tables of aoii and one row in each."""
    name = mariadb.new_schema()
    database = Database(Address(Path("unused"), "127.0.0.1", mariadb.port, "root", "", name), create=True)
    database.migrate()
    database.close()
    mariadb.execute(
        "INSERT INTO readings (created_at, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "
        "error_humidity, node, kind, event_time) VALUES (NOW(), 21, 40, 20, 41, 1, -1, '7', 'event', UTC_TIMESTAMP())",
        "INSERT INTO edge_log (created_at, actual_temp, actual_humidity, pred_temp, pred_humidity, error_temp, "
        "error_humidity, triggered, status, inference_time_us, node, event_time) "
        "VALUES (NOW(), 21, 40, 20, 41, 1, -1, 0, 'SKIP', 900, '7', UTC_TIMESTAMP())",
        database=name,
    )
    return name


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
def test_mariadb_takes_a_query_and_finds_the_row(where: str, text: str, schema: str, mariadb: MariaDB) -> None:
    text = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN FROM_UNIXTIME(0) AND FROM_UNIXTIME(2000000000)", text)
    text = text.replace("${node:sqlstring}", "'7'")

    assert "$" not in text
    assert len(mariadb.execute("SET time_zone = '+00:00'", text, database=schema)) == 1, where


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
