"""What the stations on this machine say about the hops around them, judged: the second half of `aoii doctor`.

A station that was never started here is no fault; one that has left its file here, or is set up here, and does not
answer is. It asks each station once, and refuses to look at anything that the rest of the doctor looks at itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from aoii.runtime import station_client
from aoii.runtime.station_client import MetricSnapshot
from aoii.settings import Settings

OUTBOX_OLD_S = 300  # as the alert OutboxOld says
SILENT_S = 600  # as the recording rule aoii:silence_limit:seconds says
HEARTBEAT_GRACE_S = 120
OUTBOX_FULL_SHARE = 0.8  # as the alert OutboxFull says
CLOCK_OFF_S = 30  # as the alert ClockUnsynchronised says
NAMED = 5  # nodes; more of them are a number
UNITS = Path("/etc/systemd/system")  # a unit that starts with the machine has a link below


class Told(NamedTuple):
    """As `doctor.Finding`."""

    subject: str
    state: str
    remedy: str | None = None


Failing = list[str]  # names of checks
Judge = Callable[[MetricSnapshot, Failing], Iterator[Told]]


def look(values: Settings) -> Iterator[Told]:
    """Ask the stations, and judge what they say."""
    own, server = values.gateway, values.server
    yield from _station("gateway", own.status_port, own.outbox_path.exists(), _of_gateway)
    yield from _station("server", server.status_port, server.dead_letter_path.exists(), _of_server)
    yield from _station("csv", server.csv_status_port, server.csv_file.exists(), _of_csv)
    yield from _station("edgelog", server.edge_log_status_port, bool(server.edge_log_ports), _of_edgelog)
    yield from _page(values)


def _station(name: str, port: int, is_expected: bool, judge: Judge) -> Iterator[Told]:
    figures = station_client.fetch_metrics(port) if port else None
    if figures is not None:
        yield from _alive(name, port, station_client.fetch_failing_checks(port, "/healthz"))
        yield from judge(figures, station_client.fetch_failing_checks(port, "/readyz") or [])
    elif port and (is_expected or _is_enabled(name)):
        yield _silent(name, port)


def _page(values: Settings) -> Iterator[Told]:
    """The web page leaves no file; its settings say that it belongs here."""
    web = values.web
    host = web.host if web.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - nothing is bound
    found = station_client.fetch_failing_checks(web.port, "/healthz", host, web.cert is not None)
    if found is not None:
        yield from _alive("web", web.port, found)
    elif _is_enabled("web") or any(name == "PORT" or name.startswith("WEB_") for name in values.given):
        yield _silent("web", web.port)


def _is_enabled(name: str) -> bool:
    return any(UNITS.glob(f"*.wants/aoii-{name}.service"))


def _alive(name: str, port: int, failing: Failing | None) -> Iterator[Told]:
    remedy = f"see its log, and restart it (systemctl restart aoii-{name})"
    if failing:
        yield Told(name, f"makes no progress: {', '.join(failing)}", remedy)
    else:
        yield Told(name, f"answers on port {port}")


def _silent(name: str, port: int) -> Told:
    remedy = f"start it (systemctl start aoii-{name}), or restart it if it hangs"
    return Told(name, f"does not answer on port {port}, and it belongs here", remedy)


def _of_gateway(figures: MetricSnapshot, failing: Failing) -> Iterator[Told]:
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
    elif "outbox" in failing:
        remedy = "make room on its disk, or mend it; until then nodes get no answer and keep what they have"
        yield Told("outbox", "it cannot be written", remedy)
    waiting, oldest_s = figures.total("aoii_outbox_events"), figures.total("aoii_outbox_oldest_age_seconds")
    remedy = "mend what is behind the gateway: broker, server, database; its commit acknowledgements do not come (ACL?)"
    state = f"{waiting:g} readings wait, the oldest for {oldest_s:.0f} s"
    yield Told("outbox", state, remedy if oldest_s > OUTBOX_OLD_S else None)
    yield from _radio(figures)


def _radio(figures: MetricSnapshot) -> Iterator[Told]:
    """Nobody is heard, or some are not; what is refused is told, for on the air it may be anybody's."""
    refused = {
        reason: count for reason, count in figures.by_label("aoii_gateway_rejected_total", "reason").items() if count
    }
    if refused:
        yield Told("radio", f"refused since the gateway started: {_counted(refused)}")
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


def _of_server(figures: MetricSnapshot, failing: Failing) -> Iterator[Told]:
    yield from _broker("server", figures)
    letters = {reason: count for reason, count in figures.by_label("aoii_dead_letters", "reason").items() if count}
    yield from _writing("server", figures, letters.get("database_away", 0))
    for gateway, offset_s in figures.by_label("aoii_gateway_clock_offset_seconds", "gateway").items():
        if abs(offset_s) > CLOCK_OFF_S:
            state = f"that of gateway {gateway} is {offset_s:+.0f} s from the server's"
            yield Told("clock", state, "set the wrong one, or start a time service there")
    if letters:
        yield Told("dead letters", _counted(letters), "aoii dlq list shows them; database_away is replayed by itself")
    if "dead_letters" in failing:
        remedy = "mend the database, or make room: aoii dlq, DEAD_LETTER_MAX_MB, the disk"
        yield Told("dead letters", "full, or cannot be written: the server acknowledges nothing more", remedy)
    elif not letters:
        yield Told("dead letters", "none")


def _of_csv(figures: MetricSnapshot, failing: Failing) -> Iterator[Told]:
    yield from _broker("csv", figures)
    if "file" in failing:
        yield Told("csv", "it cannot write CSV_FILE", "make room on its disk, or give its user the file")


def _of_edgelog(figures: MetricSnapshot, failing: Failing) -> Iterator[Told]:
    yield from _writing("edgelog", figures)
    for port, is_open in figures.by_label("aoii_gateway_serial_up", "port").items():
        if not is_open:
            yield Told("log port", f"{port} is not open in edgelog", "connect the node's USB port; see edgelog's log")


def _writing(station: str, figures: MetricSnapshot, parked: float = 0) -> Iterator[Told]:
    """What refuses rows may answer questions, so that readings parked for it count as well."""
    if parked or not figures.total("aoii_database_up"):
        state = f"the {station} cannot write to it" + (
            f", {parked:g} readings are parked until it can" if parked else ""
        )
        remedy = "start it; if it runs, it refuses rows (read-only, full, locked): see `database away` in the log"
        yield Told("database", state, remedy)


def _counted(counts: Mapping[str, float]) -> str:
    return ", ".join(f"{count:g} {reason}" for reason, count in sorted(counts.items()))


def _broker(station: str, figures: MetricSnapshot) -> Iterator[Told]:
    if figures.total("aoii_broker_up"):
        return
    if figures.total("aoii_broker_refusals_total", reason="subscription"):
        remedy = "allow QoS 1 (max_qos), and what the ACL in deploy/mosquitto gives this station"
        yield Told("broker", f"it does not grant the {station} its subscription at QoS 1", remedy)
    else:
        yield Told("broker", f"the {station} has no connection to it", "see what the station's log says of it")
