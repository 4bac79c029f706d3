"""The page docs/explanation/results.md: everything that is claimed about the learning, measured by one command.

Recordings are CSV or CSV.gz files in a folder; those with a column `seq` are packet traces. Each recording is
replayed with a prior that was fitted without it, or without any where the others are not at hand.
"""

import contextlib
import math
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aoii.core import learner
from aoii.core.errors import InputError
from aoii.lab import POLICY_NAMES, losses, plots, pretrain
from aoii.lab.losses import Channel
from aoii.lab.policies import Prior, Weights
from aoii.lab.replay import Entry, Options, entries, stem
from aoii.simulation import csv_table, packet_traces, recordings
from aoii.simulation.recordings import Series

BETAS = ((30, 180), (50, 300), (70, 420))  # hundredths of °C and %RH
LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
UNRELIABLE = ("send_on_delta", "nlms", "kalman", "mlp", "trend")
REFERENCE_HEARTBEAT_S = 600  # of the installation that this project replaces
FEWEST_SAMPLES, FEWEST_PACKETS = 500, 15  # a shorter or calmer series says nothing about a ratio


@dataclass(frozen=True)
class Subject:
    """One recording with the prior it is measured with."""

    name: str
    series: list[Series]
    prior: Prior
    has_prior: bool


def write(folder: Path | None, page: Path, seed: int) -> None:
    """Replay everything and write the page and, beside it, the folder `results` with its plots.

    Raises:
        InputError: A recording cannot be used, or the folder holds none.
    """
    files = [recordings.SHIPPED] if folder is None else sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")])
    traces = [path for path in files if _is_trace(path)]
    mlp = pretrain.load_mlp()
    subjects = _subjects([path for path in files if path not in traces], folder)
    if not subjects:
        raise InputError(f"{folder}: holds no recordings; put CSV or CSV.gz files there")
    forecasts = page.parent / "results"
    command = "aoii lab report" + (f" --recordings {folder}" if folder is not None else "")
    sections = [
        _head(subjects, command),
        _packets(subjects, mlp, forecasts),
        _thresholds(subjects, mlp, forecasts),
        _parts(subjects),
        _unreliable(subjects, mlp, forecasts, seed),
        _real_losses(subjects, mlp, traces, seed) if traces else "",
        _reference(subjects, mlp),
        UNMEASURED,
    ]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(section for section in sections if section), encoding="utf-8")


def _is_trace(path: Path) -> bool:
    return "seq" in csv_table.columns(path)


def _subjects(files: Sequence[Path], folder: Path | None) -> list[Subject]:
    """Every recording, with a prior from the sources of the shipped one that it is no part of."""
    folders = [] if folder is None else [folder]
    try:
        sources = {path.name: pretrain.evidence(recordings.parse(path)) for path in pretrain.find(folders, [])}
    except InputError:
        sources = {}
    subjects = []
    for path in files:
        total = pretrain.Evidence()
        for name, evidence in sources.items():
            if name != path.name:
                total.add(evidence)
        prior = pretrain.fit_prior(total) if sources else pretrain.NO_PRIOR
        subjects.append(Subject(stem(path.name), recordings.parse(path), prior, bool(sources)))
    return subjects


def _lossless(_: Series) -> Channel:
    return losses.Random(0.0, 0.0, "")


def _run(
    subjects: Iterable[Subject],
    names: Sequence[str],
    options: Options,
    channel: Callable[[Series], Channel] = _lossless,
) -> list[Entry]:
    done: list[Entry] = []
    for subject in subjects:
        done += entries([(subject.name, subject.series)], names, replace(options, prior=subject.prior), channel)
    return done


def _title(entry: Entry) -> str:
    return entry.file if entry.node == entry.file else f"{entry.file.partition('_')[0]} {entry.node}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(_mean([math.log(value) for value in values]))


def _days(some: Sequence[Entry]) -> float:
    return sum(len(entry.series) * entry.series.interval_s for entry in some) / 86_400


def _a_day(some: Sequence[Entry]) -> float:
    return sum(entry.outcome.packets for entry in some) / _days(some)


def _wrong_percent(some: Sequence[Entry]) -> float:
    return 100 * sum(entry.outcome.meter.wrong_s for entry in some) / (_days(some) * 86_400)


def _aoii_s(some: Sequence[Entry]) -> float:
    instants = sum(entry.outcome.meter.instants for entry in some)
    return sum(entry.outcome.meter.mean_s() * entry.outcome.meter.instants for entry in some) / instants


def _error(some: Sequence[Entry], q: int) -> float:
    """Mean absolute error after a sample, °C or %RH, over all samples at which the gateway believed something."""
    total, count = 0, 0
    for entry in some:
        readings = entry.series.humidity_c if q else entry.series.temperature_c
        for reading, held in zip(readings, entry.outcome.estimates, strict=True):
            if held is not None:
                total, count = total + abs(reading - held[q]), count + 1
    return total / max(count, 1) / 100


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [
        "| " + " | ".join(header) + " |",
        "|" + "|".join("---" if i == 0 else "---:" for i in range(len(header))) + "|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _head(subjects: Sequence[Subject], command: str) -> str:
    rows = []
    for subject in subjects:
        samples = sum(len(series) for series in subject.series)
        interval_s = subject.series[0].interval_s
        rows.append(
            [
                subject.name,
                str(len(subject.series)),
                str(samples),
                f"{interval_s:g}",
                "fitted on others" if subject.has_prior else "none",
            ]
        )
    return f"""# Results

Generated by `{command}` at commit `{_commit()}`; do not edit.
Thresholds are 0.5 °C and 3 %RH, without heartbeat and without loss, where nothing else is said.
A packet is an event: heartbeats, retransmissions and acknowledgements are counted apart.
The gateway is wrong at a sample when |reading − estimate| reaches a threshold in either quantity, judged after the packet of that sample.
`trend` is what the node runs, to the bit; its prior never saw the recording it is measured on.

{_table(["recording", "series", "samples", "interval, s", "prior of trend"], rows)}"""  # noqa: E501 - one sentence a line


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _packets(subjects: Sequence[Subject], mlp: Weights, forecasts: Path) -> str:
    done = _run(subjects, POLICY_NAMES, Options(mlp=mlp))
    by_series: dict[str, dict[str, Entry]] = {}
    for entry in done:
        by_series.setdefault(_title(entry), {})[entry.policy.name] = entry
    shown = [name for name in POLICY_NAMES if not name.startswith("periodic")]
    rows, counted = [], {}
    for title, group in by_series.items():
        base = group["send_on_delta"].outcome.packets
        trend = group["trend"]
        counts = [str(group[name].outcome.packets) for name in shown]
        is_counted = len(trend.series) >= FEWEST_SAMPLES and base >= FEWEST_PACKETS
        if is_counted:
            counted[title] = group
        ratio = f"{trend.outcome.packets / base:.2f}" + ("" if is_counted else " *")
        equal_wrong = f"{_wrong_percent([group['periodic_equal']]):.1f}"
        rows.append([title, *counts, ratio, str(trend.bounds.hold), str(trend.bounds.linear), equal_wrong])
    text = f"""
## Packets

Packets of each policy on each series, and the ratio of `trend` to send-on-delta.
The bounds are the fewest packets of any policy that knew the future, one hold or one line a packet.
The last column is the share of minutes wrong when as many packets as `trend` sent are spread evenly over time.

{_table(["series", *shown, "trend / send_on_delta", "bound hold", "bound linear", "periodic_equal wrong, %"], rows)}
\\* fewer than {FEWEST_SAMPLES} samples or {FEWEST_PACKETS} packets of send-on-delta: not counted below.
"""
    if not counted:
        return text
    ratios = {
        name: [group[name].outcome.packets / group["send_on_delta"].outcome.packets for group in counted.values()]
        for name in shown
    }
    ratios["bound_linear"] = [g["trend"].bounds.linear / g["send_on_delta"].outcome.packets for g in counted.values()]
    plots.ratios(
        {name: ratios[name] for name in ratios if name != "send_on_delta"}, list(counted), forecasts / "ratios.png"
    )
    worst = max(range(len(counted)), key=lambda i: ratios["trend"][i])
    summary = [[name, f"{_geometric(values):.3f}", f"{max(values):.3f}"] for name, values in ratios.items()]
    wrong = sum(group["trend"].outcome.meter.wrong for group in by_series.values())
    return (
        text
        + f"""
Ratio to send-on-delta over the {len(counted)} counted series:

{_table(["policy", "geometric mean", "worst series"], summary)}
The worst series for `trend` is {list(counted)[worst]}.
Samples at which the gateway was wrong under `trend`: {wrong}.

![ratios](results/ratios.png)
"""
    )


def _thresholds(subjects: Sequence[Subject], mlp: Weights, forecasts: Path) -> str:
    names = ("periodic_equal", "send_on_delta", "mlp", "trend")
    rows = []
    by_error: dict[str, list[tuple[float, float, str]]] = {name: [] for name in names}
    for epsilon in BETAS:
        done = _run(subjects, names, Options(epsilon=epsilon, mlp=mlp))
        for name in names:
            some = [entry for entry in done if entry.policy.name == name]
            label = f"{epsilon[0] / 100:g} °C"
            by_error[name].append((_a_day(some), _error(some, 0), label))
            rows.append(
                [
                    f"{label}, {epsilon[1] / 100:g} %RH",
                    name,
                    f"{_a_day(some):.1f}",
                    f"{_error(some, 0):.3f}",
                    f"{_error(some, 1):.2f}",
                    f"{_wrong_percent(some):.2f}",
                    f"{_aoii_s(some):.1f}",
                ]
            )
    plots.pareto(by_error, forecasts / "pareto.png", "packets a day and node", "mean absolute error, °C")
    header = [
        "thresholds",
        "policy",
        "packets a day",
        "mean error, °C",
        "mean error, %RH",
        "minutes wrong, %",
        "mean AoII, s",
    ]
    return f"""
## Packets against error against age

Means over all series, at three thresholds.
A policy that sends on violation is never wrong without loss, so its age of incorrect information is zero; what it pays with is packets.

{_table(header, rows)}
![packets and error](results/pareto.png)
"""  # noqa: E501 - one sentence a line


PARTS: tuple[tuple[str, dict[str, float]], ...] = (
    ("everything", {}),
    ("without the momentum", {"MIX": 0.0}),
    ("without the gain", {"GAIN_STEP": 0.0}),
    ("without the guard", {"HANDICAP": 1e9}),
    ("without the level", {"REACH_OUT": 0.0}),
)


@contextlib.contextmanager
def _changed(constants: dict[str, float]) -> Iterator[None]:
    """Other constants in the learner, for as long as it is measured without one of its parts."""
    kept = {name: getattr(learner, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(learner, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(learner, name, value)


def _parts(subjects: Sequence[Subject]) -> str:
    variants = [(name, constants, subjects) for name, constants in PARTS]
    variants.append(("without a prior", {}, [replace(subject, prior=pretrain.NO_PRIOR) for subject in subjects]))
    rows = []
    base: list[float] = []
    for name, constants, some in variants:
        ratios: list[float] = []
        for epsilon in BETAS:
            with _changed(constants):
                done = _run(some, ("send_on_delta", "trend"), Options(epsilon=epsilon))
            for held, ours in zip(done[::2], done[1::2], strict=True):
                if len(held.series) >= FEWEST_SAMPLES and held.outcome.packets >= FEWEST_PACKETS:
                    ratios.append(ours.outcome.packets / held.outcome.packets)
        if not ratios:
            return ""
        base = base or ratios
        change = 100 * (_geometric(ratios) / _geometric(base) - 1)
        rows.append([name, f"{_geometric(ratios):.3f}", f"{change:+.1f}", f"{max(ratios):.3f}", str(len(ratios))])
    header = ["trend", "geometric mean", "change, %", "worst", "series and thresholds"]
    return f"""
## What each part of the learning is worth

Ratio to send-on-delta over all counted series at the three thresholds above, with one part of the learner taken away.
Differences below one percent are noise: where a packet falls decides where the next ones fall.

{_table(header, rows)}"""


def _unreliable(subjects: Sequence[Subject], mlp: Weights, forecasts: Path, seed: int) -> str:
    rows = []
    wrong: dict[str, list[tuple[float, float]]] = {name: [] for name in UNRELIABLE}
    for loss in LOSSES:

        def channel(series: Series, loss: float = loss) -> Channel:
            return losses.Random(loss, loss, f"{seed}/{series.node}")

        done = _run(subjects, UNRELIABLE, Options(mlp=mlp), channel)
        row = [f"{100 * loss:g}"]
        for name in UNRELIABLE:
            some = [entry for entry in done if entry.policy.name == name]
            wrong[name].append((loss, _wrong_percent(some)))
            row += [f"{_wrong_percent(some):.3f} / {_aoii_s(some):.1f}"]
        some = [entry for entry in done if entry.policy.name == "trend"]
        row.append(f"{sum(e.outcome.retries for e in some) / max(sum(e.outcome.packets for e in some), 1):.2f}")
        rows.append(row)
    plots.losses(wrong, forecasts / "loss.png", "minutes wrong, %")
    return f"""
## Loss

Packets and acknowledgements are lost with the same probability, each on its own (seed {seed}).
A packet without an acknowledgement is sent again at the same sample, up to five times; `mlp` sends once and takes it for received, as the installation that it comes from does.
Minutes wrong in %, and mean age of incorrect information in s.

{_table(["loss, %", *UNRELIABLE, "retransmissions a packet, trend"], rows)}
![loss](results/loss.png)
"""  # noqa: E501 - one sentence a line


def _real_losses(subjects: Sequence[Subject], mlp: Weights, traces: Sequence[Path], seed: int) -> str:
    rows = []
    for path in traces:
        of_nodes = packet_traces.parse(path)
        node, trace = max(of_nodes.items(), key=lambda item: item[1].received.count(False) / len(item[1].received))

        def channel(series: Series, trace: losses.PacketTrace = trace) -> Channel:
            return losses.Replayed(trace, 0.0, 0.0, f"{seed}/{series.node}")

        done = _run(subjects, UNRELIABLE, Options(mlp=mlp), channel)
        lost = 100 * trace.received.count(False) / len(trace.received)
        row = [f"{stem(path.name)}, node {node}", f"{lost:.1f}"]
        for name in UNRELIABLE:
            some = [entry for entry in done if entry.policy.name == name]
            row.append(f"{_wrong_percent(some):.3f} / {_aoii_s(some):.1f}")
        rows.append(row)
    return f"""
## Real losses

The worst node of each packet trace, replayed over all recordings; where a packet of the trace was lost, every try of ours in that interval is lost.
Minutes wrong in %, and mean age of incorrect information in s.

{_table(["trace", "lost, %", *UNRELIABLE], rows)}"""  # noqa: E501 - one sentence a line


def _reference(subjects: Sequence[Subject], mlp: Weights) -> str:
    log = next((s for subject in subjects for s in subject.series if s.node == "mlp0.5"), None)
    site = next(
        (
            s
            for subject in subjects
            for s in subject.series
            if subject.name.startswith("reference") and s.node == "periodic"
        ),
        None,
    )
    if log is not None and site is not None:
        weights, what = (
            pretrain.fit_mlp([site]),
            "the log `mlp0.5`, with an MLP pre-trained on the log `periodic` of the same room",
        )
        one = [replace(subject, series=[log]) for subject in subjects if log in subject.series]
    else:
        weights, what, one = mlp, f"`{subjects[0].name}`, with the shipped MLP", list(subjects[:1])
    rows = []
    for delta in (30, 50, 70):
        for name, heartbeat_s in (("mlp", REFERENCE_HEARTBEAT_S), ("mlp", 0), ("send_on_delta", 0), ("trend", 0)):
            (entry, *_) = _run(one, [name], Options((delta, 300), heartbeat_s, mlp=weights))
            rows.append(
                [
                    f"{delta / 100:g}",
                    name,
                    f"{heartbeat_s or 'none'}",
                    str(entry.outcome.events),
                    str(entry.outcome.heartbeats),
                    f"{_a_day([entry]):.0f}",
                    f"{100 * (1 - _a_day([entry]) * entry.series.interval_s / 86_400):.0f}",
                    f"{_error([entry], 0):.3f}",
                ]
            )
    header = [
        "δ, °C",
        "policy",
        "heartbeat, s",
        "events",
        "heartbeats",
        "packets a day",
        "fewer than periodic, %",
        "mean error, °C",
    ]
    return f"""
## The older installation's experiment

Its online MLP at δ = 0.3, 0.5 and 0.7 °C and 3 %RH, repeated on {what}.

{_table(header, rows)}
What the published comparison leaves out: it compares events with a packet a minute, and plain send-on-delta needs fewer packets than the MLP at the same error;
heartbeats are packets too; a lost packet leaves the two models different for good, and no loss was simulated; airtime and energy do not fall in proportion to packets, because a board that sleeps lightly spends its energy on sleeping.
"""  # noqa: E501 - one sentence a line


UNMEASURED = """
## What is not measured here

- No board: time and heap of the learner on an ESP32 are estimated from operation counts (learning.md), currents are taken from data sheets.
- No collisions: each node has the radio to itself. The simulated radio of `aoii demo` has them.
- The recordings are few and most are short; a ratio from a day with 50 packets moves by several hundredths when thresholds move by one.
"""  # noqa: E501 - one sentence a line
