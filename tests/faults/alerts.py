"""Each fault raises its alert, has its hop named by `aoii doctor`, is told to a person, and clears after healing.

`python -m faults.alerts [NAME ...]` runs all of them, or those named, on one running stack; `make faults` does, too.
"""

import contextlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from aoii import doctor, doctor_stations
from aoii.settings import BY_NAME
from faults.outsider import outsider
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
    """What is done, which alert that raises, and which others it hides from people."""

    alert: str
    begin: Callable[["Watched"], None]
    end: Callable[["Watched"], None] = lambda watched: None
    hides: frozenset[str] = frozenset()


class Watched:
    """A stack with a web page, Prometheus and Alertmanager; made by `watched`."""

    def __init__(self, folder: Path, stack: Stack, page: WebStation) -> None:
        self.stack = stack
        self.alertmanager = Alertmanager(folder / "alertmanager")
        ports = {station.name: station._status_port for station in stack.stations} | {"web": page.port}
        self.prometheus = Prometheus(folder / "prometheus", ports, self.alertmanager.port)
        self._files = []
        for station in stack.stations:
            file = folder / f"{station.name}.env"
            names = (name for name in station._environment if name in BY_NAME)
            file.write_text("".join(f"{name}={station._environment[name]}\n" for name in names))
            self._files.append(file)

    def diagnosed(self) -> set[str]:
        """Subjects with which `aoii doctor` finds something wrong, on the gateway's machine or on the server's."""
        return {
            finding.subject for file in self._files for finding in doctor.examine(file) if finding.remedy is not None
        }

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
            until(lambda: hop in self.diagnosed(), FIRES_S, f"doctor names {hop}")
            until(lambda: fault.hides <= self.alertmanager.suppressed(), FIRES_S, f"{fault.alert} hides {fault.hides}")
        finally:
            fault.end(self)
            self.stack.heal()
            self.talk()
        until(lambda: fault.alert not in self.prometheus.firing(), FIRES_S, f"{fault.alert} clears")
        until(
            lambda: (fault.alert, "resolved") in told[before:], FIRES_S, f"somebody is told that {fault.alert} is over"
        )
        until(lambda: hop not in self.diagnosed(), FIRES_S, f"doctor finds {hop} well")
        return took_s


@contextlib.contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Everything running, and nodes that talk."""
    with contextlib.ExitStack() as stack:
        for name, limit in (("OUTBOX_OLD_S", OLD_S), ("SILENT_S", SILENT_S), ("HEARTBEAT_GRACE_S", -(10**6))):
            stack.enter_context(mock.patch.object(doctor_stations, name, limit))
        system = stack.enter_context(Stack(folder / "stack", 1, NODES))
        names = ("MYSQL_HOST", "MYSQL_PORT", "MYSQL_USER", "MQTT_PORT")
        page = WebStation(folder / "web", **{name: system.server._environment[name] for name in names})
        stack.enter_context(page)
        watch = Watched(folder, system, page)
        stack.enter_context(watch.alertmanager)
        stack.enter_context(watch.prometheus)
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
            except AssertionError as error:
                failed += 1
                print(f"FAIL  {name:16} {fault.alert}: {error}", flush=True)
            else:
                print(f"ok    {name:16} {fault.alert} after {took_s:.0f} s, hop named, cleared", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    for name in [name for name in os.environ if name in BY_NAME]:
        del os.environ[name]
    sys.exit(main(sys.argv[1:]))
