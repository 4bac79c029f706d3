"""Material for the sections of the lab's report: the shipped day, or the beginning of it."""

from pathlib import Path

from aoii.core import prior
from aoii.lab.mlp_weights import parse_mlp
from aoii.lab.report.material import Material, Subject
from series import shipped


def material(plots: Path, samples: int = 600, traces: list[Path] | None = None) -> Material:
    """One subject, the shipped day's first samples with the shipped prior."""
    subject = Subject("day", [shipped(samples)], prior.WEIGHTS, True)
    return Material([subject], traces or [], parse_mlp(), plots, "aoii lab report", 1)


def rows(section: str) -> list[list[str]]:
    """The cells of all table rows of a section in Markdown."""
    return [
        line.strip("|").split("|")
        for line in section.replace("| ", "|").replace(" |", "|").splitlines()
        if line[:1] == "|"
    ]
