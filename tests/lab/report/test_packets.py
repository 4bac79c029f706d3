"""The section on packets: its counts, what is counted, and its plot."""

from pathlib import Path

from aoii.lab.report.packets import HEADER, compare_packets
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
