"""What `aoii doctor` checks itself: disk, clock, ports, files, and whether broker and database answer.

Each check gets the settings of the stations that it concerns. It connects to broker and database, and changes nothing.
"""

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from aoii.broker.client import Client
from aoii.commands import doctor_ports
from aoii.commands.doctor_installation import Group, Installation
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.gateway.drivers import labels_file
from aoii.gateway.legacy import weights
from aoii.runtime import health_limits
from aoii.security import node_keys, tls
from aoii.server.db import Database, DatabaseAway, open_database
from aoii.settings import Settings, station_file

BROKER_WAIT_S = 5.0
SLOW_S = 2.0  # for a question about one row, which usually takes milliseconds
CLOCK_FLOOR_UNIX_S = 1_704_067_200  # 2024-01-01: an earlier time means that the machine booted without a clock
ON_BROKER = ("gateway", "server", "csv", "web")
ON_DATABASE = ("server", "edgelog", "web")


class Check(NamedTuple):
    """A check, which is run once for each group of stations whose settings have an equal `part`.

    Attributes:
        subject: Of the finding if the check itself fails.
        stations: The stations that it concerns.
        part: The part of the settings that it looks at.
        run: The check.
        is_private: Whether only the containers of these stations can do it: only they get the devices and secrets.
    """

    subject: str
    stations: tuple[str, ...]
    part: Callable[[Settings], object]
    run: Callable[[Group], Iterator[Finding]]
    is_private: bool = False


def fault(subject: str, error: AoiiError, remedy: str = "see the message") -> Finding:
    """An error as a finding, with `remedy` if the error has none of its own."""
    cause = _database_cause(error) if isinstance(error, DatabaseAway) else "files"
    return Finding(subject, error.problem, error.remedy or remedy, cause=cause, about=error.problem)


def run(check: Check, group: Group) -> Iterator[Finding]:
    """Run a check; what it raises is a finding too."""
    try:
        yield from check.run(group)
    except AoiiError as error:
        yield fault(check.subject, error)
    except OSError as error:
        state = f"{error.filename or check.subject}: {error.strerror or error}"
        yield Finding(check.subject, state, "run this as the user that runs the stations", cause="disk", about=state)


def _database_cause(error: DatabaseAway) -> str:
    if error.reason == "refused" and not error.code:
        return "database_tls"
    by_reason = {"schema": "database_schema", "refused": "database_login"}
    return _DATABASE_CAUSES.get(error.code) or by_reason.get(error.reason, "database_other")


_DATABASE_CAUSES = {  # by the numbers of MySQL's errors
    1049: "database_missing",
    **dict.fromkeys((1044, 1142, 1143), "database_rights"),
}


def _disk(group: Group) -> Iterator[Finding]:
    values = group.values
    folder = values.data_dir
    while not folder.exists():
        folder = folder.parent if folder.parent != folder else Path()
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        state = f"{folder}: {error.strerror}"
        yield Finding("disk", state, "give this user the folder, or set AOII_DATA_DIR", cause="disk", about=state)
        return
    free = shutil.disk_usage(folder).free
    remedy = "make room, or set AOII_DATA_DIR to a larger disk" if free < health_limits.DISK_LOW_BYTES else None
    yield Finding("disk", f"{free / 1e9:.1f} GB free for {values.data_dir}", remedy)


def _clock(group: Group) -> Iterator[Finding]:
    now = time.time()
    state = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    remedy = "set the clock or start a time service; until then rows are marked as not synchronised"
    yield Finding("clock", state, remedy if now < CLOCK_FLOOR_UNIX_S else None)


def _serial(group: Group) -> Iterator[Finding]:
    if "gateway" in group.ours:
        for port in group.values.gateway.serial_ports:
            yield doctor_ports.examine("serial port", port, "SERIAL_PORT", "plug the receiver in")
    if "edgelog" in group.ours:
        for source in group.values.server.edge_log_ports:
            yield doctor_ports.examine("log port", source.port, "EDGE_LOG_PORT", "connect the node's USB port")


def _weights(group: Group) -> Iterator[Finding]:
    path = group.values.gateway.mirror_weights
    if path is not None:
        weights.extract_weights(path)
        yield Finding("weights", f"{path} holds the old nodes' network")


def _keys(group: Group) -> Iterator[Finding]:
    path, usual = group.values.gateway.node_keys_file, group.values.data_dir / "node_keys"
    if not path.exists():
        state = f"{path} does not exist"
        if path != usual and usual.exists():
            yield Finding("node keys", f"{state}, but {usual} does", f"move it: mv {usual} {path}")
        else:
            yield Finding("node keys", f"{state}: old nodes only")
    else:
        yield Finding("node keys", f"{len(node_keys.read_key_file(path))} nodes in {path}")


def _labels(group: Group) -> Iterator[Finding]:
    path = group.values.gateway.nodes_file
    labels = labels_file.read(path).values()
    if labels:
        names = sum(label.name is not None and label.retired is None for label in labels)
        yield Finding("node names", f"{names} in {path}")


def certificates(installation: Installation) -> Iterator[Finding]:
    """When each certificate in a file expires, once however many stations use it."""
    groups = installation.groups((*ON_BROKER, "edgelog"), _certificate_files)
    for setting, path in dict.fromkeys(file for group in groups for file in _certificate_files(group.values)):
        try:
            yield _certificate(f"{path} ({setting})", tls.expires(path))
        except AoiiError as error:
            yield fault("certificate", error)


def _certificate_files(values: Settings) -> tuple[tuple[str, Path], ...]:
    """The files with certificates, each with the setting that it belongs to."""
    encrypted = [one for one in (values.mqtt.tls, values.database.tls) if one]
    files = [(one.name, path) for one in encrypted for path in (one.ca, one.cert)]
    return tuple((setting, path) for setting, path in [*files, ("WEB_TLS", values.web.cert)] if path is not None)


def _certificate(name: str, expires: datetime) -> Finding:
    days = (expires - datetime.now(UTC)).days
    state = f"{name} {'expires' if days >= 0 else 'EXPIRED'} on {expires:%Y-%m-%d}"
    is_near = days < health_limits.EARLY_CERTIFICATE_DAYS
    remedy = "renew it: aoii certs, or whoever made it" if is_near else None
    return Finding("certificate", state, remedy, cause="certificate", about=state)


def _page(group: Group) -> Iterator[Finding]:
    web = group.values.web
    if web.host not in ("127.0.0.1", "::1", "localhost"):
        remedy = None if web.token else "set WEB_TOKEN, or WEB_HOST=127.0.0.1; otherwise `aoii web` does not start"
        token = "with" if web.token else "without"
        encrypted = "encrypted" if web.cert else "not encrypted"
        yield Finding("web page", f"on {web.host}:{web.port}, {token} a token, {encrypted}", remedy)


def _broker(group: Group) -> Iterator[Finding]:
    mqtt = group.values.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    refusals: list[str] = []
    answered = threading.Event()

    def refused(kind: str) -> None:
        refusals.append(kind)
        answered.set()

    client = Client(mqtt, f"aoii-doctor-{os.getpid()}", on_state=lambda _: answered.set(), on_refusal=refused)
    client.start()
    try:
        answered.wait(BROKER_WAIT_S)
        if client.is_ready:
            yield Finding("broker", f"{where} answers{_login(group)}")
            if client.certificate_expires is not None:
                yield _certificate(f"the broker's certificate ({where})", client.certificate_expires)
        elif client.refusal is not None:
            remedy = "correct MQTT_USERNAME and MQTT_PASSWORD, or the broker's configuration"
            about = f"{where}: {client.refusal.problem}"
            yield replace(fault("broker", client.refusal, remedy), cause=f"broker_{refusals[-1]}", about=about)
        else:
            trouble = client.trouble or AoiiError(f"no answer within {BROKER_WAIT_S:g} s")
            remedy = trouble.remedy or "start the broker, or correct MQTT_BROKER and MQTT_PORT"
            state = f"{where}: {trouble.problem}"
            yield Finding("broker", state, remedy, cause="broker_silent", about=state)
    finally:
        client.stop()


def broker_user(values: Settings) -> str | None:
    """The user as whom a station logs in at the broker; None: as nobody."""
    mqtt = values.mqtt
    if mqtt.tls is not None and mqtt.tls.cert is not None:
        return tls.common_name(mqtt.tls.cert)
    return mqtt.username


def _login(group: Group) -> str:
    """How the connection is protected, and whether the user's name fits the stations that log in with it."""
    mqtt, gateway = group.values.mqtt, group.values.gateway.gateway_id
    details = ", encrypted" if mqtt.tls else ", not encrypted" if mqtt.username else ""
    user = broker_user(group.values)
    if user is None:
        return details
    is_gateway = "gateway" in group.here or (not group.here and "GATEWAY_ID" in group.values.given)
    if is_gateway and user != gateway:
        details += (
            f"; our user is {user}: with the shipped ACL, gateway {gateway} does not receive commit acknowledgements"
        )
    return details


def shared_user(installation: Installation) -> Iterator[Finding]:
    """What other stations on this machine log in at the broker as the gateway does; it is no fault without an ACL."""
    users: dict[str | None, list[str]] = {}
    for name in filter(installation.belongs_here, ON_BROKER):
        with contextlib.suppress(AoiiError):  # of a certificate, which has a finding of its own
            users.setdefault(broker_user(installation.settings[name]), []).append(name)
    for user, names in users.items():
        if user is not None and "gateway" in names and len(names) > 1:
            state = (
                f"{', '.join(names[:-1])} and {names[-1]} log in as {user}: with the shipped ACL each needs a user "
                f"of its own, in a file of its own such as {station_file(installation.env_file, names[-1])}"
            )
            yield Finding("broker", state)


def _database(group: Group) -> Iterator[Finding]:
    base = group.values.database
    if base.host is None and not base.sqlite_path.exists():
        yield Finding("database", f"{base.description}; the server will create it")
        return
    with contextlib.closing(open_database(base)) as database:
        database.ping()
        encrypted = ", encrypted" if base.tls else ""
        yield Finding("database", f"{base.description}: {database.stats().total} readings{encrypted}")
        if base.host:
            yield _writability(database)
        if database.certificate_expires is not None:
            yield _certificate(f"the database's certificate ({base.host}:{base.port})", database.certificate_expires)


def _writability(database: Database) -> Finding:
    """Whether the database would accept a row, and how fast; a user who may only read, as the page's, is no fault."""
    began_s = time.monotonic()
    state, cause = "accepts rows", ""
    try:
        database.check_writable()
    except DatabaseAway as error:
        if error.reason != "refused":
            raise
        state, cause = "read-only for this user", "database_read_only"
    took_s = time.monotonic() - began_s
    remedy = "find out what keeps it or the network busy; readings wait meanwhile" if took_s > SLOW_S else None
    cause, about = ("database_slow", f"{took_s:.1f} s") if remedy else (cause, "")
    return Finding("database", f"{state}, answers in {1000 * took_s:.0f} ms", remedy, cause=cause, about=about)


CHECKS = (
    Check("disk", ("gateway", "server", "csv", "edgelog", "web"), lambda one: one.data_dir, _disk),
    Check("clock", ("gateway", "server", "csv", "edgelog", "web"), lambda _: None, _clock),
    Check(
        "serial port",
        ("gateway", "edgelog"),
        lambda one: (one.gateway.serial_ports, one.server.edge_log_ports),
        _serial,
        is_private=True,
    ),
    Check("weights", ("gateway",), lambda one: one.gateway.mirror_weights, _weights, is_private=True),
    Check("node keys", ("gateway",), lambda one: one.gateway.node_keys_file, _keys),
    Check("node names", ("gateway",), lambda one: one.gateway.nodes_file, _labels),
    Check("web page", ("web",), lambda one: one.web, _page),
    Check("broker", ON_BROKER, lambda one: one.mqtt, _broker, is_private=True),
    Check("database", ON_DATABASE, lambda one: one.database, _database, is_private=True),
)
