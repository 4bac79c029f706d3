"""Real servers for tests: each on a free loopback port in a temporary folder, started and ended by the test itself."""

import contextlib
import os
import pty
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tty
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

AS_ROOT = os.geteuid() == 0
START_TIMEOUT_S = 60.0
FREE_PORTS = range(20_000, 32_000)  # below those of outgoing connections: from 32768 on Linux, from 49152 on macOS


def free_port() -> int:
    """A loopback TCP port that nobody used a moment ago, and that no outgoing connection takes meanwhile.

    A client that tries a port of outgoing connections again and again may even reach itself there.
    """
    while True:
        port = secrets.choice(FREE_PORTS)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def until(truth: Callable[[], object], timeout_s: float = 30.0, what: str = "", every_s: float = 0.02) -> None:
    """Wait until `truth()` holds; fail with its name when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while not truth():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come within {timeout_s:g} s: {what or truth}")
        time.sleep(every_s)


def accepts(port: int) -> bool:
    """Whether somebody listens on the loopback port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def freeze_process(pid: int) -> None:
    """SIGSTOP a child process, and wait until all of its threads have stopped: for a moment they still go on."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


class Server:
    """A child process that listens on `port`; as a context manager it is started and ended."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """The command line of the server."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = self.command()  # once: it writes the configuration, which the child reads from now on
        with (self.folder / "server.log").open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        self.process = process
        until(lambda: accepts(self.port) or process.poll() is not None, START_TIMEOUT_S, command[0])
        if process.poll() is not None:
            raise AssertionError((self.folder / "server.log").read_text(errors="replace")[-2000:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process and no other."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone, so that the port is free again."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing, from now on."""
        assert self.process is not None
        freeze_process(self.process.pid)

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Mosquitto(Server):
    """A private Mosquitto; `extra` lines go into its configuration."""

    def __init__(self, folder: Path, port: int | None = None, extra: str = "") -> None:
        super().__init__(folder, port)
        self.extra = extra

    def command(self) -> list[str]:
        """Write the configuration; the command that reads it."""
        lines = [f"listener {self.port} 127.0.0.1", "max_queued_messages 100000"]
        if "allow_anonymous" not in self.extra:
            lines.append("allow_anonymous true")
        if "persistence" not in self.extra:
            lines += ["persistence true", f"persistence_location {self.folder}/", "autosave_interval 1"]
        if AS_ROOT:
            lines.append("user root")
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, self.extra, ""]))
        return [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]


# Options of a MariaDB that leaves its writes to the kernel: they outlive the server however it ends, not the machine.
# Making the tables of a schema takes it half the time. Not for what measures a database.
UNSYNCED = ("--innodb-flush-method=nosync", "--debug-no-sync", "--sync-frm=0")


class MariaDB(Server):
    """A private MariaDB with an empty schema `aoii`, user root without a password, on loopback only.

    Further `options` go onto its command line; `{home}` in them is its own folder.
    """

    def __init__(self, folder: Path, port: int | None = None, options: Sequence[str] = ()) -> None:
        super().__init__(folder, port)
        self._options = options
        self._user = ["--user=mysql"] if AS_ROOT else []
        link = folder / "data"
        made = not link.exists()
        if made:
            # Not below pytest's folder: that is private to root, and each session that starts closes it again.
            home = tempfile.mkdtemp(prefix="aoii-mariadb-", dir="/tmp")
            weakref.finalize(self, shutil.rmtree, home, ignore_errors=True)
            link.symlink_to(home)
        self.home = link.resolve()
        # A server that starts clears its folder for temporary tables: in a shared one, of its neighbours' tables.
        self._folders = [f"--datadir={self.home / 'data'}", f"--tmpdir={self.home / 'tables'}"]
        if made:
            for name in ("", "data", "tables"):
                (self.home / name).mkdir(exist_ok=True)
                if AS_ROOT:
                    shutil.chown(self.home / name, "mysql")
            done = subprocess.run(
                ["mariadb-install-db", "--no-defaults", *self._folders,
                 "--auth-root-authentication-method=normal", "--skip-test-db", *self._user],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr

    def command(self) -> list[str]:
        """The command line."""
        return [
            shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", *self._folders,
            f"--socket={self.home}/socket", f"--pid-file={self.home}/pid", f"--port={self.port}",
            "--bind-address=127.0.0.1", "--skip-name-resolve", *self._user,
            *(option.format(home=self.home) for option in self._options),
        ]  # fmt: skip

    def start(self) -> None:
        """Start it and make sure that the schema exists."""
        super().start()
        self.execute("CREATE DATABASE IF NOT EXISTS aoii")

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """Run statements with the database's own client library; rows of the last one."""
        import pymysql

        with (
            pymysql.connect(
                host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True, connect_timeout=10
            ) as connection,
            connection.cursor() as cursor,
        ):
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def new_schema(self) -> str:
        """Create an empty schema of its own for one test; its name."""
        name = f"aoii_{time.monotonic_ns()}"
        self.execute(f"CREATE DATABASE {name}")
        return name


@contextlib.contextmanager
def pty_port(link: Path) -> Iterator[int]:
    """A pseudo-terminal whose far end is the serial port `link`; the file descriptor of our end."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    link.symlink_to(os.ttyname(theirs))
    try:
        yield ours
    finally:
        link.unlink(missing_ok=True)
        os.close(ours)
        os.close(theirs)
