"""Plots as PNG files: readings and estimates of a series, and how policies compare."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from aoii.lab.runs import Run, stem

COLOURS = {
    "periodic": "#9e9e9e",
    "periodic_equal": "#616161",
    "send_on_delta": "#1565c0",
    "dbp": "#6a1b9a",
    "damped": "#00838f",
    "nlms": "#ef6c00",
    "kalman": "#9e9d24",
    "mlp": "#ad1457",
    "trend": "#2e7d32",
}


@contextmanager
def figure(path: Path, rows: int = 1, columns: int = 1, size: tuple[float, float] = (8.0, 4.0)) -> Iterator[list[Axes]]:
    """Axes to draw on, row by row; the file is written at the end of the context."""
    drawing, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    try:
        yield list(axes.flat)
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path, dpi=100, metadata={"Software": None})
    finally:
        plt.close(drawing)


def plot_series(runs: Sequence[Run], folder: Path) -> None:
    """One plot for each series, with readings, estimates and packets of its policies; the file is named after it."""
    by_series: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_series.setdefault((stem(run.file), run.node), []).append(run)
    for (file, node), group in by_series.items():
        name = file if node in ("", file) else f"{file}_{node}"
        safe_name = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
        _plot_one(group, folder / f"{safe_name}.png")


def _plot_one(group: Sequence[Run], path: Path) -> None:
    series = group[0].series
    hours = np.array(series.slots) * series.interval_s / 3600
    breaks = np.flatnonzero(np.diff(series.slots) > 1) + 1  # a gap is drawn as a gap

    def draw(axes: Axes, values: Sequence[float], name: str, width: float) -> None:
        line = np.insert(hours, breaks, np.nan), np.insert(np.array(values), breaks, np.nan)
        axes.plot(*line, color=COLOURS.get(name, "black"), linewidth=width, label=name)

    with figure(path, rows=3, size=(10.0, 8.0)) as (upper, lower, packets):
        quantities = ((upper, "temperature, °C", series.temperature_c), (lower, "humidity, %RH", series.humidity_c))
        for q, (axes, unit, readings) in enumerate(quantities):
            for run in group:
                if run.policy.name != "periodic":
                    estimates = [np.nan if pair is None else pair[q] / 100 for pair in run.outcome.estimates]
                    draw(axes, estimates, run.policy.name, 0.8)
            draw(axes, [value / 100 for value in readings], "measured", 0.6)
            axes.set_ylabel(unit)
        upper.legend(loc="upper left", fontsize="small", ncols=3)
        upper.set_title(f"{stem(group[0].file)} {group[0].node}")
        for row, run in enumerate(group):
            sent = hours[np.array(run.outcome.sent)]
            packets.plot(sent, np.full(len(sent), row), "|", color=COLOURS[run.policy.name], markersize=8)
        packets.set_yticks(range(len(group)), [f"{run.policy.name} {run.outcome.packets}" for run in group])
        packets.set_xlabel("hours")


def plot_pareto(points: Mapping[str, Sequence[tuple[float, float, str]]], path: Path, x: str, y: str) -> None:
    """One line for each policy, of points (x, y, label)."""
    with figure(path) as (axes,):
        for name, line in points.items():
            xs, ys, _ = zip(*line, strict=True)
            axes.plot(xs, ys, "o-", color=COLOURS[name], label=name, markersize=4)
            for a, b, label in line:
                axes.annotate(label, (a, b), textcoords="offset points", xytext=(4, 4), fontsize="x-small")
        axes.set(xlabel=x, ylabel=y, xscale="log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(ScalarFormatter())
        axes.legend(fontsize="small")


def plot_ratios(bars: Mapping[str, Sequence[float]], labels: Sequence[str], path: Path) -> None:
    """Bars: packets of each policy divided by those of send-on-delta, for each series."""
    with figure(path, size=(10.0, 4.0)) as (axes,):
        width = 0.8 / len(bars)
        at = np.arange(len(labels))
        for i, (name, values) in enumerate(bars.items()):
            left = at + (i - len(bars) / 2 + 0.5) * width
            axes.bar(left, values, width, color=COLOURS.get(name, "#bdbdbd"), label=name)
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.set_xticks(at, labels, rotation=30, ha="right", fontsize="small")
        axes.set_ylabel("packets / send-on-delta")
        axes.legend(fontsize="small", ncols=4)


def plot_losses(lines: Mapping[str, Sequence[tuple[float, float]]], path: Path, y: str) -> None:
    """One line for each policy over the share of packets that is lost."""
    with figure(path) as (axes,):
        for name, line in lines.items():
            shares, values = zip(*line, strict=True)
            axes.plot([100 * share for share in shares], values, "o-", color=COLOURS[name], label=name, markersize=4)
        axes.set(xlabel="loss of packets and of acknowledgements, %", ylabel=y)
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize="small", ncols=2)
