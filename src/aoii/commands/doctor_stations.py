"""The second half of `aoii doctor`: what the stations on this machine report about the hops around them.

A station that does not answer is a fault only if it belongs to this machine: it has left its file here, or is set up
here. Each station is asked once. What `doctor.py` checks itself is not checked again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from aoii.commands import container, doctor_audit, doctor_buffers, doctor_delivery
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.core.errors import UnavailableError
from aoii.gateway.liveness import Liveness
from aoii.runtime import health_limits, metrics
from aoii.runtime.advice import document
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.station_client import StationClient

NAMED_NODES = 5  # a finding names no more nodes than this
STATIONS = ("gateway", "server", "csv", "edgelog")  # those with a status port and something to judge

FailedChecks = list[str]  # names of the checks that fail


class Answer(NamedTuple):
    """What a station says of itself: its metrics, and the checks of /healthz and /readyz that fail."""

    snapshot: MetricSnapshot
    dead: FailedChecks
    unready: FailedChecks


def examine(installation: Installation) -> Iterator[Finding]:
    """Ask the stations of this machine, and judge their answers."""
    found = installation.settings
    ports = {name: container.status_address(found[name], name)[1] for name in STATIONS if name in found}
    answers = {name: _ask(port) for name, port in ports.items() if port}
    for name, answer in answers.items():
        port = ports[name]
        if answer is not None:
            yield _answering(name, port, answer.dead)
            yield from _files(name, answer.snapshot)
            yield from JUDGES[name](answer.snapshot, answer.unready)
            yield from doctor_buffers.examine(answer.snapshot)
            yield from doctor_buffers.written(name, answer.snapshot)
        else:
            yield from _silent(installation, name, port)
    gateway, server = (one.snapshot if (one := answers.get(name)) else None for name in ("gateway", "server"))
    if gateway is not None:
        yield from doctor_delivery.examine(installation, gateway, server)
    if "gateway" in found:
        yield from doctor_audit.examine(found["gateway"].gateway.gateway_id, gateway, server)
    if "web" in installation.settings:
        yield from _page(installation)


def _ask(port: int) -> Answer | None:
    """The answer of the station at a status port of this machine; None without one."""
    client = StationClient("127.0.0.1", port)
    try:
        return Answer(MetricSnapshot(samples=client.metrics()), _failed(client, "/healthz"), _failed(client, "/readyz"))
    except UnavailableError:
        return None


def _page(installation: Installation) -> Iterator[Finding]:
    """The web page, which has no status port of its own."""
    host, port, is_encrypted = container.status_address(installation.settings["web"], "web")
    try:
        failed = _failed(StationClient(host, port, is_encrypted), "/healthz")
    except UnavailableError:
        yield from _silent(installation, "web", port)
    else:
        yield _answering("web", port, failed)


def _failed(client: StationClient, path: str) -> FailedChecks:
    return [name for name, passes in client.checks(path).items() if not passes]


def _answering(name: str, port: int, failed: FailedChecks) -> Finding:
    if failed:
        remedy = f"see its log, and restart it{_how('restart', name)}"
        return Finding(name, f"makes no progress: {', '.join(failed)}", remedy)
    return Finding(name, f"answers on port {port}")


def _files(name: str, snapshot: MetricSnapshot) -> Iterator[Finding]:
    """Whether the station runs with what the files say now; a station of an older version does not tell."""
    if snapshot.total(metrics.SETTINGS_USABLE) == 0:
        state = f"{name} keeps the settings of its start: those in the files are wrong, and it will not start again"
        yield Finding("settings", state, "correct what `aoii config check` names")
    elif snapshot.total(metrics.SETTINGS_NEED_RESTART):
        remedy = f"restart it{_how('restart', name)}"
        yield Finding("settings", f"they have changed since {name} started, which uses the old ones", remedy)
    if snapshot.total(metrics.NODE_KEYS_USABLE) == 0:
        remedy = "correct the file; the gateway takes it as soon as it is right"
        yield Finding("node keys", "NODE_KEYS_FILE is wrong, and the gateway uses the keys from before", remedy)


def _silent(installation: Installation, name: str, port: int) -> Iterator[Finding]:
    """A finding if a station that does not answer should, or might."""
    given = " and ".join(installation.suggestions(name))
    if installation.is_expected(name):
        remedy = f"start it{_how('start', name)}, or restart it if it hangs"
        if given:
            remedy += f"; if it runs on another machine, remove {given} from the settings of this one"
        yield Finding(name, f"does not answer on port {port}, although it is set up on this machine", remedy)
    elif given and name != "gateway" and installation.own is None:
        yield Finding(
            name, f"does not answer on port {port}; it need not, if {given} is for another machine", is_checked=False
        )


def _how(word: str, name: str) -> str:
    """The command for it; a container has none, because it cannot reach the others."""
    return "" if container.started() else f" (systemctl {word} aoii-{name})"


# --- the gateway ------------------------------------------------------------------------------------------------------


def _gateway(snapshot: MetricSnapshot, failed: FailedChecks) -> Iterator[Finding]:
    yield from _broker("gateway", snapshot)
    if snapshot.total(metrics.PUBLISH_REFUSED):
        yield Finding("broker", "it refuses the gateway's readings", doctor_delivery.ALLOW_READINGS)
    damaged = snapshot.by_label(metrics.OUTBOX_DAMAGED, "outcome")
    if lost := sum(count for outcome, count in damaged.items() if outcome != "salvaged"):
        state = f"the outbox file was damaged since the gateway started: {lost:g} readings are corrupt or lost"
        yield Finding("disk", state, f"see {document('docs/runbooks/OutboxDamaged.md')}; replace a failing SD card")
    if snapshot.total(metrics.CLOCK_SYNCED) == 0:
        yield Finding("clock", "the gateway does not trust it", "set the clock or start a time service")
    for port in _closed_ports(snapshot):
        yield Finding("serial port", f"the gateway cannot open {port}", "plug the receiver in; see the gateway's log")
    yield from _outbox(snapshot, failed)
    yield from _radio(snapshot)


def _outbox(snapshot: MetricSnapshot, failed: FailedChecks) -> Iterator[Finding]:
    used, limit = snapshot.total(metrics.OUTBOX_BYTES) or 0, snapshot.total(metrics.OUTBOX_LIMIT_BYTES) or 0
    if used > health_limits.OUTBOX_FULL_SHARE * limit:
        remedy = "repair what is behind the gateway; until then raise OUTBOX_MAX_MB, if the disk has room"
        yield Finding("outbox", f"{used / limit:.0%} full", remedy)
    elif "outbox" in failed:
        remedy = "make room on its disk, or repair it; until then nodes get no answer and keep their readings"
        yield Finding("outbox", "it cannot be written", remedy)


def _radio(snapshot: MetricSnapshot) -> Iterator[Finding]:
    """Silence of all nodes or of some; rejected frames are no fault, because anybody may send them."""
    if rejected := _counted(snapshot.by_label(metrics.REJECTED, "reason")):
        yield Finding("radio", f"rejected since the gateway started: {rejected}")
    heard_unix_s = snapshot.by_label(metrics.NODE_LAST_HEARD_S, "node")
    if not heard_unix_s:
        yield Finding("radio", "no frame from any node yet; if nodes are on, is SERIAL_PORT the receiver's port?")
        return
    now_unix_s = time.time()
    heartbeats_s = snapshot.by_label(metrics.NODE_HEARTBEAT_S, "node")
    silent_s = now_unix_s - max(heard_unix_s.values())
    if silent_s > health_limits.silence_limit_s(min(heartbeats_s.values(), default=None)):
        remedy = "check receiver and antenna, then the nodes"
        yield Finding("radio", f"no frame from any node for {silent_s:.0f} s", remedy)
        return
    yield Finding("radio", f"last frame {silent_s:.0f} s ago")
    yield from _nodes(snapshot)


def _nodes(snapshot: MetricSnapshot) -> Iterator[Finding]:
    """What is wrong with single nodes."""
    if dead := _in_state(snapshot, "dead"):
        remedy = f"see {document('docs/runbooks/NodeSilent.md')}"
        yield Finding("node", f"{len(dead)} dead, silent for twice as long as promised: {_named(dead)}", remedy)
    if late := _in_state(snapshot, "late"):
        yield Finding("node", f"{len(late)} late: {_named(late)}")
    if erased := [node for node, is_set in snapshot.by_label(metrics.NODE_FLASH_ERASED, "node").items() if is_set]:
        state = f"repeats the numbers of its epoch, as after its flash was erased: {_named(erased)}"
        remedy = f"give it a new key: aoii node replace; see {document('docs/runbooks/NodeFlashErased.md')}"
        yield Finding("node", state, remedy)
    for metric, state in ((metrics.NODE_BATTERY_LOW, "low battery"), (metrics.NODE_SENSOR_FAULT, "sensor fault")):
        if nodes := [node for node, is_set in snapshot.by_label(metric, "node").items() if is_set]:
            yield Finding("node", f"{state}: {_named(nodes)}", "visit it")


def _in_state(snapshot: MetricSnapshot, state: Liveness) -> list[str]:
    """The nodes in one state of liveness."""
    return [node for node, is_in in snapshot.by_label(metrics.NODE_LIVENESS, "node", state=state).items() if is_in]


# --- the others -------------------------------------------------------------------------------------------------------


def _server(snapshot: MetricSnapshot, failed: FailedChecks) -> Iterator[Finding]:
    yield from _broker("server", snapshot)
    letters = snapshot.by_label(metrics.DEAD_LETTERS, "reason")
    yield from _writing("server", snapshot, letters.get("database_away", 0))
    for gateway, offset_s in snapshot.by_label(metrics.CLOCK_OFFSET_S, "gateway").items():
        if abs(offset_s) > health_limits.CLOCK_OFFSET_S:
            state = f"gateway {gateway} is {offset_s:+.0f} s from the server's clock"
            yield Finding("clock", state, "set the wrong clock, or start a time service there")
    kept = _counted(letters)
    if kept:
        remedy = "list them with aoii dlq list; those of database_away are replayed automatically"
        if letters.get("mismatch"):
            remedy += (
                "; mismatch: a node whose flash was erased, or two boards with one key, and the list names the node"
            )
        yield Finding("dead letters", kept, remedy)
    if "dead_letters" in failed:
        remedy = "repair the database, or make room: aoii dlq, DEAD_LETTER_MAX_MB, the disk"
        yield Finding("dead letters", "full, or not writable: the server acknowledges nothing more", remedy)
    elif not kept:
        yield Finding("dead letters", "none")


def _csv(snapshot: MetricSnapshot, failed: FailedChecks) -> Iterator[Finding]:
    yield from _broker("csv", snapshot)
    if "file" in failed:
        yield Finding("csv", "it cannot write CSV_FILE", "make room on its disk, or give its user the file")


def _edge_log(snapshot: MetricSnapshot, failed: FailedChecks) -> Iterator[Finding]:
    yield from _writing("edgelog", snapshot)
    for port in _closed_ports(snapshot):
        yield Finding("log port", f"edgelog cannot open {port}", "connect the node's USB port; see edgelog's log")
    if "csv" in failed:
        remedy = "make room on the disk, or check the rights; up to 50,000 rows wait in memory"
        yield Finding("disk", "edgelog cannot write EDGE_LOG_CSV_FILE", remedy)


def _writing(station: str, snapshot: MetricSnapshot, waiting: float = 0) -> Iterator[Finding]:
    """A finding if a station cannot write to the database: it says so itself, or dead letters are `waiting`.

    What the station says is not enough, because a database may answer queries and still reject rows.
    """
    if waiting or not snapshot.total(metrics.DATABASE_UP):
        state = f"the {station} cannot write to it"
        if waiting:
            state += f"; {waiting:g} readings wait in the dead letters until it can"
        remedy = "start it; if it runs, it rejects rows (read-only, full, locked): see `database away` in the log"
        yield Finding("database", state, remedy)


def _broker(station: str, snapshot: MetricSnapshot) -> Iterator[Finding]:
    if (short := snapshot.total(metrics.BROKER_SHORT_CONNECTIONS) or 0) >= health_limits.SHORT_CONNECTIONS:
        state = f"it has ended {short:g} connections of the {station} in a row, each soon after it began"
        yield Finding("broker", state, f"{RIVALS[station]}; or a packet is larger than the broker allows: see its log")
    elif not snapshot.total(metrics.BROKER_UP):
        if snapshot.total(metrics.BROKER_REFUSALS, reason="subscription"):
            remedy = f"allow QoS 1 (max_qos) and what {document('deploy/mosquitto/acl')} grants this station"
            yield Finding("broker", f"it does not grant the {station} its subscription at QoS 1", remedy)
        else:
            yield Finding("broker", f"the {station} is not connected to it", "see the station's log for the reason")
    if lost := snapshot.total(metrics.RECONNECTS):
        yield Finding("broker", f"the {station} has lost its connection {lost:g} times since it started")


def _closed_ports(snapshot: MetricSnapshot) -> list[str]:
    return [port for port, is_open in snapshot.by_label(metrics.SERIAL_UP, "port").items() if not is_open]


def _counted(counts: Mapping[str, float]) -> str:
    """The counts that are not 0, each with its name; empty if there are none."""
    return ", ".join(f"{count:g} {name}" for name, count in sorted(counts.items()) if count)


def _named(nodes: Iterable[str]) -> str:
    return ", ".join(sorted(nodes)[:NAMED_NODES])


JUDGES: Mapping[str, Callable[[MetricSnapshot, FailedChecks], Iterator[Finding]]] = {
    "gateway": _gateway,
    "server": _server,
    "csv": _csv,
    "edgelog": _edge_log,
}
RIVALS = {
    "gateway": "most likely another gateway has the same GATEWAY_ID: give each its own, or stop the other",
    "server": "most likely another aoii server uses this broker: stop it, or give one an MQTT_NAMESPACE of its own",
    "csv": "most likely another aoii csv uses this broker: stop it, or give one an MQTT_NAMESPACE of its own",
}
"""What to do about a broker that ends one connection after another: each has one client id, and the newest wins."""
