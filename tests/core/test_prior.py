"""The prior that nodes start from: its shape, and what it says that it was made from."""

import hashlib

from aoii.core import prior
from aoii.core.learner import ENDS, OWN
from aoii.simulation import recordings


def test_it_has_a_row_for_each_window_and_in_it_a_weight_for_each_feature_of_both_quantities() -> None:
    assert [len(row) for row in prior.WEIGHTS] == [2 * OWN] * len(ENDS)


def test_no_weight_is_so_large_that_one_sample_can_make_an_estimate_wrong() -> None:
    assert max(abs(weight) for row in prior.WEIGHTS for weight in row) < prior.UNIT


def test_the_shipped_recording_is_the_one_that_it_was_made_from() -> None:
    assert hashlib.sha256(recordings.SHIPPED.read_bytes()).hexdigest() in str(prior.__doc__)
