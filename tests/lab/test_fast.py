"""The host's fast learner against the board's: equal to the bit, whatever comes."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aoii.core.learner import FEATURES, PACKED, WINDOWS, Learner
from aoii.lab.fast import FastLearner
from aoii.simulation import recordings

Sample = tuple[int, int, int, int | None]
ROWS, COLUMNS = np.tril_indices(FEATURES)


def assert_equal(board: Learner, host: FastLearner) -> None:
    """Trends, weights and covariances are the same numbers."""
    assert host.trend() == board.trend()
    assert bytes(host._weights) == bytes(board._weights)
    packed = np.array(board._covariance, dtype=np.float64).reshape(WINDOWS, PACKED)
    assert np.array_equal(host._full[:, ROWS, COLUMNS], packed, equal_nan=True)


def feed(samples: Sequence[Sample]) -> tuple[Learner, FastLearner]:
    board, host = Learner(50, 300), FastLearner(50, 300)
    for sample in samples:
        board.observe(*sample)
        host.observe(*sample)
        assert host.trend() == board.trend()
    return board, host


def test_a_day_with_gaps_is_learned_alike() -> None:
    (day,) = recordings.parse()
    gaps = {200: 3, 500: 16, 700: 17, 900: 100_000}
    pairs = zip(day.temperature_c, day.humidity_c, strict=True)

    board, host = feed([(t, h, gaps.get(i, 1), i * 60_000) for i, (t, h) in enumerate(pairs)])

    assert_equal(board, host)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-32768, 32767), st.integers(0, 32767), st.sampled_from((1,) * 9 + (2, 40)), st.none()),
        min_size=1,
        max_size=80,
    )
)
def test_any_readings_are_learned_alike(samples: list[Sample]) -> None:
    assert_equal(*feed(samples))


def test_a_damaged_covariance_restarts_alike() -> None:
    (day,) = recordings.parse()
    samples = [(t, h, 1, None) for t, h in zip(day.temperature_c, day.humidity_c, strict=True)]
    board, host = feed(samples[:100])
    board._covariance[PACKED] = -1e6  # the first entry of the second window
    host._full[1, 0, 0] = -1e6

    for sample in samples[100:200]:
        board.observe(*sample)
        host.observe(*sample)

    assert_equal(board, host)
