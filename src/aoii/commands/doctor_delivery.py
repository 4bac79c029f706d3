"""Where the readings in the outbox are held up: the hop that `aoii doctor` names, and why.

A reading waits in the outbox until the server has acknowledged it. When the oldest has waited too long, each hop on its
way is asked in turn, as far as it can be seen from this machine. `judge` only decides; `examine` asks.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from aoii.broker.messages import Identity
from aoii.commands.doctor_checks import broker_user
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.gateway.drivers.outbox_view import Oldest, oldest_reading
from aoii.runtime import health_limits, metrics
from aoii.runtime.metric_snapshot import MetricSnapshot
from aoii.server.db import open_database
from aoii.settings import station_file

ALLOW_READINGS = "let the gateway's user write aoii/readings in the broker's ACL, and restart the broker"
SUCCESS, NO_SUBSCRIBER = "0", "16"  # reason codes of MQTT 5; 16: the broker has the message, and nobody gets it


class Held(NamedTuple):
    """The hop that holds readings up, why, and what to do."""

    hop: str
    cause: str
    remedy: str


@dataclass(frozen=True)
class Evidence:
    """What is known of the way of the oldest reading.

    Attributes:
        gateway: The gateway's metrics.
        server: Those of the server; None: it does not answer on this machine.
        gateway_id: The gateway's name.
        former_id: Another name, under which it has accepted this reading; None: unknown, or it is the same.
        gateway_user: As whom the gateway logs in at the broker; None: as nobody, or unknown.
        server_user: The same of the server.
        server_file: The server's own file of settings, which need not exist.
        is_one_broker: Whether both use the same broker and namespace.
        is_stored: Whether the reading is in the server's database; None: unknown.
        is_server_silent: Whether the server belongs to this machine and does not answer.
        is_published_enough: Whether readings leave the outbox when the broker has them, without the server.
    """

    gateway: MetricSnapshot
    server: MetricSnapshot | None = None
    gateway_id: str = "gateway"
    former_id: str | None = None
    gateway_user: str | None = None
    server_user: str | None = None
    server_file: str = ".env.server"
    is_one_broker: bool = True
    is_stored: bool | None = None
    is_server_silent: bool = False
    is_published_enough: bool = False


def examine(installation: Installation, gateway: MetricSnapshot, server: MetricSnapshot | None) -> Iterator[Finding]:
    """How long readings have waited for the server, and what keeps them if it is too long."""
    waiting, oldest_s = gateway.total(metrics.OUTBOX_EVENTS) or 0, gateway.total(metrics.OUTBOX_OLDEST_S) or 0
    state = f"{waiting:g} readings wait, the oldest for {oldest_s:.0f} s"
    if oldest_s <= health_limits.COMMIT_ACK_DEADLINE_S:
        yield Finding("outbox", state)
        return
    held = judge(_evidence(installation, gateway, server))
    yield Finding("outbox", f"{state}; held up {held.hop}: {held.cause}", held.remedy)


def judge(known: Evidence) -> Held:
    """The first hop, from the gateway on, that does not pass readings on."""
    if known.is_published_enough:
        return _to_broker(known) or _to_subscriber(known)
    return _to_broker(known) or _back(known) or _to_server(known) or _to_database(known) or _unseen(known)


def _to_broker(known: Evidence) -> Held | None:
    hop, gateway = "between gateway and broker", known.gateway
    if gateway.total(metrics.BROKER_UP) == 0:
        return Held(hop, "the gateway is not connected", "see what is said of the broker")
    if gateway.total(metrics.PUBLISH_REFUSED):
        return Held(hop, "the broker refuses the gateway's readings", ALLOW_READINGS)
    if large := gateway.total(metrics.OUTBOX_TOO_LARGE):
        remedy = "raise its limit (max_packet_size, message_size_limit of Mosquitto)"
        return Held(hop, f"{large:g} readings are larger than the broker allows", remedy)
    return None


def _back(known: Evidence) -> Held | None:
    if not known.is_stored:
        return None
    hop = "on the way back from server to gateway"
    if known.former_id is not None:
        cause = (
            f"it was accepted as GATEWAY_ID={known.former_id}, and the server acknowledges it under that name, which "
            f"{known.gateway_id} does not hear"
        )
        return Held(hop, cause, _former(known))
    remedy = f"in the broker's ACL, let the server's user write aoii/ack/{known.gateway_id} and the gateway's read it"
    if known.gateway_user not in (None, known.gateway_id):
        remedy += f"; with the shipped ACL the gateway's user must be {known.gateway_id}, and is {known.gateway_user}"
    return Held(hop, "the database has the reading, and no acknowledgement comes back", remedy)


def _to_subscriber(known: Evidence) -> Held:
    remedy = "start the subscriber, and let it use the same broker; a reading leaves the outbox when somebody gets it"
    return Held("behind the broker", "nobody subscribes to the readings", remedy)


def _to_server(known: Evidence) -> Held | None:
    hop, server = "between broker and server", known.server
    if server is None:
        return _to_absent_server(known, hop)
    if server.total(metrics.BROKER_UP) == 0:
        return Held(hop, "the server is not connected", "see what is said of the broker, and the server's log")
    if known.is_stored is None and server.total(metrics.DATABASE_UP) == 0:
        return None
    received = server.total(metrics.MESSAGES, event="RX") or 0
    if received and known.is_stored is None:
        return None
    cause = "the server has received no reading since it started" if not received else "the server does not have it"
    return Held(hop, f"the gateway publishes, and {cause}", _why_not_received(known))


def _to_absent_server(known: Evidence, hop: str) -> Held | None:
    if known.is_server_silent:
        return Held(hop, "the server does not answer", "see what is said of the server")
    unheard = known.gateway.total(metrics.PUBLISHES, event="RX", reason=NO_SUBSCRIBER)
    heard = known.gateway.total(metrics.PUBLISHES, event="RX", reason=SUCCESS)
    if unheard and not heard:
        return Held(hop, "nobody subscribes to the readings", "start aoii server, and let it use the same broker")
    return None


def _why_not_received(known: Evidence) -> str:
    if not known.is_one_broker:
        return "give gateway and server the same MQTT_BROKER, MQTT_PORT and MQTT_NAMESPACE"
    if known.server_user is not None and known.server_user == known.gateway_user:
        return (
            f"gateway and server both log in as {known.server_user}, who may write readings and, with the shipped ACL, "
            f"not read them: give the server a user of its own, in {known.server_file}"
        )
    who = "the server's user" if known.server_user is None else f"the server's user, {known.server_user},"
    return f"let {who} read aoii/readings in the broker's ACL, and restart the broker; then see the server's log"


def _to_database(known: Evidence) -> Held | None:
    server = known.server
    if server is None or server.total(metrics.DATABASE_UP) != 0:
        return None
    return Held("between server and database", "the server cannot write to it", "see what is said of the database")


def _unseen(known: Evidence) -> Held:
    """The reading has left the gateway, and what happened to it cannot be seen from here."""
    if known.server is None:
        remedy = "run aoii doctor on the server's machine; if all is well there, " + _acl(known)
        return Held("behind the broker", "the broker has taken it, and the server is not on this machine", remedy)
    return Held(
        "on the way back from server to gateway",
        "the server takes readings, and no acknowledgement comes back",
        _acl(known),
    )


def _acl(known: Evidence) -> str:
    if known.former_id is not None:
        return f"the oldest reading was accepted as GATEWAY_ID={known.former_id}: {_former(known)}"
    return f"check that the broker's ACL lets the gateway's user read aoii/ack/{known.gateway_id}"


def _former(known: Evidence) -> str:
    """What helps a reading that was accepted before GATEWAY_ID was changed."""
    return (
        f"until the outbox is empty, let the gateway's user read aoii/ack/{known.former_id} in the broker's ACL, or "
        f"set GATEWAY_ID back to {known.former_id}, with its user or certificate"
    )


def _evidence(installation: Installation, gateway: MetricSnapshot, server: MetricSnapshot | None) -> Evidence:
    ours = installation.settings["gateway"]
    oldest = _oldest(ours.gateway.outbox_path)
    former_id = None if oldest is None or oldest.gateway == ours.gateway.gateway_id else oldest.gateway
    known = Evidence(gateway, server, ours.gateway.gateway_id, former_id, _user(installation, "gateway"))
    if ours.gateway.outbox_keep_until == "published":
        return replace(known, is_published_enough=True)
    if "server" not in installation.settings or installation.own is not None:
        return known  # a container does not know the settings of the others
    theirs = installation.settings["server"]
    if server is None:
        is_silent = theirs.server.status_port != 0 and installation.is_expected("server")
        return replace(known, is_server_silent=is_silent)
    mqtt = [(_host(one.mqtt.host), one.mqtt.port, one.mqtt.namespace) for one in (ours, theirs)]
    known = replace(
        known,
        server_user=_user(installation, "server"),
        server_file=str(station_file(installation.env_file, "server")),
        is_one_broker=mqtt[0] == mqtt[1],
    )
    with contextlib.suppress(AoiiError):
        known = replace(known, is_stored=None if oldest is None else _is_stored(installation, oldest.identity))
    return known


def _oldest(outbox: Path) -> Oldest | None:
    with contextlib.suppress(sqlite3.Error):
        return oldest_reading(outbox)
    return None


def _host(name: str) -> str:
    return "this machine" if name in ("localhost", "127.0.0.1", "::1") else name


def _user(installation: Installation, station: str) -> str | None:
    if installation.own is not None and installation.own.station != station:
        return None
    with contextlib.suppress(AoiiError):
        return broker_user(installation.settings[station])
    return None


def _is_stored(installation: Installation, identity: Identity) -> bool:
    with contextlib.closing(open_database(installation.settings["server"].database)) as database:
        return database.has(identity)
