"""What has to hold once the guide for systemd was followed to its end, on the machine on which it was followed."""

import re
from collections.abc import Callable

from guides.systemd.container import Container
from servers import until

STATIONS = ("gateway", "server", "web")
AOII = "/opt/aoii/.venv/bin/aoii --env-file /etc/aoii/aoii.env"
DOCTOR = f"sudo -u aoii -g dialout {AOII} doctor"
LIMIT_S = 600.0  # a busy machine is slow, and only a fault takes so long
LONGER_THAN_A_START_S = 65  # the limit that units had for a start, and that a daemon-reload brought back
OVERDUE_S = 600.0  # by then a reading that should have been acknowledged after a minute is a fault
SECRETS = "/etc/aoii/secrets"


class Installation:
    """The machine after the last step of the guide, and the readings that it was given."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.ask = container.ask
        self.sent = 0

    def unit(self, station: str, name: str) -> str:
        """A property of a station's unit."""
        return self.ask(f"systemctl show --value --property={name} aoii-{station}")

    def wait_status(self, station: str, text: str) -> None:
        until(lambda: self.unit(station, "StatusText") == text, LIMIT_S, f"{station}: {text}")

    def processes(self) -> list[str]:
        """The stations' processes, 0 for one that is between two."""
        return [self.unit(station, "MainPID") for station in STATIONS]

    def wait_restart(self, before: list[str]) -> None:
        """Wait until every station is a new process and ready: restarting a target does not wait for its stations."""
        until(lambda: not {*before, "0"} & {*self.processes()}, LIMIT_S, "the stations are started again")
        check_stations_are_ready(self)

    def send(self, count: int) -> None:
        """Have the receiver print readings, and wait until the gateway has answered each."""
        for _ in range(count):
            self.sent += 1
            self.ask(f"echo 'Received: {20 + self.sent / 10:.2f},55.00' > /run/receiver.lines")
            until(lambda: int(self.ask("wc -l < /run/receiver.answers")) >= self.sent, LIMIT_S, "an answer")

    def stored(self) -> int:
        """How many readings the database has."""
        return int(self.ask("mariadb --skip-column-names aoii -e 'SELECT COUNT(*) FROM readings'"))

    def wait_stored(self) -> None:
        until(lambda: self.stored() == self.sent, LIMIT_S, f"{self.sent} readings in the database")


def check_stations_are_ready(machine: Installation) -> None:
    """The stations run and have what they need."""
    for station in STATIONS:
        machine.wait_status(station, "ready")
        assert machine.unit(station, "ActiveState") == "active"


def check_readings_arrive(machine: Installation) -> None:
    """Readings of a receiver are answered and reach the database."""
    machine.send(5)
    machine.wait_stored()


def check_doctor_finds_no_fault(machine: Installation) -> None:
    """`aoii doctor` finds no fault."""
    ran = machine.container.run(DOCTOR)
    assert ran.returncode == 0, ran.stdout


def check_lost_rows_come_back(machine: Installation) -> None:
    """Rows that the database has lost are asked for, given back and accounted for, with the rights that each has."""
    machine.ask("mariadb aoii -e 'DELETE FROM readings ORDER BY id LIMIT 2'")
    machine.ask("mariadb aoii -e 'DELETE FROM readings ORDER BY id DESC LIMIT 1'")  # no hole shows this one

    ran = machine.container.run(f"sudo -u aoii {AOII} audit --full")

    assert ran.returncode == 0, ran.stdout
    assert "3 mended" in ran.stdout, ran.stdout
    assert machine.stored() == machine.sent
    ran = machine.container.run(f"sudo -u aoii {AOII} ledger")
    assert ran.returncode == 0, ran.stdout


def check_secrets_are_apart(machine: Installation) -> None:
    """A unit sees the secrets of its own station only, and what is added to them later."""
    for station in STATIONS:
        inside = f"nsenter --target {machine.unit(station, 'MainPID')} --mount"
        assert machine.ask(f"{inside} ls {SECRETS}") == station
        assert machine.ask(f"{inside} ls {SECRETS}/{station}").split()[:2] == ["mqtt.crt", "mqtt.key"]

    machine.ask("sudo -u aoii /opt/aoii/.venv/bin/aoii --env-file /etc/aoii/aoii.env keys add 7 2>&1")
    assert (
        "node_keys" in machine.ask(f"nsenter -t {machine.unit('gateway', 'MainPID')} -m ls {SECRETS}/gateway").split()
    )


def check_daemon_reload(machine: Installation) -> None:
    """A daemon-reload ends neither a gateway that waits for its broker nor a server that waits for its disk."""
    machine.ask("systemctl stop mosquitto aoii-server")
    pipe = "/var/lib/aoii/dead_letters.db"
    machine.ask(f"mv {pipe} {pipe}.away && mkfifo -m 600 {pipe} && chown aoii: {pipe}")  # opening it never returns
    machine.ask("systemctl restart aoii-gateway && systemctl start --no-block aoii-server")
    machine.wait_status("gateway", "waits for: broker")
    machine.wait_status("server", "waits for: its files")
    before = [machine.unit(station, "MainPID") for station in ("gateway", "server")]
    machine.ask(f"sleep {LONGER_THAN_A_START_S}; systemctl daemon-reload; sleep 5")

    machine.send(3)

    assert [machine.unit(station, "MainPID") for station in ("gateway", "server")] == before
    assert machine.unit("gateway", "ActiveState") == "active"
    assert machine.unit("server", "ActiveState") == "activating"
    machine.ask(f"systemctl stop aoii-server; mv {pipe}.away {pipe}; systemctl start mosquitto aoii-server")
    machine.wait_stored()


def check_boot_without_a_network(machine: Installation) -> None:
    """On a machine that boots and has no network, readings are stored while something still waits for the network."""
    machine.ask("systemctl enable systemd-networkd systemd-networkd-wait-online 2>&1")
    machine.ask("systemctl add-wants multi-user.target network-online.target 2>&1")
    machine.ask(
        "d=/etc/systemd/system/systemd-networkd-wait-online.service.d; mkdir -p $d;"
        "printf '[Service]\\nExecStart=\\nExecStart=sleep infinity\\n' > $d/never.conf"
    )
    machine.container.stop()
    machine.container.boot(online=False)

    check_stations_are_ready(machine)
    machine.sent = machine.stored()
    machine.ask(f"seq {machine.sent} > /run/receiver.answers")  # this receiver begins anew
    machine.send(3)
    machine.wait_stored()

    assert machine.ask("systemctl is-active systemd-networkd-wait-online || true") == "activating"


def check_server_as_the_gateway(machine: Installation) -> None:
    """A server that logs in as the gateway is noticed: `aoii doctor` fails and names the hop."""
    machine.ask(
        f"cp -a {SECRETS}/server /root/secrets && install -o aoii -g aoii -m 600 {SECRETS}/gateway/* {SECRETS}/server/"
        " && systemctl restart aoii-server"
    )
    machine.wait_status("server", "ready")  # which is how it was overlooked
    machine.send(3)

    until(lambda: machine.container.run(DOCTOR).returncode != 0, OVERDUE_S, "doctor finds a fault")
    told = machine.container.run(DOCTOR).stdout
    assert re.search(r"^FAIL +outbox .*held up between broker and server", told, re.MULTILINE), told
    assert "log in as gateway" in told
    assert machine.stored() == machine.sent - 3

    machine.ask(f"cp -a /root/secrets/* {SECRETS}/server/ && systemctl restart aoii-server")
    machine.wait_stored()


CHECKS: tuple[Callable[[Installation], None], ...] = (
    check_stations_are_ready,
    check_readings_arrive,
    check_doctor_finds_no_fault,
    check_lost_rows_come_back,
    check_secrets_are_apart,
    check_daemon_reload,
    check_boot_without_a_network,
    check_server_as_the_gateway,
)
