"""The shipped configuration of Prometheus and Alertmanager, checked by their own tools; each alert is complete."""

import contextlib
import json
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from aoii import settings
from aoii.runtime import health_limits, metrics
from reference_pages import metric_rows
from servers import Server, free_port, until
from web.station import WebStation

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((PROMETHEUS / "rules/alerts.yml").read_text())["groups"] for rule in group["rules"]
]
RECORDED: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules/recording.yml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in ALERTS]
CASES = yaml.safe_load((PROMETHEUS / "tests/alerts.yml").read_text())["tests"]


def says(*command: object) -> str:
    """What a tool prints; its exit code must be 0."""
    done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_passes_promtool() -> None:
    said = says("promtool", "check", "config", PROMETHEUS / "prometheus.yml")

    assert f"{len(ALERTS)} rules found" in said


def test_each_rule_passes_its_tests() -> None:
    says("promtool", "test", "rules", *sorted((PROMETHEUS / "tests").glob("*.yml")))


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    expected = [
        bool(rule["exp_alerts"]) for case in CASES for rule in case["alert_rule_test"] if rule["alertname"] == name
    ]

    assert True in expected
    assert False in expected


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_an_alert_says_how_bad_it_is_which_hop_is_at_fault_and_what_to_do(rule: dict[str, Any]) -> None:
    page = ROOT / rule["annotations"]["runbook_url"]

    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["labels"]["hop"]
    assert rule["annotations"]["summary"]
    assert page.stem == rule["alert"]
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == ["What it means", "What to do", "How it clears"]


def test_there_is_no_runbook_without_an_alert() -> None:
    assert {page.stem for page in (ROOT / "docs/runbooks").glob("*.md")} - {"README"} == set(NAMES)


@pytest.mark.parametrize("file", ["alerts.yml", "recording.yml"])
def test_rules_use_metrics_that_exist(file: str) -> None:
    text = re.sub(r"#.*|aoii-\w+|docs/\S+", "", (PROMETHEUS / "rules" / file).read_text())
    known = {row.name for row in metric_rows()}
    known |= {
        f"{name}_{end}" for name, kind, *_ in metric_rows() if kind == "histogram" for end in ("bucket", "sum", "count")
    }

    asked = set(re.findall(r"\baoii_\w+", text))

    assert asked
    assert asked <= known


def _numbers(expr: str) -> list[float]:
    """The numbers in an expression that are limits: no range, no part of a name or label, not 0 or 1."""
    bare = re.sub(r'"[^"]*"|\[\w+\]|\b[a-z_:][\w:]*', " ", expr)
    return [number for number in map(float, re.findall(r"\d+(?:\.\d+)?(?:e\d+)?", bare)) if number > 1 or number % 1]


SILENCE = [health_limits.HEARTBEAT_GRACE_S, health_limits.SILENCE_S]
LIMITS: dict[str, list[float]] = {  # of each rule, in the order of its expression; a rule that is not here has none
    "aoii:silence_limit:seconds": [*SILENCE, health_limits.SILENCE_S],
    "aoii:packets:per_minute": [60],  # seconds of a minute
    "aoii:commit_ack_seconds:p95": [0.95],
    "aoii:end_to_end_latency_seconds:p95": [0.95],
    "NodeReadingsWaiting": [health_limits.WAITING_READINGS],
    "AoiiHigh": [health_limits.AOII_HIGH_S],
    "ErrorHigh": [health_limits.ERROR_HIGH_FACTOR] * 2,
    "GatewaysCollide": [health_limits.NEIGHBOUR_SIGNS] * 2,
    "BrokerUnstable": [health_limits.SHORT_CONNECTIONS],
    "AuditStalled": [health_limits.AUDIT_LOOK_LATE_S],
    "AuditUnanswered": [health_limits.AUDIT_ANSWER_LATE_S],
    "OutboxOld": [health_limits.OUTBOX_OLD_S],
    "OutboxGrowing": [health_limits.OUTBOX_GROWING_READINGS],
    "OutboxFilling": [health_limits.FULL_SOON_S],
    "DeadLettersFilling": [health_limits.FULL_SOON_S],
    "OutboxFull": [health_limits.OUTBOX_FULL_SHARE],
    "ClockUnsynchronised": [health_limits.CLOCK_OFFSET_S],
    "DiskFilling": [
        health_limits.DISK_LOW_BYTES,
        health_limits.DISK_FORECAST_S,
        health_limits.DISK_FORECAST_FREE_SHARE,
    ],
    "CertificateExpiring": [health_limits.CERTIFICATE_DAYS, health_limits.DAY_S],
}


def test_every_number_in_a_rule_is_a_limit_that_page_and_doctor_share() -> None:
    found = {rule.get("alert") or rule["record"]: _numbers(rule["expr"]) for rule in [*ALERTS, *RECORDED]}

    assert {name: numbers for name, numbers in found.items() if numbers} == LIMITS


@pytest.mark.parametrize("file", ["alerts.yml", "recording.yml"])
def test_rules_use_no_old_name_of_a_metric(file: str) -> None:
    text = (PROMETHEUS / "rules" / file).read_text()

    assert not [old for old in metrics.RENAMED if re.search(rf"\b{old}", text)]


def test_every_station_is_scraped_at_its_default_port() -> None:
    (job, _) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    usual = settings.load({}, None)
    ports = {
        "web": usual.web.port,
        "gateway": usual.gateway.status_port,
        "server": usual.server.status_port,
        "csv": usual.server.csv_status_port,
        "edgelog": usual.server.edge_log_status_port,
    }

    asked = {entry["labels"]["station"]: entry["targets"] for entry in job["static_configs"]}

    assert job["job_name"] == "aoii-gateway"  # of the older installation, whose panels ask for it
    assert asked == {name: [f"127.0.0.1:{port}"] for name, port in ports.items()}


class Prometheus(Server):
    """A private Prometheus with this configuration."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        super().__init__(folder)
        self._config = config

    def command(self) -> list[str]:
        """Write the configuration; the command that reads it."""
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(self._config))
        return [
            "prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]  # fmt: skip

    def targets(self) -> list[dict[str, Any]]:
        """The targets, with their labels, `health`, and what went wrong."""
        url = f"http://127.0.0.1:{self.port}/api/v1/targets"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=20) as answer:
            return list(json.load(answer)["data"]["activeTargets"])
        return []


def guide_job(guide: str, folder: Path, page: WebStation, token: str) -> dict[str, Any]:
    """The configuration of the guide, with the address and the token of a test."""
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    (job,) = config["scrape_configs"]
    if "credentials" in job["authorization"]:
        job["authorization"] = {"credentials": token}
    else:
        (folder / "token").write_text(token + "\n")
        assert job["authorization"].keys() == {"credentials_file"}
        job["authorization"]["credentials_file"] = str(folder / "token")
    job["static_configs"][0]["targets"] = [f"127.0.0.1:{page.port}"]
    return config | {"global": {"scrape_interval": "5s", "scrape_timeout": "5s"}}


@pytest.mark.parametrize(
    ("guide", "token", "health", "labels"),
    [
        ("howto/MONITORING.md", "of the page, long", "up", {"station": "web"}),
        ("howto/MONITORING.md", "of another page", "down", {"station": "web"}),
        ("howto/move-from-the-older-installation.md", "of the page, long", "up", {}),
    ],
)
def test_the_guide_lets_prometheus_scrape_a_page_with_a_token(
    guide: str, token: str, health: str, labels: dict[str, str], tmp_path: Path
) -> None:
    page = WebStation(tmp_path / "web", WEB_TOKEN="of the page, long", MQTT_PORT=free_port())  # noqa: S106
    with page, Prometheus(tmp_path / "prometheus", guide_job(guide, tmp_path, page, token)) as prometheus:
        until(lambda: [one for one in prometheus.targets() if one["health"] != "unknown"], 60)
        (target,) = prometheus.targets()

    assert (target["health"], target["lastError"]) == (
        health, "" if health == "up" else "server returned HTTP status 401 Unauthorized",
    )  # fmt: skip
    assert target["labels"] == {"instance": f"127.0.0.1:{page.port}", "job": "aoii-gateway"} | labels


@pytest.mark.parametrize("inside", ["data", "", "deploy/../.prometheus", "link"])
def test_data_inside_the_project_is_refused(inside: str, tmp_path: Path) -> None:
    folder = ROOT / inside
    if inside == "link":
        folder = tmp_path / "link"
        folder.symlink_to(ROOT / "data")

    done = subprocess.run([PROMETHEUS / "start", folder], check=False, capture_output=True, text=True)

    assert done.returncode == 2
    assert "inside the project" in done.stderr


def test_data_elsewhere_is_accepted_and_limited(tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "prometheus"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)

    environment = {"PATH": f"{fake.parent}:/usr/bin:/bin", "HOME": "/nonexistent"}
    command = [str(PROMETHEUS / "start"), str(tmp_path / "metrics"), "--log.level=warn"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.splitlines()

    assert f"--storage.tsdb.path={tmp_path / 'metrics'}" in said
    assert {"--storage.tsdb.retention.time=400d", "--storage.tsdb.retention.size=10GB", "--log.level=warn"} <= set(said)
    assert "--web.listen-address=127.0.0.1:9090" in said
    assert (tmp_path / "metrics").is_dir()


def test_the_configuration_of_alertmanager_passes_amtool() -> None:
    says("amtool", "check-config", ALERTMANAGER)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=critical", "person-on-duty"),
        ("severity=warning", "mail"),
        ("severity=info", "nobody"),
        ("alertname=SomethingElse", "mail"),
    ],
)
def test_an_alert_reaches_its_receiver(labels: str, receiver: str) -> None:
    said = says("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", labels)

    assert said.split() == [receiver]


def test_inhibitions_name_alerts_that_exist() -> None:
    named = re.findall(r'alertname=~?"([^"]+)"', ALERTMANAGER.read_text())

    assert {name for names in named for name in names.split("|")} <= set(NAMES)
