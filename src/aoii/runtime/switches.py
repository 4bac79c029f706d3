"""The switches of a demo: what its page has broken on purpose, in a file that page, nodes and demo share.

The page writes it, and the others do what it says. No installation has this file.
"""

import json
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from aoii.core.errors import InputError

Switch = Literal["broker", "database", "receiver", "node", "clock"]
SWITCHES: tuple[Switch, ...] = get_args(Switch)
"""What can be broken.

The broker is gone; the database takes no rows; the receiver is unplugged; node 1 is without power; the gateway's clock
is an hour ahead.
"""


class Switches(NamedTuple):
    """Which switches a demo has, and which of them are off, so that their part is broken."""

    present: frozenset[Switch] = frozenset()
    broken: frozenset[Switch] = frozenset()


def read(path: Path | None) -> Switches:
    """What the file says; no switches if there is none, or if it cannot be read now."""
    if path is None:
        return Switches()
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        present, broken = (frozenset(map(_switch, said[name])) for name in Switches._fields)
    except (OSError, ValueError, KeyError, TypeError):
        return Switches()
    return Switches(present, broken & present)


def write(path: Path, switches: Switches) -> None:
    """Replace the file in one step, so that no reader sees half of it.

    Raises:
        OSError: It cannot be written.
    """
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({name: sorted(names) for name, names in switches._asdict().items()}), encoding="utf-8")
    fresh.replace(path)


def turned(switches: Switches, name: object, is_broken: object) -> Switches:
    """The switches after one of them was turned.

    Raises:
        InputError: There is no such switch, or `is_broken` is not true or false.
    """
    if not isinstance(name, str) or name not in switches.present:
        raise InputError("this demo has no such switch", f"use one of {', '.join(sorted(switches.present))}")
    if not isinstance(is_broken, bool):
        raise InputError("`broken` is neither true nor false", 'send {"switch": NAME, "broken": true}')
    one = frozenset([name])
    return switches._replace(broken=switches.broken | one if is_broken else switches.broken - one)


def _switch(name: object) -> Switch:
    if name not in SWITCHES:
        raise ValueError(name)
    return name
