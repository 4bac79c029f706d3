"""A short form of `make simulate`, and that it can fail, repeat and shrink."""

from collections.abc import Iterator

import pytest

from histories import history, plans, simulate
from histories.plans import Fault, Plan
from histories.shrinking import shrink

HISTORIES = 20


@pytest.fixture(scope="module", autouse=True)
def _ready() -> Iterator[None]:
    with simulate.ready():
        yield


def test_what_nodes_saw_acknowledged_is_kept_whatever_happens() -> None:
    tally = simulate.Tally()
    for verdict in simulate.run_all(range(HISTORIES)):
        tally.add(verdict)

    assert not tally.failures, {one.plan.seed: one.problems for one in tally.failures}
    assert tally.crashes > 0
    assert tally.readings > 20 * HISTORIES


def test_a_history_has_three_nodes_a_day_and_five_faults_unless_it_is_healthy() -> None:
    drawn = [plans.draw(seed) for seed in range(1000)]

    assert all(plan.nodes >= 3 and (plan.is_healthy or len(plan.faults) >= 5) for plan in drawn)
    assert all(sum(fault.kind in plans.LOSSES for fault in plan.faults) <= 1 for plan in drawn)
    assert all(plan.forgets for plan in drawn if any(fault.kind == plans.ALL_LOST for fault in plan.faults))
    kinds = {fault.kind for plan in drawn for fault in plan.faults}
    assert kinds == {*plans.FAULTS, *plans.LOSSES, plans.ALL_LOST, "node_dies"}
    assert plans.QUIET_MS >= 86_400_000


def test_a_seed_repeats_its_history_exactly() -> None:
    one, other = (history.run(plans.draw(7), is_verbose=True) for _ in range(2))

    assert one.lines == other.lines
    assert (one.readings, one.packets) == (other.readings, other.packets)


def test_a_history_that_fails_shrinks_to_the_faults_that_matter() -> None:
    plan = plans.draw(11)
    culprit = plan.faults[2]

    def fails(one: Plan) -> bool:
        return any(fault.kind == culprit.kind for fault in one.faults)

    small = shrink(plan, fails)

    assert [fault.kind for fault in small.faults] == [culprit.kind]
    assert (small.nodes, small.gateways) == (1, 1)


def test_two_machines_lost_at_once_are_noticed() -> None:
    """What nobody promises fails: the check can see a loss."""
    everything = (
        Fault("gateway_lost", 10 * plans.HOUR_MS, 1000, 0, 0.5),
        Fault("database_replaced", 10 * plans.HOUR_MS, 0, 0, 0.5),
    )
    verdict = history.run(Plan(1, 3, 1, 0.3, False, everything))

    assert any(problem.startswith("missing") for problem in verdict.problems)
