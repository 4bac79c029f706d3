"""The short form of the campaign that loses machines: a gateway, a database, and what shows that both are needed.

`make faults SCENARIOS=machines` runs all of its scenarios, as often as TRIALS says.
"""

from collections.abc import Iterator

import pytest

from faults import report
from faults.installation import Site
from faults.machine_trial import run_machines
from faults.machines import MACHINE_CONTROLS, MACHINES

pytestmark = pytest.mark.faults

SEED = 1
SHORT = ("gateway_disk_lost", "database_restored")
SHORT_CONTROLS = ("ignored_questions",)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("machines")) as site:
        yield site


@pytest.mark.parametrize("name", SHORT, ids=[MACHINES[name].when for name in SHORT])
def test_nothing_that_a_node_saw_acknowledged_is_lost_or_doubled_when(site: Site, name: str) -> None:
    result = run_machines(site, name, MACHINES[name], SEED, "")

    assert not result.violations, result
    assert result.asked > 0, "nothing was lost, so nothing was tried"


@pytest.mark.parametrize("name", SHORT_CONTROLS, ids=[MACHINE_CONTROLS[name].when for name in SHORT_CONTROLS])
def test_the_campaign_that_loses_machines_finds_it_when(site: Site, name: str) -> None:
    result = run_machines(site, name, MACHINE_CONTROLS[name], SEED, "")

    assert report.bites(result), result
