"""A real Prometheus and a real Alertmanager over the stations of a stack, with shipped rules and routes, in a hurry.

The rules are the shipped ones with shorter windows: `for`, ranges and the three limits in seconds. Whoever is told
something is told here, by webhook, in the place of people.
"""

import contextlib
import json
import re
import shutil
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from servers import Server, until

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
SCRAPE_S = 2
HOLD_S = 3
WINDOW_S = 12
SILENT_S = 10
OLD_S = 5
TIMEOUT_S = 30


def shortened(rules: str) -> str:
    """Rules with their windows shortened; says no when a rule has a limit in seconds that it does not know."""
    rules = re.sub(r"^( +for:) \w+$", rf"\1 {HOLD_S}s", rules, flags=re.MULTILINE)
    rules = re.sub(r"\[\d+[smhd]\]", f"[{WINDOW_S}s]", rules)
    rules = rules.replace(
        "aoii_node_heartbeat_seconds) + 120, 600) or vector(600)", f"up) * 0 + {SILENT_S}, {SILENT_S})"
    )
    rules = rules.replace("aoii_node_heartbeat_seconds + 120, 600)", f"aoii_node_heartbeat_seconds * 0, {SILENT_S})")
    return rules.replace("aoii_outbox_oldest_age_seconds > 300", f"aoii_outbox_oldest_age_seconds > {OLD_S}")


def _asked(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - one of ours
        return json.load(answer)


class Prometheus(Server):
    """Prometheus with the shipped rules, shortened.

    Args:
        folder: For its files.
        stations: Their status ports.
        alertmanager: Its port.
    """

    def __init__(self, folder: Path, stations: dict[str, int], alertmanager: int) -> None:
        super().__init__(folder)
        self._stations = stations
        self._alertmanager = alertmanager

    def command(self) -> list[str]:
        """Write the configuration; the command that reads it."""
        shipped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
        (job, _) = shipped["scrape_configs"]
        job["static_configs"] = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"station": name}} for name, port in self._stations.items()
        ]
        times = ("scrape_interval", "scrape_timeout", "evaluation_interval")
        config = shipped | {"global": dict.fromkeys(times, f"{SCRAPE_S}s"), "scrape_configs": [job]}
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{self._alertmanager}"]
        rules = self.folder / "rules"
        rules.mkdir(exist_ok=True)
        for path in (DEPLOY / "prometheus/rules").glob("*.yml"):
            (rules / path.name).write_text(shortened(path.read_text()))
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        return [
            "prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
            "--rules.alert.resend-delay=2s",
        ]  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers questions."""
        super().start()
        until(self._is_ready, 60, "Prometheus is ready")

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(_asked(f"http://127.0.0.1:{self.port}/api/v1/alerts")["status"] == "success")
        return False

    def has_seen_every_station(self) -> bool:
        """Whether each has been up at an evaluation of the rules; an alert is about no other."""
        seen = _asked(f"http://127.0.0.1:{self.port}/api/v1/query?query=aoii:station:seen")["data"]["result"]
        return {one["metric"]["station"] for one in seen} == set(self._stations)

    def firing(self) -> dict[str, dict[str, str]]:
        """Labels of what fires now, by the alert's name."""
        alerts = _asked(f"http://127.0.0.1:{self.port}/api/v1/alerts")["data"]["alerts"]
        return {alert["labels"]["alertname"]: alert["labels"] for alert in alerts if alert["state"] == "firing"}


class Alertmanager(Server):
    """Alertmanager with the shipped routes and inhibitions, and one webhook in the place of all receivers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.told: list[tuple[str, str]] = []  # the alert's name, and firing or resolved
        self._hook = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._hook.serve_forever, name="webhook", daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.extend((alert["labels"]["alertname"], alert["status"]) for alert in content["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        return Handler

    def command(self) -> list[str]:
        """Write the configuration; the command that reads it."""
        config = yaml.safe_load((DEPLOY / "alertmanager/alertmanager.yml").read_text())
        for route in (config["route"], *config["route"]["routes"]):
            route.update(group_wait="1s", group_interval="2s")
        hook = {"url": f"http://127.0.0.1:{self._hook.server_port}/", "send_resolved": True}
        config["receivers"] = [{"name": one["name"], "webhook_configs": [hook]} for one in config["receivers"]]
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
        name = shutil.which("prometheus-alertmanager") or "alertmanager"
        return [
            name, f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=warn",
        ]  # fmt: skip

    def suppressed(self) -> set[str]:
        """Alerts of which nobody is told, because another one explains them."""
        alerts = _asked(f"http://127.0.0.1:{self.port}/api/v2/alerts")
        return {alert["labels"]["alertname"] for alert in alerts if alert["status"]["state"] == "suppressed"}

    def kill(self) -> None:
        """End it, and the webhook."""
        super().kill()
        self._hook.shutdown()
        self._hook.server_close()
