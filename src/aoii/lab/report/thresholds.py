"""The section on thresholds: packets, errors and ages of some policies without loss."""

from aoii.lab import plots
from aoii.lab.replay import Options
from aoii.lab.report.material import Material, replay_subjects
from aoii.lab.report.measures import mean_aoii_s, mean_error, of_policy, packets_a_day, percent_wrong, table

THRESHOLDS = ((30, 180), (50, 300), (70, 420))  # hundredths of °C and %RH
POLICIES = ("periodic_equal", "send_on_delta", "mlp", "trend")
HEADER = ["thresholds", "policy", "packets a day"]
HEADER += ["mean error, °C", "mean error, %RH", "minutes wrong, %", "mean AoII, s"]


def compare_thresholds(material: Material) -> str:
    """The section in Markdown; draws `pareto.png`."""
    rows = []
    points: dict[str, list[tuple[float, float, str]]] = {name: [] for name in POLICIES}
    for epsilon in THRESHOLDS:
        done = replay_subjects(material.subjects, POLICIES, Options(epsilon=epsilon, mlp=material.mlp))
        label = f"{epsilon[0] / 100:g} °C"
        for name in POLICIES:
            runs = of_policy(done, name)
            points[name].append((packets_a_day(runs), mean_error(runs, 0), label))
            rows.append(
                [
                    f"{label}, {epsilon[1] / 100:g} %RH",
                    name,
                    f"{packets_a_day(runs):.1f}",
                    f"{mean_error(runs, 0):.3f}",
                    f"{mean_error(runs, 1):.2f}",
                    f"{percent_wrong(runs):.2f}",
                    f"{mean_aoii_s(runs):.1f}",
                ]
            )
    plots.plot_pareto(points, material.plots / "pareto.png", "packets a day and node", "mean absolute error, °C")
    return f"""
## Packets against error against age

Means over all series, at three thresholds.
A policy that sends when the estimate is wrong is never wrong without loss, so its age of incorrect information is zero; it pays with packets.

{table(HEADER, rows)}
![packets and error](results/pareto.png)
"""  # noqa: E501 - one sentence a line
