"""The report's sections without loss: every policy, three thresholds, and what each part of the learner is worth.

Each function is a section in Markdown.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from aoii.core import learner
from aoii.lab import POLICY_NAMES, plots
from aoii.lab.policy import Options
from aoii.lab.prior_fit import NO_PRIOR
from aoii.lab.report import measures
from aoii.lab.report.material import Material, Subject, replay_subjects
from aoii.lab.runs import Run

SHOWN = [name for name in POLICY_NAMES if not name.startswith("periodic")]
HEADER = ["series", *SHOWN, "trend / send_on_delta", "bound hold", "bound linear", "periodic_equal wrong, %"]

Group = Mapping[str, Run]  # the runs on one series, by policy

THRESHOLDS = ((30, 180), (50, 300), (70, 420))  # hundredths of °C and %RH
THRESHOLD_POLICIES = ("periodic_equal", "send_on_delta", "mlp", "trend")
THRESHOLD_HEADER = ["thresholds", "policy", "packets a day"]
THRESHOLD_HEADER += ["mean error, °C", "mean error, %RH", "minutes wrong, %", "mean AoII, s"]

PARTS: tuple[tuple[str, dict[str, float]], ...] = (
    ("everything", {}),
    ("without the momentum", {"MIX": 0.0}),
    ("without the gain", {"GAIN_STEP": 0.0}),
    ("without the guard", {"HANDICAP": 1e9}),
    ("without the level", {"LEVEL_LIMIT": 0.0}),
)
PART_HEADER = ["trend", "geometric mean", "change, %", "worst", "series and thresholds"]


def compare_packets(material: Material) -> str:
    """Every policy on every series, against send-on-delta and the bounds; draws `ratios.png`."""
    groups: dict[str, dict[str, Run]] = {}
    for run in replay_subjects(material.subjects, POLICY_NAMES, Options(mlp=material.mlp)):
        groups.setdefault(_title(run), {})[run.policy.name] = run
    counted = {title: group for title, group in groups.items() if measures.is_counted(group["send_on_delta"])}
    rows = [_row(title, group, title in counted) for title, group in groups.items()]
    text = f"""
## Packets

Packets of each policy on each series, and the ratio of `trend` to send-on-delta.
The bounds are the fewest packets of any policy that knows the future, with one value or one line a packet.
The last column is the share of minutes wrong when as many packets as `trend` sent are spread evenly over time.

{measures.table(HEADER, rows)}
\\* fewer than {measures.FEWEST_SAMPLES} samples or {measures.FEWEST_PACKETS} packets of send-on-delta: not counted below.
"""  # noqa: E501 - one sentence a line
    if counted:
        wrong = sum(group["trend"].outcome.meter.wrong for group in groups.values())
        text += _summarise(material, counted, wrong)
    return text


def _title(run: Run) -> str:
    return run.file if run.node == run.file else f"{run.file.partition('_')[0]} {run.node}"


def _row(title: str, group: Group, is_counted: bool) -> list[str]:
    trend = group["trend"]
    return [
        title,
        *[str(group[name].outcome.packets) for name in SHOWN],
        f"{_ratio(group, 'trend'):.2f}{'' if is_counted else ' *'}",
        str(trend.bounds.hold),
        str(trend.bounds.linear),
        f"{measures.percent_wrong([group['periodic_equal']]):.1f}",
    ]


def _ratio(group: Group, name: str) -> float:
    return group[name].outcome.packets / group["send_on_delta"].outcome.packets


def _summarise(material: Material, counted: Mapping[str, Group], wrong: int) -> str:
    ratios = {name: [_ratio(group, name) for group in counted.values()] for name in SHOWN}
    ratios["bound_linear"] = [
        group["trend"].bounds.linear / group["send_on_delta"].outcome.packets for group in counted.values()
    ]
    drawn = {name: values for name, values in ratios.items() if name != "send_on_delta"}
    plots.plot_ratios(drawn, list(counted), material.plots / "ratios.png")
    worst = max(counted, key=lambda title: _ratio(counted[title], "trend"))
    rows = [[name, f"{measures.geometric_mean(values):.3f}", f"{max(values):.3f}"] for name, values in ratios.items()]
    return f"""
Ratio to send-on-delta over the {len(counted)} counted series:

{measures.table(["policy", "geometric mean", "worst series"], rows)}
The worst series for `trend` is {worst}.
Samples at which the gateway was wrong under `trend`: {wrong}.

![ratios](results/ratios.png)
"""


def compare_thresholds(material: Material) -> str:
    """Packets, errors and ages of some policies at three thresholds; draws `pareto.png`."""
    rows = []
    points: dict[str, list[tuple[float, float, str]]] = {name: [] for name in THRESHOLD_POLICIES}
    for epsilon in THRESHOLDS:
        done = replay_subjects(material.subjects, THRESHOLD_POLICIES, Options(epsilon=epsilon, mlp=material.mlp))
        label = f"{epsilon[0] / 100:g} °C"
        for name in THRESHOLD_POLICIES:
            runs = measures.of_policy(done, name)
            points[name].append((measures.packets_a_day(runs), measures.mean_error(runs, 0), label))
            rows.append(
                [
                    f"{label}, {epsilon[1] / 100:g} %RH",
                    name,
                    f"{measures.packets_a_day(runs):.1f}",
                    f"{measures.mean_error(runs, 0):.3f}",
                    f"{measures.mean_error(runs, 1):.2f}",
                    f"{measures.percent_wrong(runs):.2f}",
                    f"{measures.mean_aoii_s(runs):.1f}",
                ]
            )
    plots.plot_pareto(points, material.plots / "pareto.png", "packets a day and node", "mean absolute error, °C")
    return f"""
## Packets against error against age

Means over all series, at three thresholds.
A policy that sends when the estimate is wrong is never wrong without loss, so its age of incorrect information is zero; it pays with packets.

{measures.table(THRESHOLD_HEADER, rows)}
![packets and error](results/pareto.png)
"""  # noqa: E501 - one sentence a line


def compare_parts(material: Material) -> str:
    """How many more packets are sent without each part of the learner; empty when no series counts."""
    measured = {name: _ratios(material.subjects, constants) for name, constants in PARTS}
    measured["without a prior"] = _ratios([replace(subject, prior=NO_PRIOR) for subject in material.subjects], {})
    if not all(measured.values()):
        return ""
    base = measures.geometric_mean(measured["everything"])
    rows = []
    for name, ratios in measured.items():
        mean = measures.geometric_mean(ratios)
        rows.append([name, f"{mean:.3f}", f"{100 * (mean / base - 1):+.1f}", f"{max(ratios):.3f}", str(len(ratios))])
    return f"""
## What each part of the learning is worth

Ratio to send-on-delta over all counted series at the three thresholds above, without one part of the learner.
Differences below one percent are noise: the time of one packet decides the times of the next ones.

{measures.table(PART_HEADER, rows)}"""


def _ratios(subjects: Sequence[Subject], constants: Mapping[str, float]) -> list[float]:
    """Packets of `trend` divided by those of send-on-delta, for each counted series and threshold."""
    ratios: list[float] = []
    for epsilon in THRESHOLDS:
        with changed_constants(constants):
            done = replay_subjects(subjects, ("send_on_delta", "trend"), Options(epsilon=epsilon))
        pairs = zip(done[::2], done[1::2], strict=True)
        ratios += [trend.outcome.packets / hold.outcome.packets for hold, trend in pairs if measures.is_counted(hold)]
    return ratios


@contextlib.contextmanager
def changed_constants(constants: Mapping[str, float]) -> Iterator[None]:
    """Other constants in the learner while the context lasts."""
    kept = {name: getattr(learner, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(learner, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(learner, name, value)
