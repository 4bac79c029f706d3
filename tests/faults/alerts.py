"""Each fault raises its alert, has its hop named by `aoii doctor`, is told to a person, and clears after healing.

`python -m faults.alerts [NAME ...]` runs all of them, or those named, on one running stack; `make faults` does, too.
"""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from aoii.commands import doctor
from aoii.runtime import health_limits
from aoii.settings import BY_NAME
from faults import scenarios
from faults.outsider import outsider
from faults.scenarios import MANY, Scene, Skipped
from faults.stack import Stack
from faults.watch import OLD_S, SILENT_S, Alertmanager, Prometheus
from servers import until
from web.station import WebStation

FIRES_S = 120.0  # of a busy machine; usually 10
NODES = 4
NO_READINGS = "topic read #\ntopic read $SYS/#\ntopic write aoii/ack/#\n"
NO_ACKS = "topic read #\ntopic read $SYS/#\ntopic write aoii/readings\n"


@dataclass(frozen=True)
class Fault:
    """What is done, which alert that raises, which others it hides from people, and words that `aoii doctor` says."""

    alert: str
    begin: Callable[["Watched"], None]
    end: Callable[["Watched"], None] = lambda watched: None
    hides: frozenset[str] = frozenset()
    says: str = ""


class Watched:
    """A stack with a web page, Prometheus and Alertmanager; made by `watched`."""

    def __init__(self, folder: Path, stack: Stack, page: WebStation) -> None:
        self.stack = stack
        self.page = page
        self.alertmanager = Alertmanager(folder / "alertmanager")
        ports = {station.name: station._status_port for station in stack.stations} | {"web": page.port}
        self.prometheus = Prometheus(folder / "prometheus", ports, self.alertmanager.port)
        self._files = []
        settings = {station.name: station._environment for station in stack.stations} | {
            "web": {name: str(value) for name, value in page.values.items()}
        }
        for name, values in settings.items():
            file = folder / f"{name}.env"
            file.write_text("".join(f"{key}={value}\n" for key, value in values.items() if key in BY_NAME))
            self._files.append(file)

    def diagnosed(self) -> list[str]:
        """What `aoii doctor` finds wrong, on the gateway's machine, the server's and the page's."""
        return [
            f"{finding.subject}: {finding.state}"
            for file in self._files
            for finding in doctor.examine(file)
            if finding.remedy is not None
        ]

    def names(self, hop: str) -> bool:
        """Whether `aoii doctor` finds something wrong there."""
        return any(said.startswith(f"{hop}: ") for said in self.diagnosed())

    def talk(self) -> None:
        """Nodes send now and then."""
        self.stack.radio.load(0)
        self.stack.old_node.talk()

    def try_out(self, fault: Fault) -> float:
        """Let it happen and end; the seconds until its alert fired.

        Raises:
            AssertionError: Something that belongs to it did not come in time.
        """
        told, hop = self.alertmanager.told, ""
        until(lambda: not self.prometheus.firing().keys() & {fault.alert}, FIRES_S, f"{fault.alert} is quiet before")
        before = len(told)
        began_s = time.monotonic()
        try:
            fault.begin(self)
            until(lambda: fault.alert in self.prometheus.firing(), FIRES_S, f"{fault.alert} fires")
            took_s = time.monotonic() - began_s
            hop = self.prometheus.firing()[fault.alert]["hop"]
            until(lambda: (fault.alert, "firing") in told[before:], FIRES_S, f"somebody is told of {fault.alert}")
            until(lambda: self.names(hop), FIRES_S, f"doctor names {hop}")
            until(lambda: any(fault.says in said for said in self.diagnosed()), FIRES_S, f"doctor says {fault.says}")
            until(lambda: fault.hides <= self.alertmanager.suppressed(), FIRES_S, f"{fault.alert} hides {fault.hides}")
        finally:
            fault.end(self)
            self.stack.heal()
            self.talk()
        until(lambda: fault.alert not in self.prometheus.firing(), FIRES_S, f"{fault.alert} clears")
        until(
            lambda: (fault.alert, "resolved") in told[before:], FIRES_S, f"somebody is told that {fault.alert} is over"
        )
        until(lambda: not self.names(hop), FIRES_S, f"doctor finds {hop} well")
        return took_s


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Everything running, and nodes that talk."""
    with contextlib.ExitStack() as stack:
        for name, limit in (("OUTBOX_OLD_S", OLD_S), ("SILENCE_S", SILENT_S), ("HEARTBEAT_GRACE_S", -(10**6))):
            stack.enter_context(mock.patch.object(health_limits, name, limit))
        system = stack.enter_context(Stack(folder / "stack", 1, NODES))
        names = ("MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MQTT_PORT")
        page = WebStation(folder / "web", **{name: system.server._environment[name] for name in names})
        stack.enter_context(page)
        watch = Watched(folder, system, page)
        stack.enter_context(watch.alertmanager)
        stack.enter_context(watch.prometheus)
        until(watch.prometheus.has_seen_every_station, FIRES_S, "every station has been seen")
        watch.talk()
        yield watch


def _quiet(watch: Watched) -> None:
    watch.stack.quiet()


def _publish_nonsense(watch: Watched) -> None:
    with outsider(watch.stack.broker.port) as other:
        assert other.publish([b"nonsense"]) == [True]


def _take_letters_away(watch: Watched) -> None:
    """As a person who has seen them does."""
    path = watch.stack.folder / "server" / "data" / "dead_letters.db"
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as letters:
        letters.execute("DELETE FROM letters")
        letters.commit()


def _as_in(inject: scenarios.Inject) -> Callable[[Watched], None]:
    """What a scenario of the campaign does, until everything is healed."""
    return lambda watch: inject(Scene(watch.stack, random.Random(1), scenarios.SHORT))


def _swallow_broker(watch: Watched) -> None:
    watch.stack.gateway_link.swallow()
    watch.stack.server_link.swallow()


def _fill_dead_letters(watch: Watched) -> None:
    watch.stack.server.stop()
    watch.stack.server.start(DEAD_LETTER_MAX_MB="1")
    watch.stack.database.kill()
    watch.stack.radio.load(MANY, is_mixed=False)


def _fill_outbox(watch: Watched) -> None:
    watch.stack.server.kill()
    watch.stack.gateway.stop()
    watch.stack.gateway.start(OUTBOX_MAX_MB="1")
    watch.stack.radio.load(MANY, is_mixed=False)


def _fill_disk(watch: Watched) -> None:
    """The gateway's folder is a small disk, and somebody fills it."""
    stack, folder = watch.stack, watch.stack.outbox.parent
    stack.gateway.stop()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    mount = subprocess.run(command, check=False, capture_output=True, text=True)
    if mount.returncode:
        raise Skipped(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    stack.gateway.start()
    stack.gateway.wait_started()
    until(lambda: stack.gateway.gauge("aoii_broker_up") == 1, FIRES_S, "the gateway works on the small disk")
    stack.radio.load(MANY, is_mixed=False)
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _make_room(watch: Watched) -> None:
    """The usual disk is back, with what was in the outbox then."""
    folder = watch.stack.outbox.parent
    watch.stack.gateway.kill()
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def _damage_outbox(watch: Watched) -> None:
    """The gateway's file loses its second half while readings wait in it."""
    stack = watch.stack
    stack.server.kill()
    before = stack.recorder.accepted
    stack.radio.load(scenarios.BURST)
    until(lambda: stack.recorder.accepted > before + scenarios.BURST // 2, FIRES_S, "readings wait")
    stack.gateway.stop()  # the whole content is in the file itself then
    with stack.outbox.open("r+b") as file:
        file.truncate(stack.outbox.stat().st_size // 2)
    stack.gateway.start()


def _set_clock(watch: Watched, unix_s: float) -> None:
    """The gateway starts again, by this wall clock."""
    watch.stack.gateway.stop()
    watch.stack.gateway.start(CLOCK_START_UNIX_S=f"{unix_s:.3f}", CLOCK_ORIGIN_S=f"{time.monotonic():.3f}")


WAITS = frozenset({"OutboxOld"})
FAULTS = {
    "server_down": Fault("ServerDown", lambda watch: watch.stack.server.kill(), hides=WAITS),
    "publish_refused": Fault("PublishRefused", lambda watch: watch.stack.broker.allow(NO_READINGS), hides=WAITS),
    "dead_letters": Fault("DeadLetters", _publish_nonsense, _take_letters_away),
    "nothing_heard": Fault("NothingHeard", _quiet, hides=frozenset({"NothingReceived"})),
    "gateway_down": Fault("GatewayDown", lambda watch: watch.stack.gateway.kill()),
    "gateway_frozen": Fault("GatewayDown", lambda watch: watch.stack.gateway.freeze()),
    "broker_down": Fault("BrokerDown", lambda watch: watch.stack.broker.kill(), hides=WAITS),
    "broker_frozen": Fault("BrokerDown", lambda watch: watch.stack.broker.freeze(), hides=WAITS),
    "database_down": Fault("DatabaseDown", lambda watch: watch.stack.database.kill()),
    "database_frozen": Fault("DatabaseDown", lambda watch: watch.stack.database.freeze()),
    "outbox_old": Fault("OutboxOld", lambda watch: watch.stack.broker.allow(NO_ACKS)),
    "qos_downgraded": Fault("QosDowngraded", lambda watch: watch.stack.broker.restart("max_qos 0")),
    "web_down": Fault("WebDown", lambda watch: watch.page.kill(), lambda watch: watch.page.start()),
    "broker_half_open": Fault("BrokerDown", _swallow_broker, hides=WAITS),
    "database_half_open": Fault("DatabaseDown", lambda watch: watch.stack.database_link.swallow()),
    "database_read_only": Fault("DatabaseDown", _as_in(scenarios.database_read_only), says="--read-only"),
    "database_connections": Fault("DatabaseDown", _as_in(scenarios.database_connections), says="oo many connections"),
    "database_table_full": Fault(
        "DatabaseDown", _as_in(scenarios.SCENARIOS["database_table_full"].inject), says="cannot write to it"
    ),
    "dead_letters_full": Fault("OutboxOld", _fill_dead_letters, says="dead letters: full"),
    "outbox_full": Fault("OutboxFull", _fill_outbox, says="outbox: "),
    "disk_full": Fault("DiskFilling", _fill_disk, _make_room, says="outbox: it cannot be written"),
    "outbox_damaged": Fault("OutboxDamaged", _damage_outbox, lambda watch: watch.stack.gateway.stop()),
    "clock_of_1970": Fault("ClockUnsynchronised", lambda watch: _set_clock(watch, 0)),
    "clock_an_hour_on": Fault(
        "ClockUnsynchronised", lambda watch: _set_clock(watch, time.time() + 3600), says="from the server's"
    ),
}
SHORT = ("server_down", "publish_refused", "dead_letters", "nothing_heard")  # one of each kind, for `make test`


def main(names: list[str]) -> int:
    """Try faults out and print how each went; 1 when one did not go as it should."""
    wrong = [name for name in names if name not in FAULTS]
    if wrong:
        print(f"no such fault: {', '.join(wrong)}; there are {', '.join(FAULTS)}")
        return 2
    failed = 0
    with tempfile.TemporaryDirectory(prefix="aoii-alerts-") as folder, watched(Path(folder)) as watch:
        for name in names or FAULTS:
            fault = FAULTS[name]
            try:
                took_s = watch.try_out(fault)
            except Skipped as error:
                print(f"skip  {name:20} {error}", flush=True)
            except AssertionError as error:
                failed += 1
                print(f"FAIL  {name:20} {fault.alert}: {error}", flush=True)
            else:
                print(f"ok    {name:20} {fault.alert} after {took_s:.0f} s, hop named, cleared", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    for name in [name for name in os.environ if name in BY_NAME]:
        del os.environ[name]
    sys.exit(main(sys.argv[1:]))
