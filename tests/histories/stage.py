"""What stands in for clocks, chance, threads, files and connections, so that the stations' own code runs in a history.

Nothing that decides is replaced. One history at a time runs in a process; `scene` is what it consists of.
"""

import contextlib
import io
import random
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from prometheus_client import Counter, Gauge, Histogram

from aoii.gateway import former_names, gateway, intake, node_metrics, publisher, receiver, repair, repair_work
from aoii.gateway.drivers import kept_file, outbox_file, outbox_recovery, outbox_rows, outbox_transaction
from aoii.runtime import failpoints, failure_log, metrics, sqlite_recovery
from aoii.server import (
    asked_gateway,
    audit,
    audit_worker,
    database_watch,
    db,
    inbox,
    ingest_worker,
    subscription,
    tables,
)
from aoii.server.connection import ConnectionPool
from aoii.server.dead_letters import file as letters_file
from aoii.server.dead_letters import letters
from aoii.settings import Database as DatabaseSettings
from histories.broker import Broker, Connection
from histories.disks import Disk
from histories.timeline import MachineTime, Timeline


class Crash(BaseException):
    """The process that runs now is killed, or its machine loses power."""


class Machine:
    """A machine with a disk, and the process on it.

    Attributes:
        is_up: Whether the process runs.
        crash_at: At which failpoint it is killed, and how many times it passes that before.
    """

    def __init__(self, name: str, scene: "Scene") -> None:
        self.name = name
        self.scene = scene
        self.disk = Disk()
        self.is_up = False
        self.crash_at: tuple[str, int] | None = None
        self.connections: list[Connection] = []
        self.crashes = 0
        self._life = 0

    def run(self, act: Callable[[], None]) -> None:
        """Do something as this machine's process; it may crash in it."""
        if not self.is_up:
            return
        before, self.scene.acting = self.scene.acting, self
        try:
            act()
        except Crash:
            self.crashes += 1
            self.scene.log(f"{self.name} crashes")
            self.kill()
            self.scene.timeline.after(self.scene.chance.randint(1_000, 300_000), self.start)
        finally:
            self.scene.acting = before

    def connect(self, *args: Any, **kwargs: Any) -> Connection:
        """Make a connection of the present process to the broker."""
        life = self._life
        _mqtt, client_id, *rest = args

        def of_this_life(act: Callable[[], None]) -> None:
            if self._life == life:
                self.run(act)

        connection = Connection(self.scene.broker, of_this_life, client_id, *rest, **kwargs)
        connection.is_cut_off = self.is_cut_off
        self.connections.append(connection)
        return connection

    is_cut_off = False

    def cut_off(self, is_cut_off: bool) -> None:
        """Take the network between this machine and the broker away, or give it back."""
        self.is_cut_off = is_cut_off
        for connection in list(self.connections):
            connection.is_cut_off = is_cut_off
            if is_cut_off:
                connection.cut()

    def kill(self) -> None:
        """End the process at once; what is not on the disk is gone."""
        if not self.is_up:
            return
        self.is_up = False
        self._life += 1
        self.crash_at = None
        for connection in self.connections:
            connection.stop()
        self.connections.clear()
        self.ended()
        self.disk.crash()

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self.is_up:
            return
        self.is_up = True
        self.run(self.started)

    def started(self) -> None:
        raise NotImplementedError

    def ended(self) -> None:
        raise NotImplementedError

    def reach(self, name: str) -> None:
        if self.crash_at is not None and self.crash_at[0] == name:
            left = self.crash_at[1] - 1
            self.crash_at = (name, left) if left > 0 else None
            if left <= 0:
                raise Crash


class Scene:
    """What a history consists of, but for its machines: time, chance, and the broker."""

    def __init__(self, seed: int) -> None:
        self.timeline = Timeline()
        self.time = MachineTime(self.timeline)
        self.chance = random.Random(f"world {seed}")
        self.broker = Broker(self.timeline, self.chance)
        self.acting: Machine | None = None
        self.reach: Callable[[str], None] = lambda _: None
        self.lines: list[str] | None = None
        self.errors: list[str] = []

    def log(self, line: str) -> None:
        if self.lines is not None:
            minutes, ms = divmod(self.timeline.now_ms, 60_000)
            self.lines.append(f"{minutes // 60:02}:{minutes % 60:02}:{ms / 1000:06.3f} {line}")


scene = Scene(0)


def begin(new: Scene) -> None:
    """Make this the scene of the process."""
    global scene  # noqa: PLW0603 - what is replaced below is global too
    scene = new


def _acting() -> Machine:
    assert scene.acting is not None
    return scene.acting


class _Time:
    """The module `time` of the scene."""

    def time_ns(self) -> int:
        return scene.time.time_ns()

    def time(self) -> float:
        return scene.time.time_ns() / 1e9

    def monotonic_ns(self) -> int:
        return scene.time.monotonic_ns()

    def monotonic(self) -> float:
        return scene.time.monotonic_ns() / 1e9


class _Random:
    """The modules `random` and `secrets` of the scene."""

    def random(self) -> float:
        return scene.chance.random()

    def randbits(self, bits: int) -> int:
        return scene.chance.getrandbits(bits)

    def randbelow(self, limit: int) -> int:
        return scene.chance.randrange(limit)


class Idle:
    """Takes the place of a thread that is never started: the history calls what it would do."""

    part = None
    is_running = False

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work

    def start(self) -> None:
        pass

    def record_progress(self) -> None:
        pass

    def is_alive(self) -> bool:
        return False

    def join(self, timeout: float | None = None) -> None:
        pass


class Reserve:
    """A disk with room."""

    is_held = True

    def __init__(self, path: Path) -> None:
        pass

    def acquire(self) -> None:
        pass

    def release(self) -> None:
        pass

    def is_needed(self) -> bool:
        return False


class Port:
    """Takes the place of a serial port: the frames come from the history's radio, and the answers go there."""

    def __init__(self, path: str, on_items: Any, on_state: Any, on_late: Any) -> None:
        self.path = path
        self.on_items = on_items
        self._machine: Any = _acting()

    def answer(self, data: bytes, before_s: float = 0) -> None:
        failpoints.reach("before_radio_ack")
        self._machine.radio(data)
        failpoints.reach("after_radio_ack")

    def answer_later(self, make: Callable[[], bytes | None], wait_s: float) -> None:
        machine = self._machine
        process = machine.process

        def due() -> None:
            if machine.process is process and (data := make()) is not None:
                self.answer(data)

        scene.timeline.after(round(1000 * wait_s), lambda: machine.run(due))


class SteppedOutboxFile(outbox_file.OutboxFile):
    """Commits what waits a moment after it was submitted, in the process's only thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._waiting: list[Any] = []
        self._machine = _acting()
        self._is_made = self._is_committing = False
        super().__init__(*args, **kwargs)

    def _lock(self) -> Any:
        return io.BytesIO()

    def submit(self, work: Any, *done: Any) -> Any:
        request = outbox_file._Request(work)
        for callback in done:
            request.future.add_done_callback(_noted(callback))
        self._waiting.append(request)
        if not self._is_made:  # the intake reads the states of nodes before anything else happens
            self.commit_waiting()
        elif len(self._waiting) == 1 and not self._is_committing:
            machine, process = self._machine, getattr(self._machine, "process", None)
            wait_ms = scene.chance.randint(1, 60)

            def due() -> None:
                if getattr(machine, "process", None) is process:
                    self.commit_waiting()

            scene.timeline.after(wait_ms, lambda: machine.run(due))
        return request.future

    def is_ready(self) -> None:
        """From now on commits take their time."""
        self._is_made = True

    def commit_waiting(self) -> None:
        self._is_committing = True
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                self._commit(batch)
        finally:
            self._is_committing = False
        if scene.time.monotonic() - self._measured_s > MEASURE_S:
            self._measure()


def _noted(callback: Callable[[Any], None]) -> Callable[[Any], None]:
    """A callback of a future, whose errors are noted: the future would log them, and go on."""

    def call(future: Any) -> None:
        try:
            callback(future)
        except Exception as error:
            scene.errors.append(f"{type(error).__name__}: {error}")
            raise

    return call


def _open(path: Path, *_: object, **__: object) -> tuple[sqlite3.Connection, None]:
    return _acting().disk.open(path), None


def _open_pool(settings: DatabaseSettings, *, create: bool) -> ConnectionPool:
    machine: Any = _acting()
    return ConnectionPool(settings, machine.database.engine)


def _migrate(settings: DatabaseSettings) -> None:
    machine: Any = _acting()
    machine.database.migrate()


def _connect(*args: Any, **kwargs: Any) -> Connection:
    return _acting().connect(*args, **kwargs)


def _reach(name: str) -> None:
    scene.reach(name)
    if scene.acting is not None:
        scene.acting.reach(name)


class Once:
    """An event of a loop that shall go round once whenever it is called."""

    def __init__(self) -> None:
        self._is_over = True

    def is_set(self) -> bool:
        self._is_over = not self._is_over
        return self._is_over

    def set(self) -> None:
        pass

    def wait(self, timeout: float | None = None) -> bool:
        return False


MEASURE_S = 3600.0  # at least, between two measurements of an outbox file; in truth it is a second
LOOK_S = 2400.0  # instead of 600: samples are rarer too, and looks are most of an audited history's time
STRETCH = 3  # of hourly reports and questions, for the same reason

TIMED = (
    intake, outbox_file, outbox_transaction, outbox_recovery, kept_file, publisher, repair_work, node_metrics,
    former_names, letters, letters_file, ingest_worker, database_watch, failure_log, inbox, audit_worker,
)  # fmt: skip


@contextlib.contextmanager
def set_up() -> Iterator[None]:
    """Replace what histories imitate, in this process, as long as the block runs."""
    time, chance = _Time(), _Random()
    with contextlib.ExitStack() as stack:
        put = partial(_put, stack)
        for module in TIMED:
            put(module, "time", time)
        put(publisher, "random", chance)
        put(intake, "secrets", chance)
        put(outbox_rows, "secrets", chance)
        for module in (outbox_file, publisher, gateway, ingest_worker, database_watch, audit_worker):
            put(module, "PartThread", Idle)
        for module in (publisher, former_names, subscription, audit_worker):
            put(module, "Client", _connect)
        put(outbox_file, "DiskReserve", Reserve)
        put(kept_file, "PRUNE_STEP", 3)  # instead of 500: a history has a hundred readings
        put(gateway, "OutboxFile", SteppedOutboxFile)
        put(receiver, "SerialPort", Port)
        put(sqlite_recovery, "open_or_recover", _open)
        put(db, "open_pool", _open_pool)
        put(tables, "migrate", _migrate)
        put(failpoints, "reach", _reach)
        put(inbox, "LINGER_S", 0)
        put(audit_worker, "IDLE_S", 0)
        put(audit_worker, "REQUESTS_S", LOOK_S)
        put(audit, "LOOK_S", LOOK_S)
        put(repair, "REPORT_EVERY_MS", STRETCH * repair.REPORT_EVERY_MS)
        put(asked_gateway, "SILENT_S", STRETCH * asked_gateway.SILENT_S)
        put(asked_gateway, "ROUND_TRIP_S", STRETCH * asked_gateway.ROUND_TRIP_S)
        for metric, acts in (
            (Counter, ("inc",)),
            (Gauge, ("set", "inc", "set_to_current_time")),
            (Histogram, ("observe",)),
        ):
            put(metric, "labels", lambda self, *_, **__: self)  # nothing is decided by a metric
            for act in acts:
                put(metric, act, lambda *_, **__: None)
        put(metrics, "value", lambda *_: 0.0)
        yield


def _put(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.enter_context(mock.patch.object(owner, name, value))
