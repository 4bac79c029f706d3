"""The page docs/explanation/results.md: every figure that is claimed for the learning, measured by one command.

Recordings are CSV or CSV.gz files in a folder; those with a column `seq` are packet traces. Each recording is replayed
with a prior that was fitted without it, or without any prior where the sources of the prior are missing.
"""

from pathlib import Path

from aoii.core.errors import InputError
from aoii.lab.report import ablation, introduction, losses, older_installation, packets, thresholds
from aoii.lab.report.material import collect

SECTIONS = (
    introduction.introduce,
    packets.compare_packets,
    thresholds.compare_thresholds,
    ablation.compare_parts,
    losses.compare_losses,
    losses.compare_traces,
    older_installation.repeat_experiment,
    lambda material: UNMEASURED,
)

UNMEASURED = """
## What is not measured here

- No board: time and heap of the learner on an ESP32 are estimated from operation counts (learning.md), currents are taken from data sheets.
- No collisions: each node has the radio to itself. The simulated radio of `aoii demo` has them.
- The recordings are few and most are short; a ratio from a day with 50 packets moves by several hundredths when thresholds move by one.
"""  # noqa: E501 - one sentence a line


def write_report(folder: Path | None, page: Path, seed: int) -> None:
    """Replay everything and write the page and, in the folder `results` beside it, its plots.

    Args:
        folder: Where the recordings and packet traces are; None: the shipped day only.
        page: File to write.
        seed: Of the losses.

    Raises:
        InputError: A recording cannot be used, or the folder has none.
    """
    material = collect(folder, page.parent / "results", seed)
    if not material.subjects:
        raise InputError(f"{folder}: has no recordings", "put CSV or CSV.gz files there")
    sections = [section(material) for section in SECTIONS]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(section for section in sections if section), encoding="utf-8")
