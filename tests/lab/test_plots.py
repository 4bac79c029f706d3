"""Plots: one PNG file for each series, named after it."""

from pathlib import Path

import pytest

from aoii.lab import plots
from aoii.lab.channel import lossless
from aoii.lab.policy import Options
from aoii.lab.runs import Run, replay_all
from series import made

PNG = b"\x89PNG"
GAPPY = made([(2000 + k, 5000) for k in range(6)], [0, 1, 2, 40, 41, 42])


def runs(file: str) -> list[Run]:
    return list(replay_all([(file, [GAPPY])], ("periodic", "send_on_delta"), Options(), lossless))


@pytest.mark.parametrize(
    ("file", "name"), [("a/day.csv.gz", "day_made.png"), ("made.csv", "made.png"), ("b/o d/d:y.csv", "d_y_made.png")]
)
def test_a_series_is_drawn_into_a_file_that_is_named_after_recording_and_node(
    tmp_path: Path, file: str, name: str
) -> None:
    plots.plot_series(runs(file), tmp_path / "deep")

    assert [path.name for path in (tmp_path / "deep").iterdir()] == [name]
    assert (tmp_path / "deep" / name).read_bytes().startswith(PNG)


def test_the_plots_of_the_report_are_drawn(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("pareto.png", "ratios.png", "loss.png")]

    plots.plot_pareto({"trend": [(10.0, 0.2, "0.5 °C"), (20.0, 0.1, "0.3 °C")]}, paths[0], "x", "y")
    plots.plot_ratios({"trend": [0.5], "bound_linear": [0.2]}, ["day"], paths[1])
    plots.plot_losses({"trend": [(0.0, 0.0), (0.3, 1.0)]}, paths[2], "y")

    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_every_policy_has_a_colour_of_its_own() -> None:
    assert len(set(plots.COLOURS.values())) == len(plots.COLOURS)
