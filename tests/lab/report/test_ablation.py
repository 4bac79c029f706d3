"""The section on the learner's parts: each is really taken away, and put back afterwards."""

from pathlib import Path

import pytest

from aoii.core import learner
from aoii.lab.report import thresholds
from aoii.lab.report.ablation import PARTS, changed_constants, compare_parts
from report_material import material, rows


def test_constants_are_changed_while_the_context_lasts_even_if_it_fails() -> None:
    before, inside = learner.MIX, list[float]()

    def fail() -> None:
        with changed_constants({"MIX": before + 1}):
            inside.append(learner.MIX)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert (inside, learner.MIX) == ([before + 1], before)


def test_every_part_is_measured_against_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "THRESHOLDS", ((50, 300),))

    _, _, everything, *others = rows(compare_parts(material(tmp_path, 1440)))

    assert [row[0] for row in (everything, *others)] == [name for name, _ in PARTS] + ["without a prior"]
    assert everything[2] == "+0.0"
    ratios = {row[0]: row[1] for row in others}
    assert ratios["without the level"] > everything[1]
    assert ratios["without a prior"] != everything[1]  # better or worse by noise on a single day


def test_there_is_no_section_without_a_series_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "THRESHOLDS", ((50, 300),))

    assert compare_parts(material(tmp_path, 60)) == ""
