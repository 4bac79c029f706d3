"""What a demo gives its stations: a folder, the whole channel model, and no TLS for the embedded broker."""

import contextlib
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import demo_settings
from aoii.commands.demo_settings import Options, Ports
from aoii.security import node_keys
from aoii.server.db import open_database
from aoii.settings.channel import Burst, ChannelModel
from aoii.simulation import recordings
from server.samples import a_reading

PORTS = Ports(20_001, 20_002, 20_003, 20_004, 20_005, 20_006)


def environment(folder: Path, environ: dict[str, str], channel: ChannelModel | None = None) -> dict[str, str]:
    options = Options(None, 120, 2, channel or ChannelModel(), None, 1, True, None, 0, 0)
    series = recordings.parse()[0]
    return demo_settings.station_environment(settings.load(environ), options, folder, series, 1.0, 0.0, PORTS)


@pytest.mark.parametrize(("broker", "is_kept"), [({}, False), ({"MQTT_BROKER": "broker.example"}, True)])
def test_the_demos_own_broker_is_reached_without_tls(tmp_path: Path, broker: dict[str, str], is_kept: bool) -> None:
    (tmp_path / "ca.crt").touch()
    environ = broker | {"MQTT_TLS_CA": str(tmp_path / "ca.crt")}

    told = settings.load(environ | environment(tmp_path, environ))

    assert (told.mqtt.tls is not None) == is_kept


def test_a_demo_on_a_shared_broker_has_topics_of_its_own(tmp_path: Path) -> None:
    shared = settings.load(environment(tmp_path, {"MQTT_BROKER": "broker.example", "MQTT_PORT": "1884"}))
    own = settings.load(environment(tmp_path, {}))

    assert (shared.mqtt.host, shared.mqtt.port, shared.mqtt.namespace) == ("broker.example", 1884, "demo")
    assert (own.mqtt.host, own.mqtt.port, own.mqtt.namespace) == ("127.0.0.1", PORTS.broker, "")


def test_the_stations_write_to_the_folder_of_the_demo_alone(tmp_path: Path) -> None:
    users = dict.fromkeys(("EDGE_RECEIVER_LINK", "EDGE_LOG_LINK", "CSV_FILE"), "/elsewhere")

    told = settings.load(users | environment(tmp_path, users))

    paths = (
        told.database.sqlite_path, told.gateway.outbox_path, told.gateway.node_keys_file, told.server.csv_file,
        told.server.dead_letter_path, told.edge.receiver_link, told.edge.log_link, told.edge.report_file,
    )  # fmt: skip
    assert all(path.is_relative_to(tmp_path) for path in paths)


def test_recording_and_weights_of_the_users_file_are_not_the_demos(tmp_path: Path) -> None:
    (tmp_path / "users").touch()
    users = dict.fromkeys(("EDGE_RECORDING", "MIRROR_WEIGHTS"), str(tmp_path / "users"))

    told = settings.load(users | environment(tmp_path, users))

    assert (told.edge.recording, told.gateway.mirror_weights) == (None, None)


def test_the_whole_channel_model_is_passed_whatever_the_users_file_asks_for(tmp_path: Path) -> None:
    wanted = ChannelModel(0.1, 0.2, Burst(0.05, 120.0), 0.3, 1.5, 0.4, "capture", 7)
    users = {"EDGE_LOSS": "0.9", "EDGE_LOSS_BURST": "0.5:9", "EDGE_REORDER": "1", "EDGE_NEIGHBOURS": "50"}

    assert settings.load(users | environment(tmp_path, users, wanted)).edge.channel == wanted
    assert settings.load(users | environment(tmp_path, users)).edge.channel == ChannelModel()


def test_free_ports_are_all_different_and_none_that_an_outgoing_connection_could_take() -> None:
    ports = [port for _ in range(20) for port in demo_settings.free_ports()]

    assert all(
        len(set(ports[at : at + len(Ports._fields)])) == len(Ports._fields)
        for at in range(0, len(ports), len(Ports._fields))
    )
    assert max(ports) < 32_768  # where Linux begins
    assert max(demo_settings.free_port("127.0.0.1") for _ in range(20)) < 32_768


def test_an_address_that_is_none_of_ours_has_no_free_port() -> None:
    with pytest.raises(OSError, match="address"):
        demo_settings.free_port("192.0.2.1")


def test_the_nodes_of_a_second_run_have_a_later_epoch(tmp_path: Path) -> None:
    told = settings.load(environment(tmp_path, {}))
    first = demo_settings.provision_nodes(told, 2)
    with contextlib.closing(open_database(told.database)) as database:
        database.insert_reading(a_reading(counter=5))  # of epoch 1

    second = demo_settings.provision_nodes(told, 2)

    assert (first, second) == (1, 2)
    assert {number: key.epoch for number, key in node_keys.read_key_file(told.gateway.node_keys_file).items()} == {
        1: 2,
        2: 2,
    }


def test_a_demo_reads_no_file_that_only_one_station_of_an_installation_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("WEB_HOST=shared.example\n")
    (tmp_path / ".env.web").write_text("WEB_HOST=web.example\n")

    file = demo_settings.shared_file(None, tmp_path)

    assert settings.load({}, file, "web").web.host == "shared.example"


def test_a_demo_needs_no_file_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert settings.load({}, demo_settings.shared_file(None, tmp_path), "web").given == frozenset()


def test_the_page_listens_where_the_demo_says(tmp_path: Path) -> None:
    assert settings.load(environment(tmp_path, {"PORT": "5099"})).web.port == 5099
    assert environment(tmp_path, {})["PORT"] == "5001"  # said even if nobody has set it: it may be another one
