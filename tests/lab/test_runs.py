"""Runs: every count in the summary follows from the trace of the run."""

import pytest

from aoii.core.aoii import AoiiMeter
from aoii.lab.airtime import Radio
from aoii.lab.bounds import Bounds
from aoii.lab.channel import SimulatedChannel
from aoii.lab.policies import BY_NAME
from aoii.lab.policy import Options
from aoii.lab.replay import Outcome
from aoii.lab.runs import Run, replay_all
from aoii.settings.channel import ChannelModel
from series import made, shipped

KEYS = [
    "file",
    "node",
    "policy",
    "samples",
    "days",
    "events",
    "heartbeats",
    "retries",
    "acks",
    "minutes_wrong",
    "max_error_t",
    "max_error_h",
    "aoii_mean_s",
    "aoii_p99_s",
    "airtime_s_per_day",
    "energy_mj_per_day",
    "bound_hold",
    "bound_linear",
]


def found(loss: float, *names: str) -> list[Run]:
    recording = [("folder/day.csv.gz", [shipped()])]
    return list(replay_all(recording, names, Options(), lambda _: SimulatedChannel(ChannelModel(loss, loss), "1")))


@pytest.mark.parametrize("loss", [0.0, 0.4])
def test_every_count_follows_from_the_trace(loss: float) -> None:
    for run in found(loss, "periodic_equal", "send_on_delta", "trend"):
        summary, rows = run.summary(Radio()), list(run.trace())
        errors = [
            (abs(float(t) - float(et)), abs(float(h) - float(eh))) if et else (float("inf"), float("inf"))
            for _, _, _, t, h, et, eh, _ in rows
        ]
        wrong = [t > 0.495 or h > 2.995 for t, h in errors]
        meter = AoiiMeter()
        for is_wrong in wrong:
            meter.observe(is_wrong, 60)

        assert len(rows) == summary["samples"] == 1440
        assert sum(int(row[-1]) for row in rows) == int(summary["events"]) + int(summary["heartbeats"])
        assert sum(wrong) == summary["minutes_wrong"]
        assert summary["aoii_mean_s"] == pytest.approx(meter.mean_s(), abs=0.001)
        assert summary["aoii_p99_s"] == meter.p99_s()
        assert summary["max_error_t"] == pytest.approx(max(t for t, _ in errors if t < 1e9))
        assert summary["max_error_h"] == pytest.approx(max(h for _, h in errors if h < 1e9))


def test_the_summary_has_the_documented_keys_in_order() -> None:
    (run,) = found(0.0, "trend")

    summary = run.summary(Radio())

    assert list(summary) == KEYS
    assert (summary["file"], summary["node"], summary["days"]) == ("folder/day.csv.gz", "day", 1.0)


def test_policies_come_in_their_order_and_the_equal_one_sends_as_often_as_trend() -> None:
    both = found(0.0, "periodic_equal", "trend")
    alone = found(0.0, "periodic_equal")

    assert [run.policy.name for run in both] == ["periodic_equal", "trend"]
    assert both[0].outcome.packets == both[1].outcome.packets == alone[0].outcome.packets


def test_a_trace_has_an_empty_estimate_before_the_first_packet() -> None:
    series = made([(2000, 5000)] * 2)
    outcome = Outcome(estimates=[None, (2001, 5003)], sent=[True, True])

    first, second = Run("f", "n", BY_NAME["trend"], series, outcome, Bounds(series, [0], (50, 300))).trace()

    assert first == ("0", "n", "trend", "20.00", "50.00", "", "", "1")
    assert second == ("1", "n", "trend", "20.00", "50.00", "20.01", "50.03", "1")


def test_readings_below_zero_keep_their_sign() -> None:
    outcome = Outcome(estimates=[(-5, 5000)], sent=[True])

    series = made([(-5, 5000)])

    (row,) = Run("f", "n", BY_NAME["trend"], series, outcome, Bounds(series, [0], (50, 300))).trace()

    assert row[3] == row[5] == "-0.05"
