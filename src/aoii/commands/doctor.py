"""`aoii doctor`: checks once everything that a station needs, and says what to do about each fault.

It changes nothing. It connects to broker, database and status ports, and does not open serial ports.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from aoii import settings
from aoii.broker.client import Client
from aoii.commands import container, doctor_stations
from aoii.commands.doctor_stations import Finding
from aoii.core.errors import AoiiError
from aoii.gateway.legacy import weights
from aoii.runtime import health_limits
from aoii.security import node_keys, tls
from aoii.server.db import Database, DatabaseAway, open_database
from aoii.settings import Settings
from aoii.settings.faults import SettingsError

BROKER_WAIT_S = 5.0
SLOW_S = 2.0  # for a question about one row, which usually takes milliseconds
CLOCK_FLOOR_UNIX_S = 1_704_067_200  # 2024-01-01: an earlier time means that the machine booted without a clock


def run(env_file: Path | None) -> int:
    """Print the findings; 0 if all is well, 1 if something has to be done."""
    has_failed = False
    for finding in examine(env_file):
        mark = "FAIL" if finding.remedy is not None else "ok  " if finding.is_checked else "--  "
        print(f"{mark}  {finding.subject:12} {finding.state}")
        if finding.remedy is not None:
            has_failed = True
            print(f"      {'':12} -> {finding.remedy}")
    return 1 if has_failed else 0


def examine(env_file: Path | None) -> Iterator[Finding]:
    """Check the settings, then everything that they name; in a station's container, what that station can see."""
    own = container.started()
    env_file = env_file or (own.env_file if own else None)
    try:
        values = settings.load(env_file=env_file)
    except SettingsError as error:
        for fault in error.faults:
            yield Finding("settings", fault.problem, fault.remedy)
        return
    if not values.warnings:
        yield Finding("settings", f"{len(values.given)} set, the rest at their defaults")
    for warning in values.warnings:
        yield Finding("settings", warning.problem, warning.remedy)
    yield from _env_file(values, Path(settings.ENV_FILE) if env_file is None else env_file)
    for subject, check in CHECKS:
        if own and own.station not in container.SEEN_BY.get(subject, (own.station,)):
            whose = " or ".join(container.SEEN_BY[subject])
            state = f"not checked: this is the container of {own.station}; ask in that of {whose}"
            yield Finding(subject, state, is_checked=False)
            continue
        try:
            yield from check(values)
        except AoiiError as error:
            yield _fault(subject, error)


def _fault(subject: str, error: AoiiError, remedy: str = "see the message") -> Finding:
    """An error as a finding, with `remedy` if the error has none of its own."""
    return Finding(subject, error.problem, error.remedy or remedy)


def _env_file(values: Settings, path: Path) -> Iterator[Finding]:
    """A finding if the file holds a secret and others may read it."""
    secrets = [name for name, setting in settings.BY_NAME.items() if setting.secret and name in values.given]
    with contextlib.suppress(OSError):
        if secrets and path.stat().st_mode & 0o007 and any(name in path.read_text() for name in secrets):
            yield Finding("settings", f"{path} holds a secret, and others may read it", f"run chmod 600 {path}")


def _disk(values: Settings) -> Iterator[Finding]:
    folder = values.data_dir
    while not folder.exists():
        folder = folder.parent if folder.parent != folder else Path()
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        yield Finding("disk", f"{folder}: {error.strerror}", "give this user the folder, or set AOII_DATA_DIR")
        return
    free = shutil.disk_usage(folder).free
    remedy = "make room, or set AOII_DATA_DIR to a larger disk" if free < health_limits.DISK_LOW_BYTES else None
    yield Finding("disk", f"{free / 1e9:.1f} GB free for {values.data_dir}", remedy)


def _clock(values: Settings) -> Iterator[Finding]:
    now = time.time()
    state = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(now))
    remedy = "set the clock or start a time service; until then rows are marked as not synchronised"
    yield Finding("clock", state, remedy if now < CLOCK_FLOOR_UNIX_S else None)


def _serial(values: Settings) -> Iterator[Finding]:
    for port in values.gateway.serial_ports:
        yield _port("serial port", port, "plug the receiver in, or correct SERIAL_PORT")
    for source in values.server.edge_log_ports:
        yield _port("log port", source.port, "connect the node's USB port, or correct EDGE_LOG_PORT")


def _port(subject: str, port: str, remedy: str) -> Finding:
    path = Path(port)
    if not path.exists():
        return Finding(subject, f"{port} does not exist", remedy)
    if not path.is_char_device():
        return Finding(subject, f"{port} is not a serial port", remedy)
    if not os.access(path, os.R_OK | os.W_OK):
        remedy = "add this user to the group dialout, and log in again"
        return Finding(subject, f"{port} may not be opened by this user", remedy)
    return Finding(subject, f"{port} is there")


def _weights(values: Settings) -> Iterator[Finding]:
    path = values.gateway.mirror_weights
    if path is not None:
        weights.extract_weights(path)
        yield Finding("weights", f"{path} holds the old nodes' network")


def _keys(values: Settings) -> Iterator[Finding]:
    path = values.gateway.node_keys_file
    if not path.exists():
        yield Finding("node keys", f"{path} does not exist: old nodes only")
    else:
        yield Finding("node keys", f"{len(node_keys.read_key_file(path))} nodes in {path}")


def _broker(values: Settings) -> Iterator[Finding]:
    where = f"{values.mqtt.host}:{values.mqtt.port}"
    client = Client(values.mqtt, f"aoii-doctor-{os.getpid()}")
    client.start()
    try:
        if client.wait_ready(BROKER_WAIT_S):
            yield Finding("broker", f"{where} answers{_login(values)}")
            if client.certificate_expires is not None:
                yield _certificate(f"the broker's certificate ({where})", client.certificate_expires)
        elif client.refusal is not None:
            remedy = "correct MQTT_USERNAME and MQTT_PASSWORD, or the broker's configuration"
            yield _fault("broker", client.refusal, remedy)
        else:
            trouble = client.trouble or AoiiError(f"no answer within {BROKER_WAIT_S:g} s")
            remedy = trouble.remedy or "start the broker, or correct MQTT_BROKER and MQTT_PORT"
            yield Finding("broker", f"{where}: {trouble.problem}", remedy)
    finally:
        client.stop()


def _login(values: Settings) -> str:
    """How the connection is protected, and whether the user's name fits GATEWAY_ID."""
    mqtt, gateway = values.mqtt, values.gateway.gateway_id
    details = ", encrypted" if mqtt.tls else ", not encrypted" if mqtt.username else ""
    user = mqtt.username
    if mqtt.tls is not None and mqtt.tls.cert is not None:
        user = tls.common_name(mqtt.tls.cert)
    own = container.started()
    is_gateway = "GATEWAY_ID" in values.given and (own is None or own.station == "gateway")
    if user is not None and is_gateway and user != gateway:
        details += (
            f"; our user is {user}: with the shipped ACL, gateway {gateway} does not receive commit acknowledgements"
        )
    return details


def _certificates(values: Settings) -> Iterator[Finding]:
    pairs = [(one.name, path) for one in (values.mqtt.tls, values.database.tls) if one for path in (one.ca, one.cert)]
    for setting, path in [*pairs, ("WEB_TLS", values.web.cert)]:
        if path is not None:
            yield _certificate(f"{path} ({setting})", tls.expires(path))


def _certificate(name: str, expires: datetime) -> Finding:
    days = (expires - datetime.now(UTC)).days
    state = f"{name} {'expires' if days >= 0 else 'EXPIRED'} on {expires:%Y-%m-%d}"
    is_near = days < health_limits.EARLY_CERTIFICATE_DAYS
    return Finding("certificate", state, "renew it: aoii certs, or whoever made it" if is_near else None)


def _page(values: Settings) -> Iterator[Finding]:
    web = values.web
    if web.host not in ("127.0.0.1", "::1", "localhost"):
        remedy = None if web.token else "set WEB_TOKEN, or WEB_HOST=127.0.0.1; otherwise `aoii web` does not start"
        token = "with" if web.token else "without"
        encrypted = "encrypted" if web.cert else "not encrypted"
        yield Finding("web page", f"on {web.host}:{web.port}, {token} a token, {encrypted}", remedy)


def _database(values: Settings) -> Iterator[Finding]:
    base = values.database
    if base.host is None and not base.sqlite_path.exists():
        yield Finding("database", f"SQLite; the server will create {base.sqlite_path}")
        return
    with contextlib.closing(open_database(base)) as database:
        database.ping()
        where = f"MySQL at {base.host}:{base.port}" if base.host else f"SQLite, {base.sqlite_path}"
        encrypted = ", encrypted" if base.tls else ""
        yield Finding("database", f"{where}: {database.stats().total} readings{encrypted}")
        if base.host:
            yield _writability(database)
        if database.certificate_expires is not None:
            yield _certificate(f"the database's certificate ({base.host}:{base.port})", database.certificate_expires)


def _writability(database: Database) -> Finding:
    """Whether the database would accept a row, and how fast; a user who may only read, as the page's, is no fault."""
    began_s = time.monotonic()
    state = "accepts rows"
    try:
        database.check_writable()
    except DatabaseAway as error:
        if error.reason != "refused":
            raise
        state = "read-only for this user"
    took_s = time.monotonic() - began_s
    remedy = "find out what keeps it or the network busy; readings wait meanwhile" if took_s > SLOW_S else None
    return Finding("database", f"{state}, answers in {1000 * took_s:.0f} ms", remedy)


CHECKS: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
    ("disk", _disk),
    ("clock", _clock),
    ("serial port", _serial),
    ("weights", _weights),
    ("node keys", _keys),
    ("certificate", _certificates),
    ("web page", _page),
    ("broker", _broker),
    ("database", _database),
    ("stations", doctor_stations.examine),
)
