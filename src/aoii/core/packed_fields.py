"""An object's fields as bytes: for a deep sleep, in which only a little memory keeps its content.

The object names its fields and their `struct` form. Nothing is checked here: the node adds a CRC to its whole dump.
"""

import struct

NONE = -0x8000000000000000  # stands for None in a `q`; no time and no number of ours is that small


class Packed:
    """An object with fields that become bytes.

    Attributes:
        NAMES: The fields, in one string, as `namedtuple` takes them.
        FORM: Their `struct` form.
    """

    NAMES = ""
    FORM = ""

    def dump(self) -> bytes:
        """The fields, always the same number of bytes."""
        return dump(self, self.FORM, self.NAMES)

    def load(self, state: bytes, at: int) -> int:
        """Set the fields from a `dump` that begins at `at`; return where it ends."""
        return load(self, self.FORM, self.NAMES, state, at)


def dump(owner: object, form: str, names: str) -> bytes:
    """The fields of `owner` in this order and form; True and False become 1 and 0."""
    values = [getattr(owner, name) for name in names.split()]
    return struct.pack(form, *[NONE if value is None else value for value in values])


def load(owner: object, form: str, names: str, state: bytes, at: int) -> int:
    """Set the fields of `owner` from a `dump` that begins at `at`; return where it ends."""
    end = at + struct.calcsize(form)
    for name, value in zip(names.split(), struct.unpack(form, state[at:end])):
        setattr(owner, name, None if value == NONE else value)
    return end
