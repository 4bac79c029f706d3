"""The section on thresholds: a wider threshold costs fewer packets and more error."""

from pathlib import Path

from aoii.lab.report.thresholds import HEADER, POLICIES, THRESHOLDS, compare_thresholds
from report_material import material, rows


def test_each_policy_is_measured_at_each_threshold(tmp_path: Path) -> None:
    header, _, *found = rows(compare_thresholds(material(tmp_path)))

    trend = [dict(zip(header, row, strict=True)) for row in found if row[1] == "trend"]
    packets = [float(row["packets a day"]) for row in trend]
    errors = [float(row["mean error, °C"]) for row in trend]
    assert header == HEADER
    assert [row[1] for row in found] == list(POLICIES) * len(THRESHOLDS)
    assert packets == sorted(packets, reverse=True)
    assert errors == sorted(errors)
    assert {row["minutes wrong, %"] for row in trend} == {"0.00"}
    assert (tmp_path / "pareto.png").is_file()
