"""Files of the older installation and of earlier versions become today's, with every comment."""

import pytest

from aoii.settings import reader
from aoii.settings.migration import migrated

OLDER = """# our greenhouse
MYSQL_USER=aoii
MYSQL_PASSWORD=
export EDGE_SERIAL_PORT=/dev/ttyUSB1
EDGE_CSV_PATH=log.csv
EDGE_DB=aoii
MQTT_BROKER=localhost
SMTP_HOST=mail
"""


def test_a_file_of_the_older_installation_means_what_it_meant() -> None:
    found = migrated(OLDER)

    values = reader.read({".env": found.text}, {})
    assert values.database.host == "127.0.0.1"  # its default: without it, rows would go to SQLite
    assert values.server.edge_log_ports[0].port == "/dev/ttyUSB1"
    assert str(values.server.edge_log_csv) == "log.csv"
    assert values.warnings == ()
    assert found.text.startswith("# our greenhouse\nMYSQL_HOST=127.0.0.1\nMYSQL_USER=aoii\n")
    assert "\n# EDGE_DB=aoii\n" in found.text
    assert found.text.endswith("SMTP_HOST=mail\n")
    assert len(found.done) == 4


def test_quotes_and_comments_that_earlier_versions_took_away_are_removed_and_comments_kept() -> None:
    found = migrated('SERIAL_PORT="/dev/ttyUSB0"  # on the roof\r\nMQTT_PORT=1884 # theirs\r\n')

    assert found.text == "# on the roof\r\nSERIAL_PORT=/dev/ttyUSB0\r\n# theirs\r\nMQTT_PORT=1884\r\n"
    assert reader.read({".env": found.text}, {}).mqtt.port == 1884


@pytest.mark.parametrize("line", ["MYSQL_PASSWORD='pa #ss'", "EDGE_RECORDING=${HOME}/day.csv"])
def test_what_a_person_has_to_decide_is_said_and_left(line: str) -> None:
    found = migrated(f"MYSQL_HOST=db\n{line}\n")

    assert found.text == f"MYSQL_HOST=db\n{line}\n"
    assert found.done == []
    (said,) = found.left
    assert said.startswith("line 2: ")
    assert "pa #ss" not in said


def test_of_two_lines_with_one_setting_the_last_counted() -> None:
    found = migrated("MQTT_PORT=1\nMQTT_PORT=2\nMQTT_HOST=old\nMQTT_BROKER=new\n")

    assert found.text == "# MQTT_PORT=1\nMQTT_PORT=2\n# MQTT_HOST=old\nMQTT_BROKER=new\n"


def test_a_station_s_file_takes_its_host_from_the_file_that_all_share() -> None:
    text = "MYSQL_USER=aoii_web\n"

    assert migrated(text, beside=frozenset({"MYSQL_HOST"})).text == text
    assert "MYSQL_HOST=127.0.0.1\n" in migrated(text).text


@pytest.mark.parametrize("text", [OLDER, "A=1\nMQTT_PASS='x'", 'PORT="1" # a\nPORT=2', ""])
def test_a_second_migration_changes_nothing(text: str) -> None:
    once = migrated(text)

    assert migrated(once.text).text == once.text
    assert migrated(once.text).done == []
