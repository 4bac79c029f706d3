"""`aoii certs`: makes and shows certificates, overwrites none, and still knows its old word."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aoii.commands import main
from aoii.security import authority


def test_the_command_makes_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["certs", "--dir", str(tmp_path / "c")]

    wanted = ["ca"], ["server", "db", "db.example"], ["client", "attic"]
    made = [main.main([*where, *words]) for words in wanted]
    said = capsys.readouterr().out
    shown = main.main([*where, "show", str(tmp_path / "c/db.crt")])

    assert (made, shown) == ([0, 0, 0], 0)
    assert said.count("good until") == 3
    assert "PRIVATE" not in said
    assert "db.example" in capsys.readouterr().out


def test_the_command_says_when_the_end_is_near(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["certs", "--dir", str(tmp_path), "ca", "--days", "20"])

    assert main.main(["certs", "show", str(tmp_path / "ca.crt")]) == 1
    authority.make_authority(tmp_path / "old", days=2, now=datetime.now(UTC) - timedelta(days=9))
    assert main.main(["certs", "show", str(tmp_path / "old/ca.crt")]) == 1
    assert "EXPIRED" in capsys.readouterr().out


def test_the_command_refuses_to_overwrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["certs", "--dir", str(tmp_path), "ca"])

    assert main.main(["certs", "--dir", str(tmp_path), "ca"]) == 2
    assert "exists" in capsys.readouterr().err


def test_the_old_name_of_the_command_still_works_and_says_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["certs", "--dir", str(tmp_path), "authority", "--days", "20"]) == 0

    assert (tmp_path / "ca.crt").exists()
    assert capsys.readouterr().err == "`aoii certs authority` is deprecated; use `aoii certs ca`\n"
