"""The report's section that repeats the experiment of the older installation with its online MLP."""

from collections.abc import Sequence
from dataclasses import replace

from aoii.lab.mlp_weights import MlpWeights, fit_mlp
from aoii.lab.policy import Options
from aoii.lab.replay import DAY_S
from aoii.lab.report.material import Material, Subject, replay_subjects
from aoii.lab.report.measures import mean_error, packets_a_day, table
from aoii.lab.runs import Run

HEARTBEAT_S = 600  # of the installation that this project replaces
DELTAS = (30, 50, 70)  # hundredths of °C
RUNS = (("mlp", HEARTBEAT_S), ("mlp", 0), ("send_on_delta", 0), ("trend", 0))  # policy and heartbeat
HEADER = ["δ, °C", "policy", "heartbeat, s", "events", "heartbeats"]
HEADER += ["packets a day", "fewer than periodic, %", "mean error, °C"]


def repeat_experiment(material: Material) -> str:
    """The section in Markdown; on the first recording where the logs of that installation are missing."""
    description, subjects, mlp = _choose(material)
    rows = []
    for delta in DELTAS:
        for name, heartbeat_s in RUNS:
            run, *_ = replay_subjects(subjects, [name], Options((delta, 300), heartbeat_s, mlp=mlp))
            rows.append(_row(delta, heartbeat_s, run))
    return f"""
## The older installation's experiment

Its online MLP at δ = 0.3, 0.5 and 0.7 °C and 3 %RH, repeated on {description}.

{table(HEADER, rows)}
The published comparison leaves out four things.
It compares events with a packet a minute, and plain send-on-delta needs fewer packets than the MLP at the same error.
Heartbeats are packets too.
A lost packet makes the two models differ for good, and no loss was simulated.
Airtime and energy do not fall in proportion to packets, because a board in light sleep spends its energy on sleeping.
"""


def _choose(material: Material) -> tuple[str, Sequence[Subject], MlpWeights]:
    """What is replayed, in words; the recording; and the first weights of the MLP."""
    for subject in material.subjects:
        logs = {series.node: series for series in subject.series}
        if {"mlp0.5", "periodic"} <= logs.keys():
            description = "the log `mlp0.5`, with an MLP pre-trained on the log `periodic` of the same room"
            return description, [replace(subject, series=[logs["mlp0.5"]])], fit_mlp([logs["periodic"]])
    first = material.subjects[0]
    return f"`{first.name}`, with the shipped MLP", [first], material.mlp


def _row(delta: int, heartbeat_s: int, run: Run) -> list[str]:
    saved = 100 * (1 - packets_a_day([run]) * run.series.interval_s / DAY_S)
    return [
        f"{delta / 100:g}",
        run.policy.name,
        f"{heartbeat_s or 'none'}",
        str(run.outcome.events),
        str(run.outcome.heartbeats),
        f"{packets_a_day([run]):.0f}",
        f"{saved:.0f}",
        f"{mean_error([run], 0):.3f}",
    ]
