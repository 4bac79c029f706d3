"""Replays: what counts as sent, wrong, late and lost; every figure checked against the trace that comes with it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from aoii.core.aoii import AoiiMeter
from aoii.lab import losses
from aoii.lab.bounds import Bounds
from aoii.lab.losses import Channel
from aoii.lab.policies import POLICIES, Policy
from aoii.lab.replay import HOLE, RESENDS, Entry, Options, Outcome, entries, pieces, replay, trace
from aoii.simulation import recordings
from aoii.simulation.recordings import Series

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


def policy(name: str) -> Policy:
    return next(one for one in POLICIES if one.name == name)


def quiet(_: Series | None = None) -> Channel:
    return losses.Random(0.0, 0.0, "")


def shipped() -> Series:
    (day,) = recordings.parse()
    return day


def made(temperatures: list[int], slots: list[int] | None = None) -> Series:
    n = len(temperatures)
    return Series(
        "made", 0.0, 60.0, tuple(slots or range(n)), tuple(map(str, range(n))), tuple(temperatures), (5000,) * n
    )


@dataclass
class Script:
    """A radio that does what it is told, one answer for each transmission; afterwards it loses nothing."""

    ups: str = ""
    downs: str = ""
    lossless: bool = False
    _ups: Iterator[str] = field(init=False)
    _downs: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._ups, self._downs = iter(self.ups), iter(self.downs)

    def up(self, at_s: float) -> bool:
        return next(self._ups, "1") == "1"

    def down(self) -> bool:
        return next(self._downs, "1") == "1"


def test_a_packet_that_is_lost_is_sent_again_at_once() -> None:
    outcome = replay(made([2000] * 5), policy("trend"), Options(), Script(ups="001"))

    assert (outcome.events, outcome.retries, outcome.acks) == (1, 2, 1)
    assert outcome.meter.wrong == 0


def test_an_acknowledgement_that_is_lost_costs_a_resend_and_nothing_else() -> None:
    outcome = replay(made([2000] * 5), policy("trend"), Options(), Script(downs="01"))

    assert (outcome.events, outcome.retries, outcome.acks) == (1, 1, 2)
    assert outcome.meter.wrong == 0


def test_when_all_tries_are_in_vain_the_next_sample_is_sent() -> None:
    tries = 1 + RESENDS

    outcome = replay(made([2000] * 5), policy("send_on_delta"), Options(), Script(ups="0" * tries))

    assert outcome.sent == [True, True, False, False, False]
    assert (outcome.events, outcome.retries) == (2, RESENDS)
    assert outcome.estimates[:2] == [None, (2000, 5000)]
    assert outcome.meter.wrong == 1


def test_a_reading_in_time_after_a_silent_gateway_is_still_sent_because_nobody_answered() -> None:
    """All acknowledgements of the first packet are lost: the node cannot know that the gateway has it."""
    outcome = replay(made([2000] * 4), policy("trend"), Options(), Script(downs="0" * (1 + RESENDS)))

    assert outcome.sent == [True, True, False, False]
    assert outcome.meter.wrong == 0


def test_the_perceptron_is_sent_once_and_taken_for_received() -> None:
    from aoii.lab import pretrain

    options = Options(mlp=pretrain.load_mlp())

    outcome = replay(shipped(), policy("mlp"), options, losses.Random(0.02, 0.02, "1"))

    assert outcome.retries == 0
    assert outcome.meter.wrong > 0.02 * len(outcome.sent)  # the two models have parted for good


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_trends_survive_loss_in_both_directions(loss: float) -> None:
    outcome = replay(shipped(), policy("trend"), Options(), losses.Random(loss, loss, "1"))

    assert outcome.meter.wrong <= 0.005 * len(outcome.sent)
    assert outcome.retries > 0
    assert outcome.acks <= outcome.packets + outcome.retries


def test_a_silent_node_reports_when_a_heartbeat_is_due() -> None:
    outcome = replay(made([2000] * 61), policy("send_on_delta"), Options(heartbeat_s=600), quiet())

    assert (outcome.events, outcome.heartbeats) == (1, 6)
    assert [i for i, sent in enumerate(outcome.sent) if sent] == list(range(0, 61, 10))


def test_without_heartbeat_a_node_may_be_silent_for_ever() -> None:
    assert replay(made([2000] * 5000), policy("send_on_delta"), Options(), quiet()).packets == 1


def test_a_long_gap_splits_and_a_hole_does_not() -> None:
    hole = made([2000] * 6, [0, 1, 2, 2 + HOLE, 3 + HOLE, 4 + HOLE])
    gap = made([2000] * 6, [0, 1, 2, 3 + HOLE, 4 + HOLE, 5 + HOLE])

    assert (pieces(hole), pieces(gap)) == ([0], [0, 3])
    assert replay(hole, policy("send_on_delta"), Options(), quiet()).packets == 1
    assert replay(gap, policy("send_on_delta"), Options(), quiet()).sent == [True, False, False, True, False, False]


def test_age_begins_anew_after_a_gap() -> None:
    series = made([2000] * 4, [0, 1, 100, 101])

    outcome = replay(series, policy("send_on_delta"), Options(), Script(ups="0" * 1000))

    assert outcome.meter.mean_s() == (60 + 120 + 60 + 120) / 4


def test_equal_to_the_threshold_is_wrong_and_just_below_is_right() -> None:
    assert replay(made([2000, 2049]), policy("send_on_delta"), Options(), quiet()).packets == 1
    assert replay(made([2000, 2050]), policy("send_on_delta"), Options(), quiet()).packets == 2


def test_with_a_threshold_on_the_age_a_short_deviation_costs_no_packet_and_a_lasting_one_is_corrected() -> None:
    outcome = replay(
        made([2000, 2100, 2000, 2100, 2100, 2100, 2200, 2200]), policy("send_on_delta"), Options(tau=2), quiet()
    )

    assert outcome.sent == [True, False, False, False, True, False, False, True]
    assert outcome.meter.wrong == 3


def found(loss: float, *names: str) -> list[Entry]:
    recording = [("folder/day.csv.gz", [shipped()])]
    return list(entries(recording, names, Options(), lambda _: losses.Random(loss, loss, "1")))


@pytest.mark.parametrize("loss", [0.0, 0.4])
def test_every_figure_follows_from_the_trace(loss: float) -> None:
    for entry in found(loss, "periodic_equal", "send_on_delta", "trend"):
        figures, rows = entry.figures(Options()), list(trace(entry))
        errors = [
            (abs(float(t) - float(et)), abs(float(h) - float(eh))) if et else (float("inf"), float("inf"))
            for _, _, _, t, h, et, eh, _ in rows
        ]
        wrong = [t > 0.495 or h > 2.995 for t, h in errors]
        meter = AoiiMeter()
        for is_wrong in wrong:
            meter.observe(is_wrong, 60)

        assert len(rows) == figures["samples"] == 1440
        assert sum(int(row[-1]) for row in rows) == int(figures["events"]) + int(figures["heartbeats"])
        assert sum(wrong) == figures["minutes_wrong"]
        assert figures["aoii_mean_s"] == pytest.approx(meter.mean_s(), abs=0.001)
        assert figures["aoii_p99_s"] == meter.p99_s()
        assert figures["max_error_t"] == pytest.approx(max(t for t, _ in errors if t < 1e9))
        assert figures["max_error_h"] == pytest.approx(max(h for _, h in errors if h < 1e9))


def test_the_figures_are_the_promised_ones_in_order() -> None:
    (entry,) = found(0.0, "trend")

    figures = entry.figures(Options())

    assert list(figures) == KEYS
    assert (figures["file"], figures["node"], figures["days"]) == ("folder/day.csv.gz", "day", 1.0)


def test_policies_come_in_their_order_and_the_equal_one_sends_as_often_as_trend() -> None:
    both = found(0.0, "periodic_equal", "trend")
    alone = found(0.0, "periodic_equal")

    assert [entry.policy.name for entry in both] == ["periodic_equal", "trend"]
    assert both[0].outcome.packets == both[1].outcome.packets == alone[0].outcome.packets


def test_a_trace_has_an_empty_estimate_until_the_gateway_hears() -> None:
    series = made([2000] * 2)
    outcome = Outcome(estimates=[None, (2001, 5003)], sent=[True, True])

    first, second = trace(Entry("f", "n", policy("trend"), series, outcome, Bounds(series, [0], (50, 300))))

    assert first == ("0", "n", "trend", "20.00", "50.00", "", "", "1")
    assert second == ("1", "n", "trend", "20.00", "50.00", "20.01", "50.03", "1")


def test_readings_below_zero_keep_their_sign() -> None:
    outcome = Outcome(estimates=[(-5, 5000)], sent=[True])

    series = made([-5])

    (row,) = trace(Entry("f", "n", policy("trend"), series, outcome, Bounds(series, [0], (50, 300))))

    assert row[3] == row[5] == "-0.05"
