"""What the stations on this machine say about the hops around them, judged: the second half of `aoii doctor`.

A station that was never started here is no fault; one that has left its file here and does not answer is. It asks each
station once, and refuses to look at anything that the rest of the doctor looks at itself.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from aoii.monitoring import asked
from aoii.monitoring.asked import Figures
from aoii.settings import Settings

OUTBOX_OLD_S = 300  # as the alert OutboxOld says
SILENT_S = 600  # as the recording rule aoii:silence_limit:seconds says
HEARTBEAT_GRACE_S = 120
OUTBOX_FULL_SHARE = 0.8  # as the alert OutboxFull says
NAMED = 5  # nodes; more of them are a number


class Told(NamedTuple):
    """As `doctor.Finding`."""

    subject: str
    state: str
    remedy: str | None = None


Judge = Callable[[Figures], Iterator[Told]]


def look(values: Settings) -> Iterator[Told]:
    """Ask gateway and server, and judge what they say."""
    own, server = values.gateway, values.server
    yield from _station("gateway", own.status_port, own.outbox_path.exists(), _of_gateway)
    yield from _station("server", server.status_port, server.dead_letter_path.exists(), _of_server)


def _station(name: str, port: int, has_run: bool, judge: Judge) -> Iterator[Told]:
    figures = asked.ask(port) if port else None
    if figures is not None:
        yield Told(name, f"answers on port {port}")
        yield from judge(figures)
    elif port and has_run:
        remedy = f"start it (systemctl start aoii-{name}), or restart it if it hangs"
        yield Told(name, f"does not answer on port {port}, and it has run here", remedy)


def _of_gateway(figures: Figures) -> Iterator[Told]:
    yield from _broker("gateway", figures)
    if figures.total("aoii_gateway_publish_refused"):
        remedy = "let the gateway's user write aoii/readings in the broker's ACL, and reload the broker"
        yield Told("broker", "it refuses the gateway's readings", remedy)
    if damaged := figures.total("aoii_outbox_damaged_total") - figures.total(
        "aoii_outbox_damaged_total", outcome="salvaged"
    ):
        state = f"the outbox file was damaged since the gateway started, {damaged:g} readings are corrupt or lost"
        yield Told("disk", state, "see docs/runbooks/OutboxDamaged.md; change a dying SD card")
    if figures.values("aoii_gateway_clock_synced") == [0]:
        yield Told("clock", "the gateway does not believe it", "set the clock or start a time service")
    for port, is_open in figures.by_label("aoii_gateway_serial_up", "port").items():
        if not is_open:
            yield Told(
                "serial port", f"{port} is not open in the gateway", "plug the receiver in; see the gateway's log"
            )
    used, limit = figures.total("aoii_outbox_bytes"), figures.total("aoii_outbox_limit_bytes")
    if used > OUTBOX_FULL_SHARE * limit:
        remedy = "mend what is behind the gateway; until then raise OUTBOX_MAX_MB, if the disk has room"
        yield Told("outbox", f"{used / limit:.0%} full", remedy)
    waiting, oldest_s = figures.total("aoii_outbox_events"), figures.total("aoii_outbox_oldest_age_seconds")
    remedy = "mend what is behind the gateway: broker, server, database; its commit acknowledgements do not come"
    state = f"{waiting:g} readings wait, the oldest for {oldest_s:.0f} s"
    yield Told("outbox", state, remedy if oldest_s > OUTBOX_OLD_S else None)
    yield from _radio(figures)


def _radio(figures: Figures) -> Iterator[Told]:
    """Nobody is heard, or some are not."""
    now_s = time.time()
    heard_s = figures.by_label("aoii_node_last_heard_timestamp_seconds", "node")
    heartbeats_s = figures.by_label("aoii_node_heartbeat_seconds", "node")
    if not heard_s:
        return
    silent_s = now_s - max(heard_s.values())
    if silent_s > _limit_s(min(heartbeats_s.values(), default=0)):
        yield Told(
            "radio", f"no node was heard for {silent_s:.0f} s", "look at receiver and antenna, then at the nodes"
        )
        return
    yield Told("radio", f"a node was heard {silent_s:.0f} s ago")
    silent = [node for node, beat_s in heartbeats_s.items() if now_s - heard_s[node] > _limit_s(beat_s)]
    if silent:
        state = f"{len(silent)} silent for too long: {', '.join(sorted(silent)[:NAMED])}"
        yield Told("node", state, "see docs/runbooks/NodeSilent.md")
    for name, words in (("battery_low", "battery is low"), ("sensor_fault", "sensor fails")):
        if nodes := [node for node, is_so in figures.by_label(f"aoii_node_{name}", "node").items() if is_so]:
            yield Told("node", f"{words}: {', '.join(sorted(nodes)[:NAMED])}", "go there")


def _limit_s(heartbeat_s: float) -> float:
    """For how long a node may be silent."""
    return max(SILENT_S, heartbeat_s + HEARTBEAT_GRACE_S) if heartbeat_s else SILENT_S


def _of_server(figures: Figures) -> Iterator[Told]:
    yield from _broker("server", figures)
    if not figures.total("aoii_database_up"):
        yield Told("database", "the server cannot write to it", "start it, and see what the server's log says of it")
    letters = {reason: count for reason, count in figures.by_label("aoii_dead_letters", "reason").items() if count}
    if letters:
        state = ", ".join(f"{count:g} {reason}" for reason, count in sorted(letters.items()))
        yield Told("dead letters", state, "aoii dlq list shows them; database_away is replayed by itself")
    else:
        yield Told("dead letters", "none")


def _broker(station: str, figures: Figures) -> Iterator[Told]:
    if figures.total("aoii_broker_up"):
        return
    if figures.total("aoii_broker_refusals_total", reason="subscription"):
        remedy = "allow QoS 1 (max_qos), and what the ACL in deploy/mosquitto gives this station"
        yield Told("broker", f"it does not grant the {station} its subscription at QoS 1", remedy)
    else:
        yield Told("broker", f"the {station} has no connection to it", "see what the station's log says of it")
