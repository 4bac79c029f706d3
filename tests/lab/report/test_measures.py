"""The measures of the report, each against a count by hand."""

import pytest

from aoii.lab.bounds import Bounds
from aoii.lab.channel import lossless
from aoii.lab.policies import BY_NAME
from aoii.lab.policy import Options
from aoii.lab.replay import replay
from aoii.lab.report import measures
from aoii.lab.runs import Run
from series import made


def run(name: str, temperatures: list[int], packets: int = 0) -> Run:
    series = made([(t, 5000) for t in temperatures])
    outcome = replay(series, BY_NAME[name], Options(), lossless(), packets)
    return Run("f", "n", BY_NAME[name], series, outcome, Bounds(series, [0], (50, 300)))


STEP = [2000] * 720 + [2040] * 720  # a step below the threshold
FAR = [2000] * 720 + [2100] * 720  # one above it, which a single packet at the beginning misses


def test_packets_errors_and_ages_by_hand() -> None:
    calm, blind = run("send_on_delta", STEP), run("periodic_equal", FAR, packets=1)

    assert measures.packets_a_day([calm]) == 1.0
    assert measures.packets_a_day([calm, blind]) == 1.0
    assert measures.mean_error([calm], 0) == pytest.approx(0.2)
    assert measures.mean_error([calm, blind], 0) == pytest.approx(0.35)
    assert measures.mean_error([calm], 1) == 0.0
    assert (measures.percent_wrong([calm]), measures.percent_wrong([blind])) == (0.0, 50.0)
    assert measures.mean_aoii_s([blind]) == pytest.approx(60 * sum(range(1, 721)) / 1440)
    assert measures.wrong_and_age([calm]) == "0.000 / 0.0"


def test_the_geometric_mean_of_a_ratio_and_its_inverse_is_one() -> None:
    assert measures.geometric_mean([0.25, 4.0]) == pytest.approx(1.0)


def test_a_short_or_calm_series_is_not_counted() -> None:
    restless = [2000 + 100 * (k // 20) for k in range(520)]

    assert measures.is_counted(run("send_on_delta", restless))
    assert not measures.is_counted(run("send_on_delta", restless[:480]))
    assert not measures.is_counted(run("send_on_delta", STEP))


def test_a_table_is_markdown_with_numbers_to_the_right() -> None:
    assert measures.table(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |\n"


def test_runs_are_chosen_by_policy() -> None:
    runs = [run("send_on_delta", STEP[:5]), run("trend", STEP[:5])]

    assert measures.of_policy(runs, "trend") == [runs[1]]
