"""Kinds of values: lists, outages, names and private files."""

import pytest

from aoii import settings
from aoii.settings import kinds
from aoii.settings.channel import Burst
from aoii.settings.kinds import KindError
from settings.samples import faults, private


def test_the_page_may_be_told_where_stations_and_which_nodes_are() -> None:
    web = settings.load({"WEB_STATIONS": "gateway=10.0.0.5:5011, server=[::1]:5012", "WEB_NODES": "1-3,9,roof/tty"}).web

    assert [(at.station, at.host, at.port) for at in web.stations] == [
        ("gateway", "10.0.0.5", 5011),
        ("server", "::1", 5012),
    ]
    assert web.nodes == ("1", "2", "3", "9", "roof/tty")
    assert "write STATION=HOST:PORT" in faults({"WEB_STATIONS": "printer=10.0.0.5:1"})[0]
    assert "at most 500 nodes" in faults({"WEB_NODES": "1-501"})[0]
    assert "at most 500 nodes" in faults({"WEB_NODES": "1-400,401-600"})[0]
    assert "such as 1-20,33" in faults({"WEB_NODES": "9-1"})[0]


def test_a_log_port_may_be_given_the_name_of_its_node() -> None:
    sources = settings.load({"EDGE_LOG_PORT": "/dev/ttyUSB1=gateway/ttyUSB0, /dev/ttyUSB2"}).server.edge_log_ports

    assert [(source.port, source.node) for source in sources] == [
        ("/dev/ttyUSB1", "gateway/ttyUSB0"),
        ("/dev/ttyUSB2", None),
    ]
    assert "PORT=NODE" in faults({"EDGE_LOG_PORT": "/dev/ttyUSB1="})[0]


def test_passwords_may_come_from_files() -> None:
    values = settings.load(
        {
            "MYSQL_HOST": "db", "MYSQL_PASSWORD_FILE": private("a", "for the database\n"),
            "MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("b", "for the broker\nsecond line\n"),
            "WEB_TOKEN_FILE": private("c", "for-the-web-page\n", 0o640),
        }
    )  # fmt: skip

    assert values.database.password == "for the database"  # noqa: S105
    assert values.mqtt.password == "for the broker"  # noqa: S105
    assert values.web.token == "for-the-web-page"  # noqa: S105
    assert "for the" not in repr(values)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o606])
def test_a_secret_that_others_may_read_or_change_is_refused(mode: int) -> None:
    (fault,) = faults({"MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("p", "secret", mode)})

    assert "chmod 600" in fault


@pytest.mark.parametrize("text", ["\ufeffsecret\n", "secret\r\n", "secret\nnotes\n", "secret"])
def test_a_secret_is_the_first_line_of_its_file(text: str) -> None:
    found = settings.load({"MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("p", text)})

    assert found.mqtt.password == "secret"  # noqa: S105


def test_a_secret_in_a_file_ends_with_its_line_and_no_sooner() -> None:
    found = settings.load({"MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("p", "a\x0bb\x1cc\u2028d # e\nnotes\n")})

    assert found.mqtt.password == "a\x0bb\x1cc\u2028d # e"  # noqa: S105


@pytest.mark.parametrize(
    ("name", "port"), [("MQTT_BROKER", "MQTT_PORT"), ("MYSQL_HOST", "MYSQL_PORT"), ("WEB_HOST", "PORT")]
)
@pytest.mark.parametrize("host", ["localhost", "10.0.0.5", "broker.example"])
def test_a_port_beside_a_host_is_refused_with_the_setting_for_it(name: str, port: str, host: str) -> None:
    assert faults({name: f"{host}:41637"}) == (
        f'environment: {name} is "{host}:41637", which is not a host alone; '
        f"write {host} here and the port as {port}=41637",
    )


@pytest.mark.parametrize("host", ["::1", "fe80::1%eth0", "2001:db8::5", "localhost", "127.0.0.1", "my_host-2.local"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert settings.load({"MQTT_BROKER": host}).mqtt.host == host


@pytest.mark.parametrize("host", ["", "[::1]:1883", "mqtt://broker", "a:b:c", "a b", ":1883", "1:2:3"])
def test_anything_else_is_no_host(host: str) -> None:
    (fault,) = faults({"MQTT_BROKER": host})

    assert "127.0.0.1" in fault


@pytest.mark.parametrize("name", ["-1", "=1", "@roof", ".hidden", "+1+2"])
def test_a_name_begins_with_no_sign_that_a_spreadsheet_or_a_shell_takes_for_another_thing(name: str) -> None:
    for setting in ("GATEWAY_ID", "MQTT_NAMESPACE"):
        assert "a letter, digit or underscore first" in faults({setting: name})[0]
    assert settings.load({"GATEWAY_ID": "_1-a.b"}).gateway.gateway_id == "_1-a.b"


def test_a_status_port_has_one_host_and_one_port() -> None:
    (fault,) = faults({"WEB_STATIONS": "gateway=localhost:41637:5011"})

    assert "write STATION=HOST:PORT" in fault


@pytest.mark.parametrize("text", ["", "\n", "  \nx"])
def test_a_file_without_a_secret_is_refused(text: str) -> None:
    (fault,) = faults({"MQTT_USERNAME": "u", "MQTT_PASSWORD_FILE": private("p", text)})

    assert "first line" in fault


@pytest.mark.parametrize("burst", [Burst(0.05, 120.0), Burst(0.0, 1.5, 0.5), Burst(0.999, 0.1, 0.0)])
def test_outages_are_read_as_they_are_written(burst: Burst) -> None:
    assert kinds.burst(str(burst)) == burst


def test_no_text_means_no_outages_and_a_packet_is_lost_in_one_unless_said_otherwise() -> None:
    assert kinds.burst("") is None
    assert kinds.burst("0.05:120") == Burst(0.05, 120.0, 1.0)


@pytest.mark.parametrize(
    "text", ["0.5", "1:60", "-0.1:60", "0.5:0", "0.5:inf", "0.5:nan", "nan:60", "0.5:60:2", "0.5:60:1:1", "a:b", ":"]
)
def test_outages_that_cannot_be_are_an_error(text: str) -> None:
    with pytest.raises(KindError, match="write SHARE:SECONDS"):
        kinds.burst(text)


@pytest.mark.parametrize("text", ["1_0", "٥", "1 0", "0x5", "nan", "infinity", ""])
def test_a_number_is_written_in_ascii_digits(text: str) -> None:
    for kind in (kinds.whole(0, 100), kinds.number(0, 100)):
        with pytest.raises(kinds.KindError):
            kind(text)
