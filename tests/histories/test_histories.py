"""A short form of `make simulate`, and that it can fail, repeat and shrink."""

from collections.abc import Iterator

import pytest

from histories import history, outlines, simulate
from histories.database import current_database
from histories.outlines import Fault, Outline
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

    assert not tally.failures, {one.outline.seed: one.problems for one in tally.failures}
    assert tally.crashes > 0
    assert tally.readings > 20 * HISTORIES


def test_a_history_has_three_nodes_a_day_and_five_faults_unless_it_is_healthy() -> None:
    drawn = [outlines.draw(seed) for seed in range(1000)]

    assert all(outline.nodes >= 3 and (outline.is_healthy or len(outline.faults) >= 5) for outline in drawn)
    assert all(sum(fault.kind in outlines.LOSSES for fault in outline.faults) <= 1 for outline in drawn)
    assert all(outline.forgets for outline in drawn if any(fault.kind == outlines.ALL_LOST for fault in outline.faults))
    kinds = {fault.kind for outline in drawn for fault in outline.faults}
    assert kinds == {*outlines.FAULTS, *outlines.MORE_FAULTS, *outlines.LOSSES, outlines.ALL_LOST, "node_dies"}
    assert outlines.QUIET_MS >= 86_400_000


def test_a_seed_repeats_its_history_exactly() -> None:
    one, other = (history.run(outlines.draw(7), is_verbose=True) for _ in range(2))

    assert one.lines == other.lines
    assert (one.readings, one.packets) == (other.readings, other.packets)


def test_what_a_node_has_proved_is_believed_beside_a_witness_that_is_always_faster() -> None:
    assert history.run(outlines.draw_plain(1309)).problems == []


@pytest.mark.parametrize("seed", [10_035, 10_187])
def test_a_node_that_is_asked_says_something_before_the_end(seed: int) -> None:
    assert history.run(outlines.draw_plain(seed)).problems == []


def test_a_witness_does_not_report_that_it_lacks_what_has_come() -> None:
    assert history.run(outlines.draw(79)).problems == []


def test_what_a_dead_node_alone_could_say_stays_open() -> None:
    assert history.run(outlines.draw(20_133)).problems == []


def test_the_later_kinds_of_faults_leave_all_others_as_they_were() -> None:
    for seed in range(100):
        plain, drawn = outlines.draw_plain(seed), outlines.draw(seed)

        more = tuple(fault for fault in drawn.faults if fault.kind in outlines.MORE_FAULTS)
        assert set(plain.faults) - set(drawn.without(more).faults) <= {
            fault for fault in plain.faults if fault.kind == outlines.ALL_LOST
        }
        assert plain.is_healthy == drawn.is_healthy


def test_a_gateway_that_keeps_little_and_a_small_ring_lose_what_is_called_lost() -> None:
    """Without the disks of gateways, all that is missing has been kept once, and the ledger says so."""
    replaced = Fault("database_replaced", 12 * outlines.HOUR_MS, 1000, 0, 0.2)
    outline = Outline(3, 3, 1, 0.35, True, (replaced,), outlines.SMALL_SLOTS, outlines.FEW_BYTES[0])

    assert history.run(outline).problems == []
    assert any(gap[4] == "lost" for gap in current_database().gaps())


def test_readings_that_are_refused_for_good_are_dead_letters_at_the_end() -> None:
    refused = Fault("database_refuses", 2 * outlines.HOUR_MS, 60_000, 0, 0.1)
    one = history.History(Outline(5, 3, 1, 0.3, True, (refused,)))

    one.happen()

    assert one.verdict.problems == []
    assert len(one.server.letters()) > 5


def test_a_history_that_fails_shrinks_to_the_faults_that_matter() -> None:
    outline = outlines.draw_plain(11)
    culprit = outline.faults[2]

    def fails(one: Outline) -> bool:
        return any(fault.kind == culprit.kind for fault in one.faults)

    small = shrink(outline, fails)

    assert [fault.kind for fault in small.faults] == [culprit.kind]
    assert (small.nodes, small.gateways) == (1, 1)


def test_two_machines_lost_at_once_are_noticed() -> None:
    """What nobody promises fails: the check can see a loss."""
    everything = (
        Fault("gateway_lost", 10 * outlines.HOUR_MS, 1000, 0, 0.5),
        Fault("database_replaced", 10 * outlines.HOUR_MS, 0, 0, 0.5),
    )
    verdict = history.run(Outline(1, 3, 1, 0.3, False, everything))

    assert any(problem.startswith("missing") for problem in verdict.problems)
