"""The second half of `aoii doctor`: what the stations on this machine report about the hops around them.

A station that does not answer is a fault only if it belongs to this machine: it has left its file here, or is set up
here. Each station is asked once. What `doctor.py` checks itself is not checked again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aoii.commands import container
from aoii.core.errors import UnavailableError
from aoii.runtime import health_limits, metrics
from aoii.runtime.advice import document
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.runtime.station_client import StationClient
from aoii.settings import Settings

NAMED_NODES = 5  # a finding names no more nodes than this
UNITS = Path("/etc/systemd/system")  # holds a link to each unit that starts with the machine


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: The hop or the part of the machine, in the words of the alerts' label `hop`.
        state: How it is.
        remedy: What to do; None if it is well.
        is_checked: False for what cannot be seen from here, which is neither well nor a fault.
    """

    subject: str
    state: str
    remedy: str | None = None
    is_checked: bool = True


FailedChecks = list[str]  # names of the checks that fail
Judge = Callable[[MetricSnapshot, FailedChecks], Iterator[Finding]]  # from a station's metrics and failed checks


def examine(values: Settings) -> Iterator[Finding]:
    """Ask the stations of this machine, and judge their answers."""
    gateway, server = values.gateway, values.server
    yield from _station("gateway", gateway.status_port, gateway.outbox_path.exists(), _gateway)
    yield from _station("server", server.status_port, server.dead_letter_path.exists(), _server)
    yield from _station("csv", server.csv_status_port, server.csv_file.exists(), _csv)
    yield from _station("edgelog", server.edge_log_status_port, bool(server.edge_log_ports), _edge_log)
    yield from _page(values)


def _station(name: str, port: int, is_expected: bool, judge: Judge) -> Iterator[Finding]:
    if not port:
        return
    client = StationClient("127.0.0.1", port)
    try:
        snapshot = MetricSnapshot(samples=client.metrics())
        alive, ready = _failed(client, "/healthz"), _failed(client, "/readyz")
    except UnavailableError:
        if is_expected or _is_enabled(name):
            yield _silent(name, port)
        return
    yield _answering(name, port, alive)
    yield from judge(snapshot, ready)


def _page(values: Settings) -> Iterator[Finding]:
    """The web page leaves no file; its settings say whether it belongs here."""
    web = values.web
    host = web.host if web.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - nothing is bound
    try:
        failed = _failed(StationClient(host, web.port, web.cert is not None), "/healthz")
    except UnavailableError:
        if _is_enabled("web") or any(name == "PORT" or name.startswith("WEB_") for name in values.given):
            yield _silent("web", web.port)
    else:
        yield _answering("web", web.port, failed)


def _failed(client: StationClient, path: str) -> FailedChecks:
    return [name for name, passes in client.checks(path).items() if not passes]


def _is_enabled(name: str) -> bool:
    return any(UNITS.glob(f"*.wants/aoii-{name}.service"))


def _answering(name: str, port: int, failed: FailedChecks) -> Finding:
    if failed:
        remedy = f"see its log, and restart it{_how('restart', name)}"
        return Finding(name, f"makes no progress: {', '.join(failed)}", remedy)
    return Finding(name, f"answers on port {port}")


def _silent(name: str, port: int) -> Finding:
    remedy = f"start it{_how('start', name)}, or restart it if it hangs"
    return Finding(name, f"does not answer on port {port}, although it is set up on this machine", remedy)


def _how(word: str, name: str) -> str:
    """The command for it; a container has none, because it cannot reach the others."""
    return "" if container.started() else f" (systemctl {word} aoii-{name})"


# --- the gateway ------------------------------------------------------------------------------------------------------


def _gateway(snapshot: MetricSnapshot, failed: FailedChecks) -> Iterator[Finding]:
    yield from _broker("gateway", snapshot)
    if snapshot.total(metrics.PUBLISH_REFUSED):
        remedy = "let the gateway's user write aoii/readings in the broker's ACL, and reload the broker"
        yield Finding("broker", "it refuses the gateway's readings", remedy)
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
    waiting, oldest_s = snapshot.total(metrics.OUTBOX_EVENTS) or 0, snapshot.total(metrics.OUTBOX_OLDEST_S) or 0
    remedy = (
        "repair what is behind the gateway: broker, server or database; if they are well, "
        "check that the broker's ACL lets the gateway read its commit acknowledgements"
    )
    state = f"{waiting:g} readings wait, the oldest for {oldest_s:.0f} s"
    yield Finding("outbox", state, remedy if oldest_s > health_limits.OUTBOX_OLD_S else None)


def _radio(snapshot: MetricSnapshot) -> Iterator[Finding]:
    """Silence of all nodes or of some; rejected frames are no fault, because anybody may send them."""
    if rejected := _counted(snapshot.by_label(metrics.REJECTED, "reason")):
        yield Finding("radio", f"rejected since the gateway started: {rejected}")
    heard_unix_s = snapshot.by_label(metrics.NODE_LAST_HEARD_S, "node")
    if not heard_unix_s:
        return
    now_unix_s = time.time()
    heartbeats_s = snapshot.by_label(metrics.NODE_HEARTBEAT_S, "node")
    silent_s = now_unix_s - max(heard_unix_s.values())
    if silent_s > health_limits.silence_limit_s(min(heartbeats_s.values(), default=None)):
        remedy = "check receiver and antenna, then the nodes"
        yield Finding("radio", f"no frame from any node for {silent_s:.0f} s", remedy)
        return
    yield Finding("radio", f"last frame {silent_s:.0f} s ago")
    silences_s = {
        node: (now_unix_s - heard_unix_s[node], beat_s) for node, beat_s in heartbeats_s.items() if node in heard_unix_s
    }
    yield from _nodes(snapshot, silences_s)


def _nodes(snapshot: MetricSnapshot, silences_s: Mapping[str, tuple[float, float]]) -> Iterator[Finding]:
    """What is wrong with single nodes; `silences_s` has the silence and heartbeat interval of each."""
    limit_s = health_limits.silence_limit_s
    if silent := [node for node, (silent_s, beat_s) in silences_s.items() if silent_s > limit_s(beat_s)]:
        remedy = f"see {document('docs/runbooks/NodeSilent.md')}"
        yield Finding("node", f"{len(silent)} silent for too long: {_named(silent)}", remedy)
    for metric, state in ((metrics.NODE_BATTERY_LOW, "low battery"), (metrics.NODE_SENSOR_FAULT, "sensor fault")):
        if nodes := [node for node, is_set in snapshot.by_label(metric, "node").items() if is_set]:
            yield Finding("node", f"{state}: {_named(nodes)}", "visit it")


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
    if snapshot.total(metrics.BROKER_UP):
        return
    if snapshot.total(metrics.BROKER_REFUSALS, reason="subscription"):
        remedy = f"allow QoS 1 (max_qos) and what {document('deploy/mosquitto/acl')} grants this station"
        yield Finding("broker", f"it does not grant the {station} its subscription at QoS 1", remedy)
    else:
        yield Finding("broker", f"the {station} is not connected to it", "see the station's log for the reason")


def _closed_ports(snapshot: MetricSnapshot) -> list[str]:
    return [port for port, is_open in snapshot.by_label(metrics.SERIAL_UP, "port").items() if not is_open]


def _counted(counts: Mapping[str, float]) -> str:
    """The counts that are not 0, each with its name; empty if there are none."""
    return ", ".join(f"{count:g} {name}" for name, count in sorted(counts.items()) if count)


def _named(nodes: Iterable[str]) -> str:
    return ", ".join(sorted(nodes)[:NAMED_NODES])
