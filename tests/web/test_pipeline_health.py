"""Pipeline health: each hop from the reports of stations, and never more than they report."""

from dataclasses import replace

import pytest

from aoii.runtime.metric_snapshot import MetricSnapshot, decode_metrics
from aoii.web.node_health import node_health
from aoii.web.pipeline_health import HOPS, Hop, HopReport, assess
from aoii.web.station_report import StationReport

WELL = (None, None)  # this page reads the database, and is connected to the broker
GATEWAY = """
aoii_gateway_serial_up{port="/dev/ttyUSB0"} 1.0
aoii_gateway_packets_total{kind="event"} 30.0
aoii_gateway_packets_total{kind="heartbeat"} 2.0
aoii_gateway_publishes_total{event="RX",qos="1",result="sent"} 32.0
aoii_outbox_events 0.0
aoii_outbox_oldest_age_seconds 0.0
aoii_commit_acks_total{status="stored"} 32.0
aoii_commit_ack_seconds_sum 6.4
aoii_commit_ack_seconds_count 32.0
aoii_broker_up 1.0
"""
SERVER = """
aoii_broker_up 1.0
aoii_database_up 1.0
aoii_messages_received_total{event="RX"} 32.0
aoii_readings_processed_total{outcome="stored"} 32.0
aoii_dead_letters{reason="bad_row"} 2.0
aoii_dead_letters{reason="mismatch"} 0.0
"""


def answers(station: str, now: str, before: str = "", **changes: object) -> StationReport:
    report = StationReport(
        station,
        "127.0.0.1:5011",
        "answers",
        age_s=0.5,
        checks={"broker": True},
        now=MetricSnapshot(60.0, decode_metrics(now)),
        before=MetricSnapshot(0.0, decode_metrics(before or now)),
    )
    return replace(report, **changes)  # type: ignore[arg-type]  # by name


def hop(name: str, *reports: StationReport, own: tuple[str | None, str | None] = WELL) -> Hop:
    return next(found for found in assess(list(reports), *own).hops if found.name == name)


def only(name: str, *reports: StationReport) -> HopReport:
    (report,) = hop(name, *reports).reports
    return report


def codes(report: HopReport) -> list[str]:
    return [code for code, _ in report.notes]


def test_when_all_is_well_every_hop_is_ok_and_has_its_rate() -> None:
    before = GATEWAY.replace("30.0", "20.0").replace("32.0", "22.0").replace("6.4", "4.4")
    reports = [answers("gateway", GATEWAY, before), answers("server", SERVER, SERVER.replace("32.0", "22.0"))]

    health = assess(reports, *WELL)

    assert [(found.name, found.state) for found in health.hops] == [(name, "ok") for name in HOPS]
    rates = {found.name: found.reports[0].per_minute for found in health.hops}
    assert set(rates.values()) == {10.0}
    assert health.worst() == ("ok", list(HOPS))
    assert only("commit", reports[0]).notes == [("ackDelay", {"seconds": pytest.approx(0.2)})]


def test_a_station_that_does_not_answer_is_unreachable_and_what_only_it_sees_is_unknown() -> None:
    dead = answers("server", SERVER, contact="unreachable", reason="Connection refused", age_s=70.0)
    waits = GATEWAY.replace("events 0.0", "events 12.0").replace("age_seconds 0.0", "age_seconds 65.0")

    reports = [answers("gateway", waits, GATEWAY, outbox_track=(0, 3, 12)), dead]
    states = {found.name: found.state for found in assess(reports, *WELL).hops}

    assert states == {
        "radio": "ok", "gateway": "ok", "outbox": "warn", "broker": "ok", "server": "unreachable",
        "database": "ok", "commit": "warn",
    }  # fmt: skip
    assert only("server", dead).notes == [("noAnswer", {"reason": "Connection refused"})]
    assert [report.state for report in hop("database", *reports).reports] == ["unknown", "ok"]
    outbox = only("outbox", *reports)
    assert (outbox.waiting, outbox.oldest_s, outbox.track, codes(outbox)) == (12, 65, (0, 3, 12), ["outboxGrows"])
    assert codes(only("commit", *reports)) == ["noAcks"]


def test_the_last_values_of_a_gateway_that_is_gone_stay_with_their_age() -> None:
    waits = GATEWAY.replace("events 0.0", "events 12.0")
    dead = answers("gateway", waits, contact="unreachable", reason="x", age_s=70.0)

    outbox = only("outbox", dead)

    assert (outbox.state, outbox.waiting, outbox.stale_s, codes(outbox)) == ("unknown", 12, 70.0, ["notTold"])


def test_a_station_that_never_answered_says_so_and_one_without_a_port_is_not_judged() -> None:
    never = StationReport("gateway", "10.0.0.5:5011", "unreachable", "timed out")
    portless = StationReport("gateway", None)

    assert codes(only("gateway", never)) == ["noAnswer", "neverAnswered"]
    assert only("outbox", never).waiting is None
    assert (only("gateway", portless).state, codes(only("gateway", portless))) == ("unknown", ["noPort"])


def test_with_no_station_at_all_only_what_the_page_sees_itself_is_reported() -> None:
    health = assess([], "no such file", "refused")

    assert {found.name: found.state for found in health.hops if found.reports} == {"broker": "down", "database": "down"}
    assert health.dead_letters.counts is None
    assert health.worst()[1] == ["broker", "database"]


@pytest.mark.parametrize(
    ("change", "where", "state", "code"),
    [
        (('port="/dev/ttyUSB0"} 1', 'port="/dev/ttyUSB0"} 0'), "radio", "down", "portClosed"),
        (("broker_up 1", "broker_up 0"), "broker", "down", "notConnected"),
        (("oldest_age_seconds 0.0", "oldest_age_seconds 31.0"), "outbox", "warn", "outboxOld"),
        (
            ('result="sent"} 32.0', 'result="sent"} 32.0\naoii_outbox_rejected_readings_total 1.0'),
            "outbox",
            "down",
            "outboxRefused",
        ),
        (('status="stored"', 'status="bad"'), "commit", "warn", "acksLost"),
        (("aoii_broker_up 1.0", 'aoii_gateway_rejected_total{reason="mac"} 3.0'), "radio", "warn", "rejected"),
    ],
)
def test_each_fault_of_a_gateway_is_noted_at_its_hop(
    change: tuple[str, str], where: str, state: str, code: str
) -> None:
    before = GATEWAY.replace("events 0.0", "events 1.0")
    now = before.replace(*change)

    report = next(each for each in hop(where, answers("gateway", now, before)).reports if each.by == "gateway")

    assert (report.state, codes(report)[0]) == (state, code)


@pytest.mark.parametrize(
    ("change", "where", "state", "code"),
    [
        (("database_up 1", "database_up 0"), "database", "down", "rowsRefused"),
        (('outcome="stored"', 'outcome="parked"'), "database", "warn", "rowsDeadLettered"),
        (("aoii_broker_up 1.0", 'aoii_inbox_overruns_total{qos="1"} 3.0'), "server", "warn", "inboxOverrun"),
    ],
)
def test_each_fault_of_a_server_is_noted_at_its_hop(change: tuple[str, str], where: str, state: str, code: str) -> None:
    report = hop(where, answers("server", SERVER.replace(*change), SERVER)).reports[0]

    assert (report.state, codes(report)[0]) == (state, code)


def test_a_check_that_fails_in_a_station_is_named_and_what_it_waits_for_is_another_hop() -> None:
    hangs = answers("gateway", GATEWAY, checks={"publisher": False, "broker": False, "serial": False})

    assert only("gateway", hangs).notes == [("checkFails", {"check": "publisher"})]


def test_one_of_two_receivers_that_is_unplugged_is_a_warning() -> None:
    two = GATEWAY + 'aoii_gateway_serial_up{port="/dev/ttyUSB1"} 0.0\n'

    assert hop("radio", answers("gateway", two)).state == "warn"


def test_two_gateways_are_two_reports_and_the_worse_counts() -> None:
    dead = answers("gateway", GATEWAY, contact="unreachable", reason="x", address="10.0.0.6:5011")

    found = hop("gateway", answers("gateway", GATEWAY), dead)

    assert (found.state, [report.state for report in found.reports]) == ("unreachable", ["ok", "unreachable"])


def test_dead_letters_are_counted_by_reason_and_old_counts_are_marked() -> None:
    now = assess([answers("server", SERVER)], *WELL).dead_letters
    old = assess([answers("server", SERVER, contact="unreachable", age_s=9.0)], *WELL).dead_letters

    assert (now.counts, now.stale_s) == ({"bad_row": 2.0, "mismatch": 0.0}, None)
    assert (old.counts, old.stale_s) == ({"bad_row": 2.0, "mismatch": 0.0}, 9.0)


def test_of_a_node_that_two_gateways_receive_the_stronger_signal_counts() -> None:
    weak = 'aoii_node_rssi_dbm{node="7"} -120.0\naoii_node_battery_volts{node="7"} 3.9\n'
    strong = 'aoii_node_rssi_dbm{node="7"} -80.0\naoii_node_battery_low{node="7"} 1.0\n'

    found = node_health([answers("gateway", weak), answers("gateway", strong), answers("gateway", weak)])

    assert (found["7"].rssi_dbm, found["7"].battery_v, found["7"].low_battery) == (-80.0, None, True)
    assert node_health([answers("gateway", strong, contact="unreachable")]) == {}


def ahead(**seconds: float) -> str:
    """What a station serves of times to full, with a disk that is nearly full."""
    return "aoii_disk_free_bytes 10\naoii_disk_size_bytes 100\n" + "".join(
        f"aoii_{name}_seconds {value}\n" for name, value in seconds.items()
    )


def test_outbox_dead_letters_and_disks_say_when_they_will_be_full_and_warn_a_day_before() -> None:
    gateway = answers("gateway", GATEWAY + ahead(outbox_time_to_full=7200, disk_time_to_full=86_401, kept_reach=9e6))
    server = answers("server", SERVER + ahead(dead_letters_time_to_full=90_000, disk_time_to_full=3600))

    outbox, disk, letters = only("outbox", gateway), only("gateway", gateway), only("server", server)

    assert (outbox.ahead_s, outbox.state) == ({"outboxFull": 7200, "keptReach": 9e6}, "warn")
    assert outbox.notes == [("outboxFullSoon", {"seconds": 7200})]
    assert (disk.ahead_s, disk.state) == ({"diskFull": 86_401}, "ok")
    assert letters.ahead_s == {"diskFull": 3600, "lettersFull": 90_000}
    assert letters.notes == [("diskFullSoon", {"seconds": 3600})]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 8 * 86_400.0])
def test_what_is_not_known_does_not_fill_or_is_far_off_is_not_shown(seconds: float) -> None:
    gateway = answers("gateway", GATEWAY + ahead(outbox_time_to_full=seconds, disk_time_to_full=seconds))

    assert (only("outbox", gateway).ahead_s, only("outbox", gateway).state) == ({}, "ok")
    assert (only("gateway", gateway).ahead_s, only("gateway", gateway).state) == ({}, "ok")


def test_a_station_that_writes_more_than_its_budget_warns() -> None:
    writes = "aoii_written_bytes_per_day 6e8\naoii_write_budget_bytes_per_day %s\n"

    free = only("gateway", answers("gateway", GATEWAY + writes % "+Inf"))
    bound = only("gateway", answers("gateway", GATEWAY + writes % "5e8"))

    assert (free.written_mb, free.state, free.notes) == (600, "ok", [])
    assert (bound.written_mb, bound.state) == (600, "warn")
    assert bound.notes == [("writesTooMuch", {"written": 600, "budget": 500})]


def test_a_gateway_of_an_earlier_release_says_nothing_of_times_to_full() -> None:
    assert only("outbox", answers("gateway", GATEWAY)).ahead_s == {}


def test_a_disk_that_fills_while_more_than_half_of_it_is_free_is_shown_and_no_fault() -> None:
    roomy = ahead(disk_time_to_full=3600).replace("free_bytes 10", "free_bytes 60")

    report = only("gateway", answers("gateway", GATEWAY + roomy))

    assert (report.ahead_s, report.state) == ({"diskFull": 3600}, "ok")


def test_a_station_that_does_not_answer_any_more_has_no_times_to_full() -> None:
    text = GATEWAY + ahead(outbox_time_to_full=7200)
    dead = answers("gateway", text, contact="unreachable", reason="x", age_s=70.0)

    assert only("outbox", dead).ahead_s == {}
