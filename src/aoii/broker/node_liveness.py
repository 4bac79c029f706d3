"""What gateways say of a node: its liveness, and what its estimate may be wrong by.

Pure: the words, their fields in messages, and one rule that combines what several gateways say of the same node.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from aoii.broker import json_fields
from aoii.broker.json_fields import YEAR_9999_MS
from aoii.core.errors import ProtocolError

NodeLiveness = Literal["ok", "late", "dead", "sensor_fault", "unknown"]
"""What is known of a node (docs/explanation/liveness.md).

`ok`: its silence is within what it has promised; `late`: longer; `dead`: nothing came in twice the time;
`sensor_fault`: it sends, and its sensor does not measure; `unknown`: nobody listens, or nobody has heard it yet.
"""

STATES: tuple[NodeLiveness, ...] = get_args(NodeLiveness)
BOUND_LIMIT = 1000.0  # °C or %RH; a threshold is at most 655.35


@dataclass(frozen=True)
class ErrorBound:
    """What a value may be wrong by: °C and %RH."""

    temperature: float
    humidity: float


MEASURED = ErrorBound(0, 0)  # of a reading: it is what the sensor said


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
SAME_MS = 60_000  # two gateways that heard a node within so long have lost it at once: one packet, or its retries


def combine(said: Iterable[Vouched]) -> Vouched:
    """What holds of a node of which several gateways say something.

    Of the gateways that listen, the one that heard it last is right, whatever the others miss. If several heard it last
    at once, the one that counts the longest silence is right: it has listened longest since. If that is longer than
    promised, another gateway that does not listen now, and has heard the node later, might hear it: then it is
    unknown. What a gateway that never heard it does not know hides nothing.
    """
    everyone = list(said)
    listening = [one for one in everyone if one.liveness != "unknown"]
    newest_ms = max(map(_evidence_ms, listening), default=-1)
    last = [one for one in listening if _evidence_ms(one) >= newest_ms - SAME_MS]
    missing = [one for one in last if not _is_there(one)]
    deaf_ms = max((one.last_heard_ms or -1 for one in everyone if one.liveness == "unknown"), default=-1)
    holds = UNKNOWN
    if not missing and last:
        holds = max(last, key=lambda one: (_evidence_ms(one), one.liveness == "sensor_fault"))
    elif missing and deaf_ms <= newest_ms + SAME_MS:
        holds = max(missing, key=lambda one: one.liveness == "dead")
    last_heard_ms = max((one.last_heard_ms for one in everyone if one.last_heard_ms is not None), default=None)
    return Vouched(holds.liveness, last_heard_ms, holds.error_bound)


def encode_bound(bound: ErrorBound | None) -> dict[str, float] | None:
    """The field `error_bound`."""
    return None if bound is None else asdict(bound)


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
    temperature, humidity = (json_fields.number(bound, name, 0, BOUND_LIMIT) for name in ("temperature", "humidity"))
    return ErrorBound(temperature, humidity)


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


def _is_there(one: Vouched) -> bool:
    return one.liveness in ("ok", "sensor_fault")


def _evidence_ms(one: Vouched) -> int:
    """When it was heard last; without a wall clock, one that hears it now has heard it later than all others."""
    if one.last_heard_ms is not None:
        return one.last_heard_ms
    return YEAR_9999_MS if _is_there(one) else -1
