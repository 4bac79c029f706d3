"""The section on packets: every policy on every series without loss, against send-on-delta and the bounds."""

from collections.abc import Mapping

from aoii.lab import POLICY_NAMES, plots
from aoii.lab.replay import Options
from aoii.lab.report import measures
from aoii.lab.report.material import Material, replay_subjects
from aoii.lab.runs import Run

SHOWN = [name for name in POLICY_NAMES if not name.startswith("periodic")]
HEADER = ["series", *SHOWN, "trend / send_on_delta", "bound hold", "bound linear", "periodic_equal wrong, %"]
NOT_COUNTED = f"fewer than {measures.FEWEST_SAMPLES} samples or {measures.FEWEST_PACKETS} packets of send-on-delta"

Group = Mapping[str, Run]  # the runs on one series, by policy


def compare_packets(material: Material) -> str:
    """The section in Markdown; draws `ratios.png`."""
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
\\* {NOT_COUNTED}: not counted below.
"""
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
