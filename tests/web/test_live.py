"""The live view: what a message from the broker adds, and how it says that something is away."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aoii.broker.client import Message
from aoii.broker.messages import READINGS_TOPIC, Estimate, encode_estimate, encode_reading
from aoii.broker.node_liveness import UNKNOWN, ErrorBound, Vouched
from aoii.broker.node_status import Label, NodeStatus, encode, topic_of
from aoii.runtime.station import liveness_of
from aoii.server.db import Database
from aoii.web.live import Live
from web.conftest import Load
from web.recorded import minutes

STORY = list(minutes("7", count=10))
READING = next(minute.reading for minute in STORY if minute.reading is not None)
DAY_S = 86400


@pytest.fixture
def live(load: Load) -> Live:
    return Live(load(WEB_NODES="3", BETA_TEMP="0.7"))


def receive(live: Live, payload: bytes) -> None:
    live._add_message(Message(READINGS_TOPIC, payload, 0, 0, 0))


def test_readings_and_estimates_of_the_broker_are_added(live: Live) -> None:
    receive(live, encode_estimate(STORY[0].estimate))
    receive(live, encode_reading(READING, 0))

    points = live.shared.fleet.points("7", DAY_S)
    assert (len(points.estimates), [packet.qos for packet in points.packets]) == (1, [0])


def test_of_two_gateways_the_estimate_of_the_one_that_knows_the_newest_reading_is_added(live: Live) -> None:
    first, second = STORY[0].estimate, STORY[1].estimate

    receive(live, encode_estimate(replace(first, gateway="attic", epoch=1, counter=5)))
    receive(live, encode_estimate(replace(second, gateway="cellar", epoch=1, counter=4)))

    assert [one.at_ms for one in live.shared.fleet.points("7", DAY_S).estimates] == [first.unix_ms]


def test_what_the_broker_has_retained_is_ignored(live: Live) -> None:
    for payload in (encode_estimate(STORY[0].estimate), encode_reading(READING, 0)):
        live._add_message(Message(READINGS_TOPIC, payload, 0, 0, 0, is_kept=True))

    assert live.shared.names() == ["3"]


def say(live: Live, status: NodeStatus, *, is_kept: bool = False) -> None:
    live._add_message(Message(topic_of(status.gateway, status.node), encode(status), 0, 0, 0, is_kept))


def test_what_the_gateways_say_of_a_node_is_its_state_as_long_as_it_holds(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr("aoii.web.live.time.monotonic", lambda: now_s)
    heard_ms = live.now_ms() - 60_000  # once: the nodes' clock runs fast here
    vouched = Vouched("ok", heard_ms, ErrorBound(0.5, 3.0))
    ok = NodeStatus("3", "attic", vouched, 60, 7200, live.now_ms(), 300, Label("온실", "왼쪽 줄"))
    assert live.vouched_for("3") == UNKNOWN

    say(live, replace(ok, unix_ms=live.now_ms() - 301_000), is_kept=True)
    assert live.vouched_for("3").liveness == "unknown"  # nobody knows whether its gateway is still there
    say(live, ok, is_kept=True)
    assert live.vouched_for("3") == vouched
    say(live, replace(ok, gateway="cellar", vouched=Vouched("dead", heard_ms - 3_600_000)))
    assert live.vouched_for("3") == vouched
    now_s += 301
    assert live.vouched_for("3").liveness == "unknown"
    summary = live.shared.summary("3", DAY_S)

    assert summary is not None
    assert (summary.states, summary.last_heard_ms) == (["unknown"], vouched.last_heard_ms)
    assert (summary.name, summary.place) == ("온실", "왼쪽 줄")  # its gateway being away takes no name from it


@pytest.mark.parametrize("payload", [b"", b"no JSON", b"{}", b"[]", bytes(range(256))])
def test_a_malformed_message_changes_nothing(live: Live, payload: bytes) -> None:
    receive(live, payload)
    live._add_message(Message(topic_of("attic", "3"), payload, 0, 0, 0))

    assert live.shared.names() == ["3"]
    assert live.vouched_for("3") == UNKNOWN


def test_the_settings_of_nodes_are_those_of_the_gateway(live: Live) -> None:
    assert (live.settings.beta_temp, live.settings.period_s, live.is_simulated) == (0.7, 60, False)


def test_old_nodes_have_the_zone_and_the_thresholds_of_their_settings(load: Load) -> None:
    live = Live(load(OLD_NODE_UTC_OFFSET_H="5.5", OLD_NODE_THRESHOLDS="roof/ttyUSB0=0.3/2"))

    receive(live, encode_estimate(Estimate(None, "roof/ttyUSB0", "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, None)))

    (estimate,) = live.shared.fleet.points("roof/ttyUSB0", DAY_S).estimates
    assert estimate.at_ms == datetime(2026, 5, 3, 21, 32, 1, tzinfo=UTC).timestamp() * 1000
    assert live.settings.of("roof/ttyUSB0").is_wrong(0.3, 0)
    assert not live.settings.of("roof/ttyUSB1").is_wrong(0.3, 0)


def test_the_page_notes_that_outbox_and_database_are_on_one_disk_and_finds_it_no_fault(
    live: Live, database: Database, data_dir: Path
) -> None:
    live._poller._poll()
    without = live.pipeline()
    (data_dir / "outbox.db").touch()
    both = live.pipeline()

    for health, codes in ((without, []), (both, ["oneDisk"])):
        (hop,) = [hop for hop in health.hops if hop.name == "database"]
        assert (hop.state, [code for code, _ in hop.reports[-1].notes]) == ("ok", codes)


def test_before_it_starts_it_is_neither_alive_nor_ready(live: Live) -> None:
    assert liveness_of(live.parts()) == {"poller": False, "network": False}
    assert live.readiness() == {"broker": False, "database": False}


def test_a_request_to_stop_ends_streams_at_once(live: Live) -> None:
    live.request_stop()

    assert live.stopping.is_set()


def test_the_pipeline_says_that_the_broker_is_not_connected(live: Live) -> None:
    broker = next(hop for hop in live.pipeline().hops if hop.name == "broker")

    assert broker.state == "down"
