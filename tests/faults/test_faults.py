"""The short form of the fault campaign: every fault once, on one running stack, with times scaled down.

`make faults` runs the same scenarios as often as TRIALS says, with long times.
"""

from collections.abc import Iterator

import pytest

from faults import report
from faults.scenarios import CONTROLS, EVERYWHERE, PLACES, SCENARIOS, SHORT, Scenario, Skipped
from faults.stack import Stack
from faults.trial import run, run_control

pytestmark = pytest.mark.faults

SEED = 1
EACH = [name for name in SCENARIOS if name.removeprefix("kill_") not in PLACES]  # those come in one trial, in turn


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("faults"), SEED) as stack:
        yield stack


def assert_kept(stack: Stack, name: str, scenario: Scenario) -> None:
    """One trial, whose promises were all kept."""
    try:
        result = run(stack, name, scenario, SEED, SHORT, "")
    except Skipped as reason:
        pytest.skip(str(reason))
    assert not result.violations, result
    assert result.accepted > 0


@pytest.mark.parametrize("name", EACH, ids=[SCENARIOS[name].when for name in EACH])
def test_nothing_accepted_is_lost_or_doubled_when(stack: Stack, name: str) -> None:
    assert_kept(stack, name, SCENARIOS[name])


def test_nothing_accepted_is_lost_or_doubled_when_stations_die_at_every_named_place_in_turn(stack: Stack) -> None:
    assert_kept(stack, "everywhere", EVERYWHERE)


@pytest.mark.parametrize("name", CONTROLS, ids=[control.when for control in CONTROLS.values()])
def test_the_campaign_finds_loss_or_doubling_when(stack: Stack, name: str) -> None:
    result = run_control(stack, name, CONTROLS[name], SEED, SHORT)

    assert report.bites(result), result
