"""The samples of a simulated node: the recording without end, gaps kept."""

from itertools import islice

from aoii.simulation.recordings import Series
from aoii.simulation.simulated_node import replay_samples

GAPPY = Series("x", 0.0, 60.0, (0, 1, 4), ("a", "b", "c"), (100, 200, 300), (1, 2, 3))


def test_the_recording_begins_again_after_its_end_and_a_gap_stays_a_gap() -> None:
    samples = list(islice(replay_samples(GAPPY, 0, 0, 60), 5))

    assert samples == [(0, (100, 1)), (60, (200, 2)), (240, (300, 3)), (300, (100, 1)), (360, (200, 2))]


def test_a_node_may_begin_at_any_row_and_moment() -> None:
    samples = list(islice(replay_samples(GAPPY, 2, 7, 60), 3))

    assert samples == [(7, (300, 3)), (67, (100, 1)), (127, (200, 2))]
