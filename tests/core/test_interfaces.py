"""What the core needs from outside, and that the parts of boards and simulated nodes have it."""

import inspect

import pytest

from aoii.core.interfaces import Predictor, Store
from aoii.core.learner import Learner
from aoii.core.store import RamStore
from aoii.edge.drivers.board_flash import FlashStore
from aoii.edge.sample_log import SampleLog


@pytest.mark.parametrize(
    ("interface", "part"), [(Store, RamStore), (Store, FlashStore), (Predictor, Learner), (Predictor, SampleLog)]
)
def test_a_part_takes_what_the_core_passes_in(interface: type, part: type) -> None:
    for name, method in inspect.getmembers(interface, inspect.isfunction):
        if not name.startswith("_"):
            needed = list(inspect.signature(method).parameters)
            assert list(inspect.signature(getattr(part, name)).parameters) == needed
