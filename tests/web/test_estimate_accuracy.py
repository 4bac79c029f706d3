"""Right or wrong after each sample's packet, judged from what the node logged and what arrived."""

from dataclasses import replace

import pytest

from aoii.web.estimate_accuracy import FIRST_RETRY_MS, from_log, from_packets, is_coarse
from aoii.web.fleet_settings import FleetSettings
from aoii.web.points import Packet, Sample
from web.recorded import FLEET_SETTINGS

MINUTE_MS = 60_000


def sample(minute: int, error: float = 0.0, *, sent: bool = False, heartbeat: bool = False) -> Sample:
    """A sample at `minute` that reads 20 °C plus a hundredth a minute, and found this error."""
    temp = 20 + minute / 100
    return Sample(minute * MINUTE_MS, temp, 40.0, round(temp - error, 2), 40.0, sent, heartbeat)


def packet(minute: int, late_ms: int = 300, kind: str = "event") -> Packet:
    """What brings the sample of `minute`, `late_ms` after it."""
    return Packet(minute * MINUTE_MS + late_ms, 20 + minute / 100, 40.0, 0, 0, kind, 1, (1, minute))


def wrong(samples: list[Sample], packets: list[Packet], settings: FleetSettings = FLEET_SETTINGS) -> list[int]:
    """Minutes at which the gateway was wrong."""
    return [instant.at_ms // MINUTE_MS for instant in from_log(samples, packets, settings) if instant.wrong]


def test_a_packet_that_arrives_at_once_makes_its_own_instant_right() -> None:
    samples = [sample(0, sent=True), sample(1), sample(2, 0.5, sent=True), sample(3)]

    assert wrong(samples, [packet(0), packet(2)]) == []


def test_a_retry_counts_at_the_next_instant() -> None:
    samples = [sample(0, sent=True), sample(1, -0.7, sent=True), sample(2, 0.1)]

    assert wrong(samples, [packet(0), packet(1, FIRST_RETRY_MS - 1)]) == []
    assert wrong(samples, [packet(0), packet(1, FIRST_RETRY_MS)]) == [1]


def test_until_a_lost_packet_is_through_every_instant_is_wrong() -> None:
    samples = [sample(0, sent=True), sample(1, 0.6, sent=True), sample(2, 0.7), sample(3, 0.8), sample(4, 0.1)]

    assert wrong(samples, [packet(0), packet(1, 70_000)]) == [1, 2]


def test_a_lost_acknowledgement_leaves_the_gateway_right() -> None:
    samples = [sample(0, sent=True), sample(1, 0.6, sent=True), sample(2, 0.7), sample(3, 0.1)]

    assert wrong(samples, [packet(0), packet(1)]) == []


def test_a_node_that_waits_for_tau_leaves_the_gateway_wrong() -> None:
    samples = [sample(0, sent=True), sample(1, 0.6), sample(2, 0.7, sent=True), sample(3)]

    assert wrong(samples, [packet(0), packet(2)], replace(FLEET_SETTINGS, tau=2)) == [1]


def test_the_offered_forecast_may_be_wrong_while_the_known_one_is_right() -> None:
    samples = [sample(0, sent=True), sample(1, 0.6, sent=True), sample(2, 0.1, sent=True)]

    assert wrong(samples, [packet(0), packet(1)]) == [2]  # it has the offered one, and the newer packet was lost
    assert wrong(samples, [packet(0), packet(1), packet(2)]) == []
    assert wrong(samples, [packet(0)]) == [1]  # it never had the offered one


def test_before_the_first_packet_arrives_the_estimate_is_wrong() -> None:
    samples = [sample(0, sent=True), sample(1)]

    assert wrong(samples, [packet(0, 4000)]) == [0]


def test_a_lost_heartbeat_makes_nothing_wrong() -> None:
    samples = [sample(0, sent=True), sample(60, 0.2, sent=True, heartbeat=True)]

    assert wrong(samples, [packet(0)]) == []


def test_backlog_brings_nothing_in_time() -> None:
    samples = [sample(0, sent=True), sample(1, 0.6, sent=True), sample(2, 0.6, sent=True)]

    assert wrong(samples, [packet(0), packet(1, 0, "backfill"), packet(2)]) == [1]


def test_a_packet_belongs_to_the_sample_that_was_sent_with_its_reading() -> None:
    still = [Sample(n * MINUTE_MS, 20.0, 40.0, 20.6 if n == 1 else 20.0, 40.0, n <= 1, False) for n in range(4)]
    packets = [Packet(n * MINUTE_MS + 200, 20.0, 40.0, 0, 0, "event", 1, (1, n)) for n in range(2)]

    assert wrong(still, packets) == []
    assert wrong(still, packets[:1]) == [1]


@pytest.mark.parametrize(("speed", "judged"), [(1, [1]), (120, [1]), (3600, [])])
def test_at_great_speed_the_way_through_the_machine_takes_event_time(speed: float, judged: list[int]) -> None:
    settings = FleetSettings(beta_temp=0.5, beta_hum=3.0, period_s=60, heartbeat_s=3600, speed=speed)
    samples = [sample(0, sent=True), sample(1, 0.6, sent=True)]

    assert wrong(samples, [packet(0), packet(1, 8000)], settings) == judged
    assert is_coarse(settings) == (judged == [])


def test_by_packets_alone_only_what_was_sent_late_is_known_to_be_wrong() -> None:
    packets = [packet(0), packet(3, 0, "backfill"), packet(7)]

    judged = [instant.wrong for instant in from_packets(packets, 0, 9, FLEET_SETTINGS)]

    assert judged == [False, False, False, True, False, False, False, False, False]
