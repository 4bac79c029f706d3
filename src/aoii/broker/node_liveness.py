"""What gateways say of a node: its liveness, and what its estimate may be wrong by.

Pure: the words, their fields in messages, and one rule that combines what several gateways say of the same node.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from aoii.broker import json_fields
from aoii.core.errors import ProtocolError

NodeLiveness = Literal["ok", "late", "dead", "sensor_fault", "unknown"]
"""What is known of a node (docs/explanation/liveness.md).

`ok`: its silence is within what it has promised; `late`: longer; `dead`: nothing came in twice the time;
`sensor_fault`: it sends, and its sensor does not measure; `unknown`: nobody listens, or nobody has heard it yet.
"""

STATES: tuple[NodeLiveness, ...] = get_args(NodeLiveness)
BOUND_LIMIT = 1000.0  # °C or %RH; a threshold is at most 655.35


class ErrorBound(NamedTuple):
    """What a value may be wrong by: °C and %RH."""

    temperature: float
    humidity: float


@dataclass(frozen=True)
class Vouched:
    """What one gateway, or several together, say of a node.

    Attributes:
        liveness: In a word.
        last_heard_ms: When it was heard last, Unix milliseconds; None: never, or on a clock that nobody has set.
        error_bound: What its estimate may be wrong by; None: nothing vouches for it.
    """

    liveness: NodeLiveness = "unknown"
    last_heard_ms: int | None = None
    error_bound: ErrorBound | None = None


UNKNOWN = Vouched()
HEARD_ORDER: dict[NodeLiveness, int] = {"ok": 0, "sensor_fault": 1}  # of two that heard it at once: the worse


def combine(said: Iterable[Vouched]) -> Vouched:
    """What holds of a node of which several gateways say something.

    Who hears a node is right, whatever the others miss: of those that do, the one that heard it last. If none hears it,
    a gateway that listens and misses it is right, `late` before `dead`; unless another one that does not listen now had
    heard it later, for that one might hear it. What a gateway that never heard it does not know hides nothing.
    """
    everyone = list(said)
    last_heard_ms = max((one.last_heard_ms for one in everyone if one.last_heard_ms is not None), default=None)
    heard = [one for one in everyone if one.liveness in HEARD_ORDER]
    missed = [one for one in everyone if one.liveness in ("late", "dead")]
    deaf_ms = max((_heard_ms(one) for one in everyone if one.liveness == "unknown"), default=-1)
    holds = UNKNOWN
    if heard:
        holds = max(heard, key=lambda one: (_heard_ms(one), HEARD_ORDER[one.liveness]))
    elif missed and deaf_ms <= max(map(_heard_ms, missed)):
        holds = max(missed, key=lambda one: (one.liveness == "late", _heard_ms(one)))
    return Vouched(holds.liveness, last_heard_ms, holds.error_bound)


def encode_bound(bound: ErrorBound | None) -> dict[str, float] | None:
    """The field `error_bound`."""
    return None if bound is None else bound._asdict()


def decode_bound(fields: json_fields.Fields) -> ErrorBound | None:
    """The field `error_bound`; None if it is missing or null.

    Raises:
        ProtocolError: `shape` or `range`.
    """
    bound = fields.get("error_bound")
    if bound is None:
        return None
    if not isinstance(bound, dict):
        raise ProtocolError("shape", "error_bound is not an object with temperature and humidity")
    return ErrorBound(*(json_fields.number(bound, name, 0, BOUND_LIMIT) for name in ErrorBound._fields))


def decode_liveness(fields: json_fields.Fields) -> NodeLiveness | None:
    """The field `liveness`; None if it is missing or null.

    Raises:
        ProtocolError: `shape`: it is no such word.
    """
    value = fields.get("liveness")
    for state in STATES:
        if value == state:
            return state
    if value is None:
        return None
    raise ProtocolError("shape", f"liveness is not one of {', '.join(STATES)}")


def _heard_ms(one: Vouched) -> int:
    return -1 if one.last_heard_ms is None else one.last_heard_ms
