"""The sections on loss: random losses, and the worst node of each packet trace."""

from pathlib import Path

import pytest

from aoii.lab.report import losses
from aoii.lab.report.losses import POLICIES, compare_losses, compare_traces
from report_material import material, rows

TRACE = "timestamp,node,seq\n" + "".join(
    f"2026-01-01T00:{minute:02}:00,{node},{minute * step}\n"
    for node, step in (("good", 1), ("bad", 2))
    for minute in range(10)
)


def test_loss_costs_retransmissions_and_makes_the_mirrored_mlp_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "LOSSES", (0.0, 0.3))

    header, _, fair, lossy = rows(compare_losses(material(tmp_path)))

    assert header[1:-1] == list(POLICIES)
    assert fair == ["0", *["0.000 / 0.0"] * 5, "0.00"]
    assert float(lossy[-1]) > 0.5
    assert float(lossy[header.index("mlp")].split(" / ")[0]) > 1
    assert (tmp_path / "loss.png").is_file()


def test_the_worst_node_of_a_trace_is_replayed(tmp_path: Path) -> None:
    path = tmp_path / "gateway.csv"
    path.write_text(TRACE)

    _, _, row = rows(compare_traces(material(tmp_path, 100, [path])))

    assert row[:2] == ["gateway, node bad", "47.4"]  # 9 of 19


def test_there_is_no_section_without_traces(tmp_path: Path) -> None:
    assert compare_traces(material(tmp_path)) == ""
