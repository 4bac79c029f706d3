"""The settings: every name and default of the older installation, and the rules between settings."""

from dataclasses import replace
from pathlib import Path

import pytest

from aoii import settings
from aoii.security.tls import Tls
from settings.samples import faults, private

REFERENCE_DEFAULTS = {
    "MYSQL_PORT": "3306",
    "MYSQL_USER": "root",
    "MYSQL_PASSWORD": "",
    "MYSQL_DATABASE": "aoii",
    "MQTT_BROKER": "localhost",
    "MQTT_PORT": "1883",
    "SERIAL_PORT": "/dev/ttyUSB0",
    "PORT": "5001",
    "BETA_TEMP": "0.5",
    "BETA_HUM": "3.0",
    "INSERT_MAX_RETRIES": "5",
    "INSERT_BASE_DELAY": "1.0",
}


def test_names_and_defaults_of_the_reference_system_hold() -> None:
    assert {name: settings.BY_NAME[name].default for name in REFERENCE_DEFAULTS} == REFERENCE_DEFAULTS


def test_an_unset_host_means_sqlite_in_the_data_folder() -> None:
    values = settings.load({"AOII_DATA_DIR": "/srv/aoii"})

    assert values.database.host is None
    assert values.database.sqlite_path == Path("/srv/aoii/aoii.db")


def test_nothing_set_is_the_same_as_nothing_given() -> None:
    assert settings.load({}) == settings.Settings()


@pytest.mark.parametrize("name", [name for name, one in settings.BY_NAME.items() if one.default is None])
def test_an_empty_value_is_an_unset_one_where_the_default_is_unset(name: str) -> None:
    given = {"MYSQL_HOST": "db"} | {name: ""}

    assert settings.load(given) == replace(settings.load({"MYSQL_HOST": given["MYSQL_HOST"]}), given=frozenset(given))


def test_an_empty_data_folder_is_the_default() -> None:
    assert settings.load({"AOII_DATA_DIR": ""}).data_dir == Path("data")


def test_acknowledgements_are_lost_like_packets_unless_something_else_is_said() -> None:
    assert settings.load({"EDGE_LOSS": "0.2"}).edge.channel.ack_loss == 0.2
    assert settings.load({"EDGE_LOSS": "0.2", "EDGE_ACK_LOSS": "0"}).edge.channel.ack_loss == 0


def test_files_follow_the_data_folder_unless_a_setting_puts_them_elsewhere() -> None:
    values = settings.load({"AOII_DATA_DIR": "/srv/aoii", "CSV_FILE": "/tmp/x.csv"})  # noqa: S108 - never opened

    assert values.gateway.node_keys_file == Path("/srv/aoii/node_keys")
    assert values.server.csv_file == Path("/tmp/x.csv")  # noqa: S108 - never opened


@pytest.mark.parametrize("name", ["MYSQL_PORT", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"])
def test_another_mysql_setting_without_the_host_is_a_fault(name: str) -> None:
    (fault,) = faults({name: "3307"})

    assert "set MYSQL_HOST as well" in fault


WRONG = {
    "MYSQL_HOST": "two words",
    "MQTT_BROKER": "",
    "MQTT_PORT": "65536",
    "MQTT_PASSWORD": "without-a-user",
    "MQTT_TLS_CA": "no-such-file.crt",
    "WEB_TOKEN": "short",
    "WEB_TOKEN_FILE": "no-such-file",
    "GATEWAY_ID": "",
    "SERIAL_PORT": "/dev/a,/dev/a",
    "BETA_TEMP": "0",
    "BETA_HUM": "-1",
    "SAMPLE_PERIOD_S": "0",
    "HEARTBEAT_S": "70000",
    "MIRROR_WEIGHTS": "no-such-file.py",
    "OUTBOX_MAX_MB": "0",
    "KEEP_MB": "-1",
    "GATEWAY_STATUS_PORT": "-1",
    "INSERT_MAX_RETRIES": "many",
    "INSERT_BASE_DELAY": "inf",
    "DEAD_LETTER_MAX_MB": "0",
    "SERVER_STATUS_PORT": "http",
    "CSV_STATUS_PORT": "1.5",
    "EDGE_LOG_STATUS_PORT": "99999",
    "PORT": "0",
    "WEB_HOST": "",
    "EDGE_RECORDING": "no-such-file.csv",
    "EDGE_NODES": "0",
    "EDGE_LOSS": "1.1",
    "EDGE_ACK_LOSS": "-0.1",
    "EDGE_LOSS_BURST": "0.5",
    "EDGE_TRACE_LOSS": "no-such-file.csv",
    "EDGE_DUPLICATE": "2",
    "EDGE_REORDER": "nan",
    "EDGE_DELAY_S": "6",
    "EDGE_COLLISIONS": "some",
    "EDGE_NEIGHBOURS": "-1",
    "EDGE_SEED": "-1",
    "EDGE_DURATION_S": "-5",
    "EDGE_STATUS_PORT": "high",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "CLOCK_SPEED": "0",
    "CLOCK_START_UNIX_S": "yesterday",
    "CLOCK_ORIGIN_S": "-1",
}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_setting_is_one_fault_with_a_remedy(name: str) -> None:
    (fault,) = faults({name: WRONG[name]})

    what, _, remedy = fault.partition("; ")
    assert name in what
    assert remedy


@pytest.mark.parametrize("name", ["MQTT_TLS", "MYSQL_TLS"])
def test_tls_needs_an_authority_and_both_halves_of_a_certificate(name: str) -> None:
    base = {"MYSQL_HOST": "db"}
    ca, cert, key = private("ca", mode=0o644), private("cert", mode=0o644), private("key")

    assert settings.load(base).mqtt.tls is settings.load(base).database.tls is None
    assert "_CA as well" in faults(base | {f"{name}_CERT": cert, f"{name}_KEY": key})[0]
    assert "_KEY as well" in faults(base | {f"{name}_CA": ca, f"{name}_CERT": cert})[0]
    assert "_CERT as well" in faults(base | {f"{name}_CA": ca, f"{name}_KEY": key})[0]
    whole = settings.load(base | {f"{name}_CA": ca, f"{name}_CERT": cert, f"{name}_KEY": key})
    part = whole.mqtt.tls if name == "MQTT_TLS" else whole.database.tls
    assert part == Tls(Path(ca), Path(cert), Path(key), name)
    system = settings.load(base | {f"{name}_CA": "system"})
    assert (system.mqtt.tls or system.database.tls) == Tls(None, None, None, name)
