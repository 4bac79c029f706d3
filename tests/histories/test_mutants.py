"""The mutants can be planted as the code is now, and one of them is found at once."""

import shutil
from pathlib import Path

import pytest

from histories.mutants import MUTANTS, ROOT, Mutant, try_mutant


def test_there_are_thirty_mutants_with_names_of_their_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 30


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code(mutant: Mutant, tmp_path: Path) -> None:
    path = tmp_path / mutant.file
    path.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / "src" / "aoii" / mutant.file, path)

    mutant.plant(tmp_path)

    compile(path.read_text(encoding="utf-8"), mutant.file, "exec")


def test_a_mutant_is_found_and_the_sources_stay_as_they_are() -> None:
    mutant = MUTANTS[0]
    source = ROOT / "src" / "aoii" / mutant.file
    before = source.read_bytes()

    seed, problem = try_mutant(mutant, 5)

    assert seed is not None
    assert "not done" in problem, problem
    assert source.read_bytes() == before


def test_without_a_mutant_nothing_is_found() -> None:
    seed, problem = try_mutant(Mutant("none", "core/link.py", (), "nothing"), 3)

    assert (seed, problem) == (None, "")
