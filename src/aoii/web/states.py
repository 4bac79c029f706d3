"""The states of a node now, the worst first. Their counterpart on the page is static/states.js."""

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

from aoii.web.estimate_accuracy import Instant
from aoii.web.node_health import NodeHealth
from aoii.web.node_settings import NodeSettings

State = Literal["silent", "sensor_fault", "wrong", "no_packets", "low_battery", "reporting", "correct"]
"""One state of a node; several may hold at once.

`silent`: no packet for one heartbeat and ten minutes. `sensor_fault`: the node reports it. `wrong`: by the node's log
the estimate is wrong now. `no_packets`: no packet of the node is known. `low_battery`: the node reports it.
`reporting`: packets come in time, but without a recent log the accuracy is unknown. `correct`: by the node's log the
estimate is right now.
"""
STATES: tuple[State, ...] = get_args(State)

ARRIVAL_S = 2.0  # real; by then a packet is in the database, and its sample no longer looks wrong
ARRIVAL_PERIODS = 0.25
FRESH_PERIODS = 3  # of the sample period; an older log says nothing about now
FRESH_S = 5.0  # real; how late a simulated log may be


def node_states(
    last_packet_ms: int | None,
    instants: Sequence[Instant],
    health: NodeHealth | None,
    now_ms: int,
    settings: NodeSettings,
) -> list[State]:
    """All states that hold, the worst first.

    Args:
        last_packet_ms: Event time of the last packet, Unix ms; None: there was none.
        instants: The sample instants of the node's log, in order; empty without a log.
        health: What a gateway reports of the node; None: nothing.
        now_ms: The nodes' wall clock, Unix ms.
        settings: Those of all nodes.
    """
    found = {_reception(last_packet_ms, instants, now_ms, settings), *_health_states(health)}
    return [state for state in STATES if state in found]


def _reception(last_packet_ms: int | None, instants: Sequence[Instant], now_ms: int, settings: NodeSettings) -> State:
    if last_packet_ms is None:
        return "no_packets"
    if now_ms - last_packet_ms > 1000 * settings.silent_after_s:
        return "silent"
    period_ms, real_ms = 1000 * settings.period_s, 1000 * settings.speed
    arrived_ms = now_ms - max(ARRIVAL_S * real_ms, ARRIVAL_PERIODS * period_ms)
    last = next((instant for instant in reversed(instants) if instant.at_ms <= arrived_ms), None)
    if last is None or now_ms - last.at_ms > max(FRESH_PERIODS * period_ms, FRESH_S * real_ms):
        return "reporting"
    return "wrong" if last.wrong else "correct"


def _health_states(health: NodeHealth | None) -> Iterator[State]:
    if health is not None and health.sensor_fault:
        yield "sensor_fault"
    if health is not None and health.low_battery:
        yield "low_battery"
