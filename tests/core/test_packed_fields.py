"""Fields of an object as bytes and back, None and truth included."""

from hypothesis import given
from hypothesis import strategies as st

from aoii.core.packed_fields import Packed


class Notes(Packed):
    NAMES = "count at_ms is_set"
    FORM = "<HqB"

    def __init__(self, count: int = 0, at_ms: int | None = None, is_set: bool = False) -> None:
        self.count = count
        self.at_ms = at_ms
        self.is_set = is_set


@given(st.integers(0, 0xFFFF), st.none() | st.integers(-(2**62), 2**62), st.booleans(), st.binary(max_size=4))
def test_fields_come_back_from_bytes_wherever_these_begin(
    count: int, at_ms: int | None, is_set: bool, before: bytes
) -> None:
    notes, loaded = Notes(count, at_ms, is_set), Notes(1, 1, True)

    end = loaded.load(before + notes.dump() + b"tail", len(before))

    assert vars(loaded) == vars(notes)
    assert end == len(before) + 11
