"""The server between a real broker and real databases: delivered, stored, acknowledged, whatever happens."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import paho.mqtt.client as paho
import pymysql
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from aoii.broker import client
from aoii.broker.client import NO_KEPT_MESSAGES
from aoii.broker.messages import Estimate, Identity, Reading, encode_estimate, encode_reading
from aoii.runtime import metrics
from aoii.server import connection, ingest, subscription
from aoii.server.db import Database, open_database
from aoii.server.dead_letters.store import DeadLetters
from aoii.settings import Mqtt, Settings
from server.doubles import Gateway, StationProcess, running
from server.samples import a_reading, fill
from servers import MariaDB, Mosquitto, until

Load = Callable[..., Settings]
BAD_PAYLOADS = {
    "size": b"x" * 1_000_000,
    "encoding": b"\xff\xfe\x00",
    "json": b'{"event": "RX", ',
    "shape": b'{"event": "RX", "actual_t": "warm"}',
    "event": b'{"event": "TX"}',
    "range": encode_reading(a_reading(77), 1).replace(b"21.5", b"NaN"),
}


@pytest.fixture
def mqtt(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Mqtt:
    """The shared broker, with a session and a topic of the test's own."""
    from aoii.server import mqtt_to_mysql
    from server import doubles

    name = request.node.name.encode().hex()[-40:]
    monkeypatch.setattr(mqtt_to_mysql, "CLIENT_ID", f"server-{name}")
    for module in (subscription, doubles):
        monkeypatch.setattr(module, "READINGS_TOPIC", f"aoii/readings/{name}")
    return Mqtt("127.0.0.1", mosquitto.port, None, None)


@pytest.fixture
def values(load: Load, mqtt: Mqtt, mariadb: MariaDB, request: pytest.FixtureRequest) -> Settings:
    """Settings of a server with quick retries, on the engine that `engine` names."""
    where = {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": mariadb.port, "MYSQL_DATABASE": mariadb.new_schema()}
    return load(
        MQTT_BROKER=mqtt.host, MQTT_PORT=mqtt.port, SERVER_STATUS_PORT=0, INSERT_BASE_DELAY=0.02,
        INSERT_MAX_RETRIES=3, DEAD_LETTER_MAX_MB=1, **(where if request.param == "mariadb" else {}),
    )  # fmt: skip


BOTH = pytest.mark.parametrize("values", ["sqlite", "mariadb"], indirect=True)
SQLITE = pytest.mark.parametrize("values", ["sqlite"], indirect=True)
MARIADB = pytest.mark.parametrize("values", ["mariadb"], indirect=True)


def counters(values: Settings) -> list[int]:
    """Counters of the stored readings in the order of their insert."""
    database = open_database(values.database)
    found = [who.counter for who in database.identities()]
    database.close()
    return found


def letters_of(values: Settings) -> DeadLetters:
    return DeadLetters(values.server.dead_letter_path, values.server.dead_letter_max_mb)


@BOTH
def test_a_published_reading_becomes_a_row_and_its_gateway_is_told(values: Settings) -> None:
    readings = [a_reading(counter) for counter in range(1200)]

    with running(values), Gateway(values.mqtt) as gateway:
        gateway.publish(readings[:1000], qos=1)
        gateway.publish(readings[1000:], qos=0)
        until(gateway.all_acknowledged)

    assert sorted(counters(values)) == list(range(1200))
    assert {gateway.status(reading) for reading in readings} == {"stored"}


@BOTH
def test_a_reading_that_is_delivered_twice_is_one_row_and_two_acknowledgements(values: Settings) -> None:
    reading = a_reading(1)

    with running(values), Gateway(values.mqtt) as gateway:
        gateway.publish([reading])
        until(gateway.all_acknowledged)
        gateway.publish([reading])
        until(gateway.all_acknowledged)

    assert counters(values) == [1]
    assert reading.identity is not None
    assert gateway.statuses[reading.identity][:2] == ["stored", "duplicate"]


@SQLITE
def test_two_gateways_that_receive_one_node_make_one_row_and_are_both_told(values: Settings) -> None:
    with running(values), Gateway(values.mqtt, "a") as a, Gateway(values.mqtt, "b") as b:
        a.publish([a_reading(1, gateway="a")])
        until(a.all_acknowledged)
        b.publish([a_reading(1, gateway="b", pred_t=1.0)])
        until(b.all_acknowledged)

    assert counters(values) == [1]
    assert b.status(a_reading(1)) == "duplicate"


@SQLITE
def test_bad_payloads_are_counted_and_kept_and_everything_else_goes_on(values: Settings) -> None:
    before = {reason: metrics.value(metrics.MESSAGES_REJECTED, reason=reason) for reason in BAD_PAYLOADS}

    with running(values), Gateway(values.mqtt) as gateway:
        for number, payload in enumerate(BAD_PAYLOADS.values()):
            gateway.publish_once(payload)
            gateway.publish([a_reading(number)])
        until(gateway.all_acknowledged)

    after = {reason: metrics.value(metrics.MESSAGES_REJECTED, reason=reason) for reason in BAD_PAYLOADS}
    assert {reason: after[reason] - before[reason] for reason in BAD_PAYLOADS} == dict.fromkeys(BAD_PAYLOADS, 1)
    letters = letters_of(values).letters(10)
    assert [letter.detail.split(":")[0] for letter in letters] == list(BAD_PAYLOADS)
    assert {letter.reason for letter in letters} == {"malformed"}
    assert counters(values) == list(range(len(BAD_PAYLOADS)))
    assert gateway.status(a_reading(77)) == "parked"
    with running(values), Gateway(values.mqtt) as gateway:  # they were acknowledged: none comes again before the next
        gateway.publish([a_reading(100)])
        until(gateway.all_acknowledged)
    assert [letter.attempts for letter in letters_of(values).letters(10)] == [1] * len(BAD_PAYLOADS)


@BOTH
def test_another_content_under_a_known_identity_goes_to_the_dead_letters(values: Settings) -> None:
    with running(values), Gateway(values.mqtt) as gateway:
        gateway.publish([a_reading(1)])
        until(gateway.all_acknowledged)
        gateway.publish([a_reading(1, actual_t=30.0)])
        until(lambda: "parked" in gateway.statuses[Identity("7", 1, 1)])

    assert gateway.statuses[Identity("7", 1, 1)][0] == "stored"
    (letter,) = letters_of(values).letters(10)
    assert (letter.reason, letter.counter) == ("mismatch", 1)
    assert "flash was erased" in letter.detail  # the likely cause,
    assert "aoii node replace" in letter.detail  # and what to do
    assert json.loads(letter.payload)["actual_t"] == 30.0


OLDER = {"event": "RX", "timestamp": "2025-05-01 12:00:00", "time_n": 0.5, "actual_t": 21.5, "actual_h": 40.0,
         "pred_t": 21.0, "pred_h": 42.0, "error_t": 0.5, "error_h": 2.0, "total_tx": 12}  # fmt: skip
YESTERDAY = Estimate("kept", "7", "2025-05-01 12:01:00", 0.5, 21.0, 42.0, 12, 1_746_000_000_000)


@SQLITE
@pytest.mark.parametrize("handling", [NO_KEPT_MESSAGES, 0])  # 0: brokers that send it nevertheless do as Mosquitto then
@pytest.mark.parametrize("payload", [json.dumps(OLDER).encode(), encode_estimate(YESTERDAY), b"no message"])
def test_what_the_broker_retains_becomes_no_row_no_clock_offset_and_no_letter(
    values: Settings, monkeypatch: pytest.MonkeyPatch, payload: bytes, handling: int
) -> None:
    monkeypatch.setattr(client, "NO_KEPT_MESSAGES", handling)
    topic = subscription.READINGS_TOPIC  # type: ignore[attr-defined]  # set by the fixture `mqtt`
    keeper = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    keeper.connect(values.mqtt.host, values.mqtt.port)
    keeper.loop_start()

    keeper.publish(topic, payload, 1, retain=True).wait_for_publish(30)
    for counter in range(2):  # the server connects twice
        with running(values), Gateway(values.mqtt) as gateway:
            gateway.publish([a_reading(counter)])
            until(gateway.all_acknowledged)

    keeper.publish(topic, b"", 1, retain=True).wait_for_publish(30)
    keeper.loop_stop()
    database = open_database(values.database)
    assert database.stats().total == 2
    database.close()
    assert letters_of(values).letters(10) == []
    offsets = [sample.labels for family in metrics.CLOCK_OFFSET_S.collect() for sample in family.samples]
    assert {"gateway": "kept"} not in offsets


@BOTH
def test_a_reading_of_the_older_gateway_with_an_impossible_delay_is_a_row_without_a_delay(values: Settings) -> None:
    payload = json.dumps(
        {"event": "RX", "timestamp": "2025-05-01 12:00:00", "time_n": 0.5, "actual_t": 21.5, "actual_h": 40.0,
         "pred_t": 21.0, "pred_h": 42.0, "error_t": 0.5, "error_h": 2.0, "total_tx": 12,
         "transmission_delay_ms": 1_772_000_123_456}
    ).encode()  # fmt: skip

    with running(values), Gateway(values.mqtt) as gateway:
        gateway.publish_once(payload)
        gateway.publish([a_reading(1)])
        until(gateway.all_acknowledged)

    database = open_database(values.database)
    first, second = database.recent(2)
    database.close()
    assert [(row.actual_temp, row.transmission_delay_ms) for row in (first, second)] == [(21.5, None)] * 2
    assert letters_of(values).letters(10) == []


@BOTH
def test_messages_of_the_reference_gateway_become_rows_without_identity(values: Settings) -> None:
    payload = json.dumps(
        {"event": "RX", "timestamp": "2025-05-01 12:00:00", "time_n": 0.5, "actual_t": 21.5, "actual_h": 40.0,
         "pred_t": 21.0, "pred_h": 42.0, "error_t": 0.5, "error_h": 2.0, "total_tx": 12, "transmission_delay_ms": 640}
    ).encode()  # fmt: skip
    estimate = Estimate(None, None, "2025-05-01 12:01:00", 0.5007, 21.0, 42.0, 12, None)

    with running(values), Gateway(values.mqtt) as gateway:
        gateway.publish_once(payload)
        gateway.publish_once(encode_estimate(estimate), qos=0)
        gateway.publish_once(payload, qos=0)
        gateway.publish([a_reading(1)])
        until(gateway.all_acknowledged)

    database = open_database(values.database)
    first, second, ours = database.recent(10)
    assert (first.node, first.gateway, first.kind, first.transmission_delay_ms) == (None, None, "legacy", 640)
    assert (first.error_temp, first.error_humidity) == (0.5, -2.0)
    assert second.node is None
    assert ours.node == "7"
    assert list(gateway.statuses) == [Identity("7", 1, 1)]


@MARIADB
def test_one_bad_row_among_many_becomes_a_dead_letter_alone(values: Settings, mariadb: MariaDB) -> None:
    open_database(values.database, migrate=True).close()
    mariadb.execute("ALTER TABLE readings ADD CHECK (actual_temp < 60)", database=values.database.name)
    readings = [a_reading(counter, actual_t=99.0 if counter == 137 else 20.0) for counter in range(300)]

    with running(values), Gateway(values.mqtt) as gateway:
        gateway.publish(readings)
        until(gateway.all_acknowledged)

    assert sorted(counters(values)) == [counter for counter in range(300) if counter != 137]
    assert gateway.status(readings[137]) == "parked"
    (letter,) = letters_of(values).letters(10)
    assert (letter.reason, letter.counter) == ("bad_row", 137)
    assert "CONSTRAINT" in letter.detail


@MARIADB
def test_dead_letters_of_a_table_that_takes_nothing_are_replayed_when_it_does(
    values: Settings, mariadb: MariaDB
) -> None:
    readings = [a_reading(counter) for counter in range(20)]
    schema = values.database.name
    with running(values) as server, Gateway(values.mqtt) as gateway:
        mariadb.execute(
            "CREATE TRIGGER full BEFORE INSERT ON readings FOR EACH ROW "
            "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'", database=schema
        )  # fmt: skip
        gateway.publish(readings)
        until(gateway.all_acknowledged)
        assert counters(values) == []
        assert {gateway.status(reading) for reading in readings} == {"parked"}

        mariadb.execute("DROP TRIGGER full", database=schema)
        until(lambda: len(counters(values)) == 20)
        until(lambda: server.readiness()["database"])

    assert sorted(counters(values)) == list(range(20))
    assert letters_of(values).letters(10) == []


@MARIADB
def test_a_lost_right_makes_dead_letters_until_it_is_granted_again(values: Settings, mariadb: MariaDB) -> None:
    schema = values.database.name
    mariadb.execute("CREATE OR REPLACE USER writer", f"GRANT ALL ON {schema}.* TO writer")
    values = replace(values, database=replace(values.database, user="writer"))
    with running(values), Gateway(values.mqtt) as gateway:
        mariadb.execute(f"REVOKE INSERT ON {schema}.* FROM writer", "KILL USER writer")  # a connection keeps its rights
        gateway.publish([a_reading(1)])
        until(gateway.all_acknowledged)
        assert gateway.status(a_reading(1)) == "parked"

        mariadb.execute(f"GRANT INSERT ON {schema}.* TO writer")
        until(lambda: counters(values) == [1])


@pytest.mark.faults
@pytest.mark.parametrize("values", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_while_the_database_is_gone_readings_become_dead_letters_and_are_then_replayed(
    values: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(connection, "IO_TIMEOUT_S", 1)
    readings = [a_reading(counter) for counter in range(900)]
    with MariaDB(tmp_path / "own") as own:
        values = replace(
            values,
            database=replace(values.database, host="127.0.0.1", port=own.port),
            server=replace(values.server, insert_max_retries=1),
        )
        with running(values) as server, Gateway(values.mqtt) as gateway:
            gateway.publish(readings[:300])
            until(gateway.all_acknowledged)

            own.kill() if fault == "kill" else own.freeze()
            gateway.publish(readings[300:600])
            until(gateway.all_acknowledged, 30)
            assert not server.readiness()["database"]
            assert server.liveness() == {"ingest": True, "database_watch": True, "ledger_watch": True, "network": True}

            own.start() if fault == "kill" else own.thaw()
            gateway.publish(readings[600:])
            until(gateway.all_acknowledged, 30)
            until(lambda: len(counters(values)) >= 900, 30)
            until(lambda: letters_of(values).waiting(1) == [])

        assert sorted(counters(values)) == list(range(900))
        assert "parked" in {gateway.status(reading) for reading in readings[300:600]}
        assert {gateway.status(reading) for reading in readings[:300]} == {"stored"}


@SQLITE
def test_a_server_that_starts_before_its_database_takes_readings_all_the_same(values: Settings, tmp_path: Path) -> None:
    own = MariaDB(tmp_path / "own")
    values = replace(values, database=replace(values.database, host="127.0.0.1", port=own.port))
    with running(values, wait_for=("broker",)), Gateway(values.mqtt) as gateway:
        gateway.publish([a_reading(1)])
        until(gateway.all_acknowledged)
        assert gateway.status(a_reading(1)) == "parked"

        with own:
            until(lambda: letters_of(values).waiting(1) == [])
            assert counters(values) == [1]
            gateway.publish([a_reading(2)])
            until(gateway.all_acknowledged)

            assert gateway.status(a_reading(2)) == "stored"


@pytest.mark.faults
@SQLITE
def test_at_the_cap_of_the_dead_letters_nothing_is_acknowledged_and_nothing_is_lost(
    values: Settings, tmp_path: Path
) -> None:
    letters = letters_of(values)
    filler = fill(letters, node="filler")
    letters.close()
    own = MariaDB(tmp_path / "own")
    values = replace(values, database=replace(values.database, host="127.0.0.1", port=own.port))
    with running(values, wait_for=("broker",)) as server, Gateway(values.mqtt) as gateway:
        gateway.publish([a_reading(counter) for counter in range(50)])
        until(lambda: not server.readiness()["dead_letters"])
        time.sleep(0.5)
        assert gateway.statuses == {}

        with own:
            until(gateway.all_acknowledged, 30)
            until(lambda: server.readiness() == {"broker": True, "database": True, "dead_letters": True}, 30)
            until(lambda: letters_of(values).waiting(1) == [], 30)

            database = open_database(values.database)
            assert Counter(database.identities()) == Counter(
                [Identity("7", 1, counter) for counter in range(50)]
                + [Identity("filler", 1, counter) for counter in range(filler)]
            )
            database.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mqtt]:
    """A broker of the test's own, because a server process has the real topic and session."""
    with Mosquitto(tmp_path / "broker") as server:
        yield Mqtt("127.0.0.1", server.port, None, None)


@pytest.fixture
def process(data_dir: Path, tmp_path: Path, broker: Mqtt, mariadb: MariaDB) -> Iterator[StationProcess]:
    """A server process on MariaDB, with quick retries."""
    environ = {
        "AOII_DATA_DIR": str(data_dir), "MQTT_BROKER": broker.host, "MQTT_PORT": str(broker.port),
        "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(mariadb.port), "MYSQL_DATABASE": mariadb.new_schema(),
        "INSERT_BASE_DELAY": "0.05",
    }  # fmt: skip
    process = StationProcess("mqtt_to_mysql", environ, tmp_path / "server.log")
    yield process
    process.kill()


@pytest.mark.faults
def test_a_server_that_is_killed_again_and_again_loses_and_doubles_nothing(
    process: StationProcess, broker: Mqtt, mariadb: MariaDB
) -> None:
    readings = [a_reading(counter) for counter in range(2000)]
    process.start()
    until(process.is_ready)
    with Gateway(broker) as gateway:
        for start in range(0, 2000, 500):
            gateway.publish(readings[start : start + 500])
            until(lambda start=start: len(gateway.statuses) > start + 50)  # type: ignore[misc]  # lambda's default
            process.kill()
            process.start()
            until(process.is_ready)
        until(gateway.all_acknowledged, 30)
    code, seconds = process.terminate()

    schema = process.environ["MYSQL_DATABASE"]
    rows = mariadb.execute("SELECT counter FROM readings ORDER BY counter", database=schema)
    assert rows == [(counter,) for counter in range(2000)]
    assert code == 0
    assert seconds < 10


@pytest.mark.faults
def test_sigterm_in_the_middle_of_a_wait_ends_it_at_once_and_the_batch_comes_again(
    process: StationProcess, broker: Mqtt, tmp_path: Path
) -> None:
    own = MariaDB(tmp_path / "own")
    process.environ |= {"MYSQL_PORT": str(own.port), "MYSQL_DATABASE": "aoii", "INSERT_BASE_DELAY": "30"}
    with Gateway(broker) as gateway:
        with own:
            process.start()
            until(process.is_ready)
            gateway.publish([a_reading(1)])
            until(gateway.all_acknowledged)
        gateway.publish([a_reading(2)])
        until(lambda: "insert failed" in (tmp_path / "server.log").read_text())

        code, seconds = process.terminate()

        assert code == 0
        assert seconds < 5
        assert gateway.status(a_reading(2)) is None
        with own:
            process.start()
            until(gateway.all_acknowledged, 30)
            assert own.execute("SELECT counter FROM readings", database="aoii") == [(1,), (2,)]
            process.terminate()


@pytest.mark.faults
def test_a_stop_takes_less_than_ten_seconds_though_broker_and_database_are_frozen(
    data_dir: Path, tmp_path: Path
) -> None:
    with MariaDB(tmp_path / "own") as own, Mosquitto(tmp_path / "broker") as broker:
        environ = {
            "AOII_DATA_DIR": str(data_dir), "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker.port),
            "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(own.port),
        }  # fmt: skip
        process = StationProcess("mqtt_to_mysql", environ, tmp_path / "server.log")
        process.start()
        until(process.is_ready)
        with Gateway(Mqtt("127.0.0.1", broker.port, None, None)) as gateway:
            own.freeze()
            gateway.publish([a_reading(1)])
            time.sleep(0.5)
            broker.freeze()

            code, seconds = process.terminate()

            broker.thaw()
        assert code == 0
        assert seconds < 10


def test_the_status_page_answers_while_the_server_runs(process: StationProcess) -> None:
    process.start()
    until(process.is_ready)

    assert process.answer("/healthz") == 200
    assert process.answer("/metrics") == 200

    code, _ = process.terminate()
    assert code == 0
    assert process.answer("/healthz") is None


def test_a_status_port_that_is_taken_is_said_and_not_survived(process: StationProcess, tmp_path: Path) -> None:
    process.start()
    until(process.is_ready)
    second = StationProcess("mqtt_to_mysql", process.environ, tmp_path / "second.log", process.status_port)

    second.start()

    assert second.process is not None
    assert second.process.wait(20) == 1
    assert "status port" in (tmp_path / "second.log").read_text()
    process.terminate()


@SQLITE
def test_an_error_of_ours_in_the_ingest_thread_is_noticed_and_nothing_is_acknowledged(
    values: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(payload: bytes) -> Reading:
        raise ZeroDivisionError

    monkeypatch.setattr(ingest, "decode_payload", fail)
    with running(values) as server, Gateway(values.mqtt) as gateway:
        gateway.publish([a_reading(1)])

        until(server.ended)
        assert server.liveness()["ingest"] is False
    monkeypatch.undo()
    assert gateway.statuses == {}


@SQLITE
def test_an_error_of_ours_in_the_database_watch_is_noticed(values: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Database) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Database, "migrate", fail)
    with running(values, wait_for=("broker",)) as server:
        until(server.ended)

        assert server.liveness() == {"ingest": True, "database_watch": False, "ledger_watch": True, "network": True}


@pytest.mark.faults
def test_a_database_that_comes_back_without_its_tables_gets_them_again(
    process: StationProcess, broker: Mqtt, mariadb: MariaDB
) -> None:
    schema = process.environ["MYSQL_DATABASE"]

    def counters_stored() -> object:
        with contextlib.suppress(pymysql.err.ProgrammingError, pymysql.err.OperationalError):  # still in the making
            return mariadb.execute("SELECT counter FROM readings", database=schema)
        return None

    process.start()
    until(process.is_ready)
    with Gateway(broker) as gateway:
        gateway.publish([a_reading(1)])
        until(gateway.all_acknowledged)
        mariadb.execute(f"DROP DATABASE {schema}", f"CREATE DATABASE {schema}")

        gateway.publish([a_reading(2)])

        until(gateway.all_acknowledged)
        until(lambda: counters_stored() == [(2,)], what="the dead letter is replayed")


@BOTH
def test_a_server_says_where_its_rows_go_and_why(values: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), running(values):
        pass

    (said,) = [record.__dict__["database"] for record in caplog.records if record.msg == "rows go to a database"]
    sqlite = f"SQLite, {values.data_dir}/aoii.db, because MYSQL_HOST is not set"
    mysql = f"MySQL at 127.0.0.1:{values.database.port}, schema {values.database.name}"
    assert said == (mysql if values.database.host else sqlite)
