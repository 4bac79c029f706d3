"""What a node forgets when its power goes, as bytes: for a deep sleep, in which only a little memory stays awake.

An object names its attributes and the `struct` form that holds them. It refuses to know what they mean, and to check
them: whoever puts the parts together seals them.
"""

import struct

NONE = -0x8000000000000000  # stands for None in a `q`; no time and no number of ours gets there


def dump(owner: object, form: str, names: tuple[str, ...]) -> bytes:
    """The attributes, in this order and form; truth and falsehood are 1 and 0."""
    values = [getattr(owner, name) for name in names]
    return struct.pack(form, *[NONE if value is None else value for value in values])


def load(owner: object, form: str, names: tuple[str, ...], state: bytes, at: int) -> int:
    """Set the attributes from what `dump` made, which begins at `at`; where it ends."""
    end = at + struct.calcsize(form)
    for name, value in zip(names, struct.unpack(form, state[at:end])):
        setattr(owner, name, None if value == NONE else value)
    return end
