"""`aoii lab airtime`: one row for each policy and spreading factor."""

import pytest

from aoii.commands.main import main


def test_airtime_is_printed_for_every_spreading_factor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "airtime", "--packets", "144", "--bytes", "13"]) == 0

    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[3]: line.split() for line in lines if line.lstrip().startswith("144 a day")}
    assert list(rows) == ["7", "8", "9", "10", "11", "12"]
    assert {"164.9", "5240"} <= set(rows["9"])  # and 864 s a day at 1 %


def test_airtime_of_policies_comes_from_a_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "airtime", "--policy", "periodic", "trend"]) == 0

    printed = capsys.readouterr().out
    assert "1440" in printed
    assert "trend" in printed
