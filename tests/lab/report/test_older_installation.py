"""The older installation's experiment: on its logs where they are at hand, else on the shipped day."""

from dataclasses import replace
from pathlib import Path

import pytest

from aoii.lab import mlp_weights
from aoii.lab.report.older_installation import DELTAS, HEADER, RUNS, repeat_experiment
from report_material import material, rows


def test_without_its_logs_the_first_recording_and_the_shipped_mlp_are_used(tmp_path: Path) -> None:
    section = repeat_experiment(material(tmp_path, 300))

    header, _, *found = rows(section)
    assert "repeated on `day`, with the shipped MLP." in section
    assert header == HEADER
    assert [(row[1], row[2]) for row in found] == [(name, str(s or "none")) for name, s in RUNS] * len(DELTAS)
    assert all((int(row[4]) > 0) == (row[2] == "600") for row in found if row[0] == "0.7")


def test_with_its_logs_the_perceptron_is_trained_on_the_periodic_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlp_weights, "EPOCHS", 2)
    given = material(tmp_path, 60)
    (day,) = given.subjects[0].series
    logs = [replace(day, node="periodic"), replace(day, node="mlp0.5")]

    section = repeat_experiment(replace(given, subjects=[replace(given.subjects[0], name="reference", series=logs)]))

    assert "repeated on the log `mlp0.5`" in section
