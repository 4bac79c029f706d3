"""The section on the parts of the learner: how many more packets are sent without each of them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from aoii.core import learner
from aoii.lab.prior_fit import NO_PRIOR
from aoii.lab.replay import Options
from aoii.lab.report import thresholds
from aoii.lab.report.material import Material, Subject, replay_subjects
from aoii.lab.report.measures import geometric_mean, is_counted, table

PARTS: tuple[tuple[str, dict[str, float]], ...] = (
    ("everything", {}),
    ("without the momentum", {"MIX": 0.0}),
    ("without the gain", {"GAIN_STEP": 0.0}),
    ("without the guard", {"HANDICAP": 1e9}),
    ("without the level", {"REACH_OUT": 0.0}),
)
HEADER = ["trend", "geometric mean", "change, %", "worst", "series and thresholds"]


def compare_parts(material: Material) -> str:
    """The section in Markdown; empty when no series counts."""
    measured = {name: _ratios(material.subjects, constants) for name, constants in PARTS}
    measured["without a prior"] = _ratios([replace(subject, prior=NO_PRIOR) for subject in material.subjects], {})
    if not all(measured.values()):
        return ""
    base = geometric_mean(measured["everything"])
    rows = []
    for name, ratios in measured.items():
        mean = geometric_mean(ratios)
        rows.append([name, f"{mean:.3f}", f"{100 * (mean / base - 1):+.1f}", f"{max(ratios):.3f}", str(len(ratios))])
    return f"""
## What each part of the learning is worth

Ratio to send-on-delta over all counted series at the three thresholds above, without one part of the learner.
Differences below one percent are noise: the time of one packet decides the times of the next ones.

{table(HEADER, rows)}"""


def _ratios(subjects: Sequence[Subject], constants: Mapping[str, float]) -> list[float]:
    """Packets of `trend` divided by those of send-on-delta, for each counted series and threshold."""
    ratios: list[float] = []
    for epsilon in thresholds.THRESHOLDS:
        with changed_constants(constants):
            done = replay_subjects(subjects, ("send_on_delta", "trend"), Options(epsilon=epsilon))
        pairs = zip(done[::2], done[1::2], strict=True)
        ratios += [trend.outcome.packets / hold.outcome.packets for hold, trend in pairs if is_counted(hold)]
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
