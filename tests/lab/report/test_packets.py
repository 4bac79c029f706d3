"""The sections without loss: counts and what is counted, wider thresholds, and parts of the learner taken away."""

from pathlib import Path

import pytest

from aoii.core import learner
from aoii.lab.report import packets
from aoii.lab.report.packets import (
    HEADER,
    PARTS,
    THRESHOLD_HEADER,
    THRESHOLD_POLICIES,
    THRESHOLDS,
    changed_constants,
    compare_packets,
    compare_parts,
    compare_thresholds,
)
from report_material import material, rows


def test_the_shipped_day_has_its_known_counts_and_is_summarised(tmp_path: Path) -> None:
    section = compare_packets(material(tmp_path / "results", 1440))

    header, _, day, *summary = rows(section)
    cells = dict(zip(header, day, strict=True))
    assert header == HEADER
    assert (cells["send_on_delta"], cells["bound hold"], cells["bound linear"]) == ("131", "53", "21")
    assert cells["trend / send_on_delta"] == f"{int(cells['trend']) / 131:.2f}"
    assert ["send_on_delta", "1.000", "1.000"] in summary
    assert "Samples at which the gateway was wrong under `trend`: 0." in section
    assert (tmp_path / "results" / "ratios.png").is_file()


def test_a_short_series_is_marked_and_nothing_is_summarised(tmp_path: Path) -> None:
    section = compare_packets(material(tmp_path, 100))

    assert rows(section)[2][HEADER.index("trend / send_on_delta")].endswith(" *")
    assert "geometric mean" not in section
    assert not (tmp_path / "ratios.png").exists()


def test_each_policy_is_measured_at_each_threshold(tmp_path: Path) -> None:
    header, _, *found = rows(compare_thresholds(material(tmp_path)))

    trend = [dict(zip(header, row, strict=True)) for row in found if row[1] == "trend"]
    counts = [float(row["packets a day"]) for row in trend]
    errors = [float(row["mean error, °C"]) for row in trend]
    assert header == THRESHOLD_HEADER
    assert [row[1] for row in found] == list(THRESHOLD_POLICIES) * len(THRESHOLDS)
    assert counts == sorted(counts, reverse=True)
    assert errors == sorted(errors)
    assert {row["minutes wrong, %"] for row in trend} == {"0.00"}
    assert (tmp_path / "pareto.png").is_file()


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
    monkeypatch.setattr(packets, "THRESHOLDS", ((50, 300),))

    _, _, everything, *others = rows(compare_parts(material(tmp_path, 1440)))

    assert [row[0] for row in (everything, *others)] == [name for name, _ in PARTS] + ["without a prior"]
    assert everything[2] == "+0.0"
    ratios = {row[0]: row[1] for row in others}
    assert ratios["without the level"] > everything[1]
    assert ratios["without a prior"] != everything[1]  # better or worse by noise on a single day


def test_there_is_no_section_without_a_series_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "THRESHOLDS", ((50, 300),))

    assert compare_parts(material(tmp_path, 60)) == ""
