"""What the report is made from: recordings, each with a prior that never saw it, and packet traces."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aoii.core.errors import InputError
from aoii.lab.channel import Channel, lossless
from aoii.lab.mlp_weights import MlpWeights, parse_mlp
from aoii.lab.policy import Options, Prior
from aoii.lab.prior_fit import NO_PRIOR, fit_prior, gather_evidence
from aoii.lab.runs import Run, replay_all, stem
from aoii.lab.sources import find
from aoii.simulation import csv_table, recordings
from aoii.simulation.recordings import Series


@dataclass(frozen=True)
class Subject:
    """A recording and the prior that it is measured with.

    Attributes:
        name: File name without endings.
        series: Its series.
        prior: Fitted without this recording.
        has_prior: Whether the prior was fitted; False: a source is missing, and the prior is `NO_PRIOR`.
    """

    name: str
    series: list[Series]
    prior: Prior
    has_prior: bool


@dataclass(frozen=True)
class Material:
    """The input of every section.

    Attributes:
        subjects: The recordings.
        traces: Files with packet traces.
        mlp: The first weights of `mlp`.
        plots: Folder of the plots.
        command: The command that makes the page.
        seed: Seed of the losses.
        notes: What was read otherwise than it stands in a file.
    """

    subjects: Sequence[Subject]
    traces: Sequence[Path]
    mlp: MlpWeights
    plots: Path
    command: str
    seed: int
    notes: Sequence[str] = ()


def load_material(folder: Path | None, plots: Path, seed: int) -> Material:
    """The recordings and packet traces in a folder; None: the shipped day.

    Raises:
        InputError: A recording cannot be used.
    """
    files = [recordings.SHIPPED] if folder is None else _csv_files(folder)
    traces = [path for path in files if "seq" in csv_table.read(path).columns]
    notes: list[str] = []
    subjects = _subjects([path for path in files if path not in traces], [] if folder is None else [folder], notes)
    command = "aoii lab report" + (f" --recordings {folder}" if folder is not None else "")
    return Material(subjects, traces, parse_mlp(), plots, command, seed, notes)


def _csv_files(folder: Path) -> list[Path]:
    """The files in a folder whose names end in .csv or .csv.gz, in any case; none where there is no such folder."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in there if path.name.casefold().endswith((".csv", ".csv.gz"))]


def _subjects(files: Sequence[Path], folders: Sequence[Path], notes: list[str]) -> list[Subject]:
    """Each recording with a prior from all sources but itself; without a prior if a source is not in the folders."""
    try:
        sources = {path.name: gather_evidence(recordings.parse(path)) for path in find(folders, [])}
    except InputError:
        sources = {}
    subjects = []
    for path in files:
        others = [evidence for name, evidence in sources.items() if name != path.name]
        prior = fit_prior(others) if sources else NO_PRIOR
        subjects.append(Subject(stem(path.name), recordings.parse(path, notes.append), prior, bool(sources)))
    return subjects


def replay_subjects(
    subjects: Iterable[Subject], names: Sequence[str], options: Options, channel: Callable[[Series], Channel] = lossless
) -> list[Run]:
    """Every policy of `names` on every series, each recording with its own prior."""
    runs: list[Run] = []
    for subject in subjects:
        runs += replay_all([(subject.name, subject.series)], names, replace(options, prior=subject.prior), channel)
    return runs
