"""The golden vectors on this interpreter; `tests/micropython` replays the same files on the other one."""

import json
from pathlib import Path

import pytest

from vectors import replay

VECTORS = Path(__file__).parent.parent / "vectors"


@pytest.mark.parametrize("name", replay.FILES)
def test_this_interpreter_agrees_with_the_golden_vectors(name: str) -> None:
    cases = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))

    assert len(cases) > 2
    assert replay.replay(name, cases) == []


def test_a_vector_that_is_not_met_is_reported() -> None:
    assert replay.replay("trend", [{"arguments": [2000, 0, 0, 0, 50, 0], "estimate_c": 2001}]) != []
