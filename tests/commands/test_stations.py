"""The commands of the stations: each runs its own station with the settings, and dies with its parent if it has one."""

from pathlib import Path

import pytest

from aoii.commands import main, stations
from aoii.runtime import shutdown
from aoii.settings import STATIONS, Settings


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("edge", "aoii.simulation.fleet"),
        ("gateway", "aoii.gateway.gateway"),
        ("server", "aoii.server.mqtt_to_mysql"),
        ("csv", "aoii.server.mqtt_to_csv"),
        ("edgelog", "aoii.server.edge_log"),
        ("web", "aoii.web.app"),
    ],
)
def test_a_command_runs_its_station_with_its_own_settings(
    name: str, runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def run(values: Settings) -> int:
        seen.append(values.mqtt.host)
        return 5

    monkeypatch.setattr(f"{runs}.run", run)
    monkeypatch.setattr(shutdown, "end_with_parent", lambda: seen.append("end_with_parent"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MQTT_BROKER=shared.example\n")
    (tmp_path / f".env.{name}").write_text("MQTT_BROKER=broker.example\n")
    monkeypatch.setattr("aoii.runtime.logs.configure", lambda *_, **__: None)

    assert main.main([name]) == 5
    assert seen == ["end_with_parent", "broker.example"]


def test_every_station_is_a_command_once_and_may_have_a_file_of_its_own() -> None:
    names = [name for name, *_ in stations.STATIONS]

    assert sorted(names) == sorted(STATIONS)
