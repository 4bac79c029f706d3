"""What is done to a running stack: each scenario breaks something under load and leaves the healing to the stack.

`SCENARIOS` is the catalogue, in order of importance; `CONTROLS` are the same faults against stations that are wrong on
purpose, and there something must be lost or doubled.
"""

import contextlib
import functools
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pymysql

from faults import spoofing
from faults.outsider import outsider, reading
from faults.proxy import Proxy
from faults.recorder import Content, Key
from faults.stack import SCHEMA, USER, Stack
from faults.stations import Station
from servers import AS_ROOT, until

BURST = 300  # readings sent flat out in a usual trial: half a second of the gateway's work
MANY = 6_000  # more than 1 MB holds
WAIT_S = 60.0


class Skipped(Exception):  # noqa: N818 - not an error
    """This machine cannot do that; the text says why."""


class Violation(AssertionError):  # noqa: N818 - it names itself
    """The system did something that it promises not to do, besides losing and doubling."""


@dataclass(frozen=True)
class Scale:
    """How long faults last, in real seconds, how many readings a backlog has and how many frames are forged."""

    freeze_s: float
    hole_s: float
    hold_s: float
    backlog: int
    forgeries: int


SHORT = Scale(freeze_s=2.0, hole_s=2.0, hold_s=1.5, backlog=5_000, forgeries=3_000)
LONG = Scale(freeze_s=60.0, hole_s=25.0, hold_s=10.0, backlog=50_000, forgeries=1_000_000)


@dataclass
class Scene:
    """One trial: the stack, its chances, its scale; `detail` is what the scenario wants to be read later."""

    stack: Stack
    rng: random.Random
    scale: Scale
    detail: str = ""
    lost: int = 0  # readings that the gateway itself reports as lost, from a file that was damaged on purpose

    def mid_burst(self) -> None:
        """Wait for a random moment at which readings are on their way."""
        already = self.stack.recorder.accepted
        wanted = self.rng.randrange(BURST // 2)
        deadline_s = time.monotonic() + 2
        while self.stack.recorder.accepted - already < wanted and time.monotonic() < deadline_s:
            time.sleep(0.001)
        self.pause(0.02)

    def pause(self, longest_s: float) -> None:
        """Wait a random time."""
        time.sleep(self.rng.uniform(0, longest_s))

    @staticmethod
    def hold(seconds: float) -> None:
        """Let the fault last."""
        time.sleep(seconds)

    def drain(self) -> None:
        """Send no more, and wait until everything that was accepted has arrived."""
        self.stack.quiet()
        until(lambda: self.stack.is_idle, WAIT_S, "every frame is answered")
        until(lambda: not self.stack.audit.unfinished(), WAIT_S, "the stack is drained")


Inject = Callable[[Scene], None]


@dataclass(frozen=True)
class Scenario:
    """A fault.

    Attributes:
        when: What happens, to follow "nothing is lost or doubled when".
        inject: Makes it happen.
        burst: Readings sent flat out while it happens; a trickle follows.
        is_mixed: Some of them are published at QoS 0, and come again only on the gateway's deadline.
        noise_share: Share of the frames that come with noise.
        has_old_node: A node with the old firmware talks as well.
    """

    when: str
    inject: Inject
    burst: int = BURST
    is_mixed: bool = True
    noise_share: float = 0.0
    has_old_node: bool = True


# --- kills ------------------------------------------------------------------------------------------------------------


def _kill(scene: Scene, station: Station) -> None:
    scene.mid_burst()
    station.kill()
    while scene.rng.random() < 0.3:  # and again while it starts
        station.start()
        scene.pause(0.6)
        station.kill()
    scene.pause(0.3)


def gateway_kill(scene: Scene) -> None:
    _kill(scene, scene.stack.gateway)


def broker_kill(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.broker.kill()
    scene.pause(0.5)


def server_kill(scene: Scene) -> None:
    _kill(scene, scene.stack.server)


def database_kill(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.database.kill()
    scene.pause(scene.rng.choice((0.5, 6.0)))  # before and after the server parks what it holds


def gateway_stop(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.gateway.stop()


def server_stop(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.server.stop()


def broker_kill_while_held(scene: Scene) -> None:
    """The broker dies while the server holds messages; its next session numbers others alike, then the server dies.

    Nothing else protects the second lot: its sender trusted the PUBACK and published it once.
    """
    stack = scene.stack
    scene.drain()  # so that nobody else waits for anything
    node = f"held{scene.rng.randrange(1 << 40)}"
    lots = [[Key(node, epoch, counter) for counter in range(1, 501)] for epoch in (1, 2)]
    payloads = [[reading(stack.recorder, key, Content(key.counter, 10 * key.epoch)) for key in lot] for lot in lots]
    _begin_session(stack)
    with _inserts_held(stack):
        with outsider(stack.broker.port) as other:
            other.publish(payloads[0])
        scene.hold(0.5)  # they are in the server, which waits for the lock
        _begin_session(stack)
        with outsider(stack.broker.port) as other:
            taken = other.publish(payloads[1])
        for key, is_taken in zip(lots[1], taken, strict=True):
            if is_taken:
                stack.recorder.note_accepted(key)
        scene.hold(0.3)
        stack.database_link.delay(0.15)  # so that nothing is stored between our look and our lock
    until(lambda: stack.audit.has(lots[0][-1]), WAIT_S, "the first lot is stored")
    with _inserts_held(stack):
        scene.hold(0.7)  # it is acknowledged, and the second lot waits
        stack.server.kill()
    scene.detail = f"{sum(taken)} readings behind {len(lots[0])} held"


def _begin_session(stack: Stack) -> None:
    """The broker forgets the server's session, and numbers messages from 1 again."""
    losses = stack.server.count("aoii_broker_reconnects_total")
    stack.broker.restart()
    until(
        lambda: stack.server.count("aoii_broker_reconnects_total") > losses and _is_ready(stack.server),
        WAIT_S,
        "the server is connected again",
    )


@contextlib.contextmanager
def _inserts_held(stack: Stack) -> Iterator[None]:
    """Nobody can insert a row: the gap behind the last one is locked."""
    with contextlib.closing(stack.database.session()) as session, session.cursor() as cursor:
        cursor.execute("SELECT id FROM readings WHERE id > (SELECT MAX(id) - 1 FROM readings) FOR UPDATE")
        yield


def _is_ready(station: Station) -> bool:
    return station.gauge("aoii_broker_up") == 1


# --- freezes ----------------------------------------------------------------------------------------------------------


def freeze_database(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.database.freeze()
    scene.hold(scene.scale.freeze_s)


def freeze_broker(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.broker.freeze()
    scene.hold(scene.scale.freeze_s)


def freeze_server(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.server.freeze()
    scene.hold(scene.scale.freeze_s)


def freeze_gateway(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.gateway.freeze()
    scene.hold(scene.scale.freeze_s)


# --- links ------------------------------------------------------------------------------------------------------------


def commit_reply_lost(scene: Scene) -> None:
    link = scene.stack.database_link
    wanted = link.commits_lost + scene.rng.randint(1, 4)
    link.lose_commits(wanted - link.commits_lost)
    until(lambda: link.commits_lost == wanted, WAIT_S, "answers to COMMIT are lost")
    scene.detail = f"{wanted} in all"


def _broker_links(scene: Scene) -> list[Proxy]:
    both = [scene.stack.gateway_link, scene.stack.server_link]
    return scene.rng.choice([both[:1], both[1:], both])


def broker_cut(scene: Scene) -> None:
    links = _broker_links(scene)
    for _ in range(scene.rng.randint(1, 3)):
        scene.mid_burst()
        for link in links:
            link.cut()
        scene.pause(scene.scale.hold_s)
        for link in links:
            link.heal()


def broker_half_open(scene: Scene) -> None:
    scene.mid_burst()
    for link in _broker_links(scene):
        link.swallow()
    scene.hold(scene.scale.hole_s)


def database_half_open(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.database_link.swallow()
    scene.hold(scene.scale.hole_s)


def database_cut(scene: Scene) -> None:
    link = scene.stack.database_link
    for _ in range(scene.rng.randint(1, 3)):
        scene.mid_burst()
        link.cut()
        scene.pause(scene.scale.hold_s)
        link.heal()


def replies_lost(scene: Scene) -> None:
    """What a station says gets through and is acted upon; it never hears of it."""
    stack = scene.stack
    link, name = scene.rng.choice(
        [
            (stack.gateway_link, "broker to gateway"),
            (stack.server_link, "broker to server"),
            (stack.database_link, "database to server"),
        ]
    )
    scene.mid_burst()
    link.deafen()
    scene.detail = name
    scene.hold(scene.scale.hole_s)


def slow_database(scene: Scene) -> None:
    scene.stack.database_link.delay(scene.rng.uniform(0.1, 0.4))
    scene.hold(scene.scale.hold_s)


def slow_consumer(scene: Scene) -> None:
    scene.stack.server_link.delay(scene.rng.uniform(0.1, 0.4))
    scene.hold(scene.scale.hold_s)


# --- what is sent -----------------------------------------------------------------------------------------------------


def bad_frames(scene: Scene) -> None:
    """Damaged, forged, replayed, doubled and reordered frames; `noise_share` makes them."""
    until(lambda: scene.stack.radio.unsent == 0, WAIT_S, "the burst is sent")


def spoofing_tries(scene: Scene) -> None:
    """Frames and acknowledgements that nobody with a key made, beside a stack that goes on with its work."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            scene.detail = str(spoofing.attack(Path(folder), scene.scale.forgeries, scene.rng))
        except spoofing.Breach as breach:
            raise Violation(str(breach)) from breach


def poison(scene: Scene) -> None:
    """One payload in a hundred is no message, or says something else under an identity that is known."""
    stack, rng = scene.stack, scene.rng
    before = stack.audit.malformed()
    with outsider(stack.broker.port) as other:
        published = 0
        while stack.radio.unsent:
            lie = Key(f"liar{rng.randrange(1 << 40)}", 1, 1)
            bad = [
                rng.randbytes(rng.randrange(1, 200)),
                b"x" * 100_000,
                b"{" * 2000,
                b'{"event": "RX", "actual_t": "warm"}',
                reading(stack.recorder, lie, Content(1, 1)).replace(b'"actual_t":0.01', b'"actual_t":NaN'),
            ]
            rng.shuffle(bad)
            other.publish(bad[:1])
            published += 1
            if rng.random() < 0.2:
                other.publish([reading(stack.recorder, lie, Content(c, c)) for c in (1, 2)])
                stack.recorder.note_accepted(lie)
            time.sleep(0.15)
    scene.drain()
    found = stack.audit.malformed()
    if found < min(before + published, 1000):  # the ring's size
        raise Violation(f"{published} bad payloads were published, {found - before} are in the dead letters")
    scene.detail = f"{published} bad payloads"


# --- places that fill up ----------------------------------------------------------------------------------------------


def _other_gateway(scene: Scene, folder: Path, **settings: str) -> None:
    """Have the gateway run with an outbox of its own in `folder`, and accept something."""
    scene.drain()  # what lies in the usual outbox would stay there
    scene.stack.gateway.stop()
    scene.stack.audit.outboxes.append(folder / "outbox.db")
    scene.stack.gateway.start(AOII_DATA_DIR=str(folder), **settings)
    before = scene.stack.recorder.accepted
    scene.stack.radio.load(MANY, is_mixed=False)
    until(lambda: scene.stack.recorder.accepted > before, WAIT_S, "the gateway answers")


def _accepting_has_ended(scene: Scene) -> bool:
    before = scene.stack.recorder.accepted
    time.sleep(1.0)
    return scene.stack.recorder.accepted == before


def outbox_full(scene: Scene) -> None:
    """Nobody takes anything from an outbox of 1 MB: the radio gets no answers, and nothing is dropped."""
    stack = scene.stack
    _other_gateway(scene, stack.folder / f"small-{scene.rng.randrange(1 << 40)}", OUTBOX_MAX_MB="1")
    stack.server.kill()
    # Not only that nothing is accepted for a while: a busy machine may stall for longer than that.
    is_rejecting = functools.partial(stack.gateway.count, "aoii_outbox_rejected_readings_total")
    until(lambda: is_rejecting() and _accepting_has_ended(scene), WAIT_S, "the outbox is full")
    if not stack.radio.unsent:
        raise Violation("the gateway went on accepting")
    full = stack.recorder.accepted
    stack.server.start()
    until(lambda: stack.recorder.accepted > full + 100, WAIT_S, "the gateway accepts again")
    scene.drain()


def disk_full(scene: Scene) -> None:
    """The disk under the outbox is full, then somebody makes room."""
    stack = scene.stack
    if not AS_ROOT:
        raise Skipped("mounting a small disk needs root")
    folder = stack.folder / f"disk-{scene.rng.randrange(1 << 40)}"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], check=False, capture_output=True, text=True
    )
    if mount.returncode:
        raise Skipped(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    try:
        _other_gateway(scene, folder)
        if scene.rng.random() < 0.5:
            stack.server.kill()
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        until(lambda: _accepting_has_ended(scene), WAIT_S, "the gateway notices that the disk is full")
        if not stack.radio.unsent:
            raise Violation("the gateway went on accepting")
        full = stack.recorder.accepted
        filler.unlink()
        stack.server.heal()
        until(lambda: stack.recorder.accepted > full + 100, WAIT_S, "the gateway accepts again")
        scene.drain()
        stack.gateway.stop()
    finally:
        stack.gateway.kill()
        stack.audit.outboxes.remove(folder / "outbox.db")
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def dead_letters_full(scene: Scene) -> None:
    """The database is away and the server's dead letters of 1 MB are full: it acknowledges nothing more."""
    stack = scene.stack
    before = stack.server.said("dead letters unavailable")
    stack.server.stop()
    stack.server.start(DEAD_LETTER_MAX_MB="1")
    stack.database.kill()
    until(lambda: stack.radio.unsent == 0, WAIT_S, "the burst is accepted")
    until(lambda: stack.server.said("dead letters unavailable") > before, WAIT_S, "the dead letters are full")
    stack.database.heal()
    scene.drain()


def backlog(scene: Scene) -> None:
    """Readings are accepted while the server is away, then drained."""
    stack = scene.stack
    stack.server.kill()
    before = stack.recorder.accepted
    stack.gateway.stop()
    stack.gateway.start(OUTBOX_MAX_MB="4096")
    began_s = time.monotonic()
    stack.radio.load(scene.scale.backlog, is_mixed=False)
    until(lambda: stack.radio.unsent == 0, 60 + scene.scale.backlog / 100, "the backlog is accepted")
    stack.quiet()
    until(lambda: stack.is_idle, WAIT_S, "every frame is answered")
    accept_s = time.monotonic() - began_s
    stack.server.start()
    began_s = time.monotonic()
    limit_s = max(120.0, scene.scale.backlog / 200)
    until(lambda: not stack.audit.unfinished(), limit_s, "the backlog is drained")
    drain_s = time.monotonic() - began_s
    count = stack.recorder.accepted - before
    scene.detail = (
        f"{count} accepted in {accept_s:.1f} s ({count / accept_s:.0f}/s), "
        f"drained in {drain_s:.1f} s ({count / drain_s:.0f}/s)"
    )


# --- broker and database say no ---------------------------------------------------------------------------------------


def acl_revoked(scene: Scene) -> None:
    """Publishing is forbidden, to the gateway, to the server or to both."""
    scene.mid_burst()
    readings, acks = "topic readwrite aoii/readings\n", "topic readwrite aoii/ack/#\n"
    scene.stack.broker.allow(scene.rng.choice(("topic read #\n", f"topic read aoii/readings\n{acks}", readings)))
    scene.hold(scene.scale.hold_s)


def qos_downgraded(scene: Scene) -> None:
    """The broker comes back and grants QoS 0 only: nobody works with it until it grants QoS 1 again."""
    scene.mid_burst()
    scene.stack.broker.restart("max_qos 0")
    scene.hold(scene.scale.hold_s)
    if any(_is_ready(station) for station in scene.stack.stations):
        raise Violation("a station is content with QoS 0")


def database_locked(scene: Scene) -> None:
    """Somebody holds a lock for longer than the engine waits (error 1205), then lets go."""
    database = scene.stack.database
    before = database.lock_timeouts()
    with _inserts_held(scene.stack):
        until(lambda: database.lock_timeouts() > before, WAIT_S, "the engine gives up waiting")
        scene.pause(scene.scale.hold_s)


def _refusing(error: int, text: str, share: float) -> Inject:
    """The engine answers inserts with an error of this number, raised by a trigger, in this share of the rows."""

    def inject(scene: Scene) -> None:
        database = scene.stack.database
        before = database.status("Com_signal")
        database.break_by(
            "CREATE TRIGGER refuse BEFORE INSERT ON readings FOR EACH ROW "
            f"IF RAND() < {share} THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {error}, MESSAGE_TEXT = '{text}'; "
            "END IF",
            undo="DROP TRIGGER IF EXISTS refuse",
        )
        scene.hold(scene.scale.hold_s)
        until(lambda: database.status("Com_signal") > before, WAIT_S, "the engine refuses")

    return inject


def database_read_only(scene: Scene) -> None:
    scene.mid_burst()
    scene.stack.database.break_by("SET GLOBAL read_only = 1", undo="SET GLOBAL read_only = 0")
    scene.hold(scene.scale.hold_s)


def database_connections(scene: Scene) -> None:
    """All connections are taken by others (error 1040)."""
    database = scene.stack.database
    scene.mid_burst()
    database.execute("CREATE USER IF NOT EXISTS crowd@'%'")
    refusals = scene.stack.server.said("Too many connections")
    admin = database.session()
    database.sessions.callback(admin.close)  # not before the others: the server would have its place
    with admin.cursor() as cursor:
        database.break_by("SET GLOBAL max_connections = 10", undo="SET GLOBAL max_connections = 151")
        deadline_s = time.monotonic() + WAIT_S
        is_crowded = False
        while not is_crowded or scene.stack.server.said("Too many connections") == refusals:
            with contextlib.suppress(pymysql.err.OperationalError):
                while True:  # as soon as there is room, it is taken
                    database.sessions.callback(database.session("crowd").close)
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (USER,))
            numbers = cursor.fetchall()
            for number in numbers:
                with contextlib.suppress(pymysql.err.OperationalError):  # it has gone by itself
                    cursor.execute("KILL %s", number)
            is_crowded = not numbers
            assert time.monotonic() < deadline_s, "the engine never refused the server"
    scene.hold(scene.scale.hold_s)


# --- clocks -----------------------------------------------------------------------------------------------------------


REPEATED_HOUR_S = 1_761_440_398.0  # two seconds before summer time ended in Berlin in 2025


def clock_steps(scene: Scene) -> None:
    """The gateway starts with a wall clock that is wrong, and one that goes through the repeated hour."""
    gateway = scene.stack.gateway
    now_s = time.time()
    for start_s in scene.rng.sample((0.0, now_s + 3600, now_s - 3600, now_s + 30 * 86400, REPEATED_HOUR_S), 2):
        gateway.kill()
        gateway.start(
            CLOCK_START_UNIX_S=f"{start_s:.3f}",
            CLOCK_ORIGIN_S=f"{time.monotonic():.3f}",
            TZ="Europe/Berlin",
        )
        before = scene.stack.recorder.accepted
        until(functools.partial(_has_accepted_more, scene, before), WAIT_S, "the gateway accepts")
        scene.pause(scene.scale.hold_s)


def clock_steps_running(scene: Scene) -> None:
    """The wall clock of the running gateway goes an hour on and back, to 1970 and through the repeated hour."""
    stack = scene.stack
    steps = stack.folder / "clock_steps"
    steps.write_text("0")
    stack.gateway.stop()
    stack.gateway.start("stepping_clock", CLOCK_STEPS=str(steps), TZ="Europe/Berlin")
    doubted = _doubted(stack)
    now_s = time.time()
    offsets_s = [3600.0, 0.0, -3600.0, -now_s, REPEATED_HOUR_S - now_s, 0.0]
    scene.rng.shuffle(offsets_s)
    for offset_s in offsets_s:
        fresh = steps.with_suffix(".new")
        fresh.write_text(str(round(1000 * offset_s)))
        fresh.replace(steps)
        stack.radio.load(BURST // 4)
        enough = stack.recorder.accepted + 40  # every node had one on its way, by the clock of before
        until(functools.partial(_has_accepted_more, scene, enough), WAIT_S, "the gateway accepts")
        scene.pause(min(scene.scale.hold_s, 3.0))
    scene.drain()
    if _doubted(stack) == doubted:
        raise Violation("a clock in 1970 was trusted")
    scene.detail = f"{_doubted(stack) - doubted} readings say that the clock was not trusted"


def _doubted(stack: Stack) -> int:
    """Rows whose gateway did not trust its clock."""
    ((count,),) = stack.database.execute("SELECT COUNT(*) FROM readings WHERE clock_synced = 0", database=SCHEMA)
    return int(str(count))


def _has_accepted_more(scene: Scene, before: int) -> bool:
    return scene.stack.recorder.accepted > before


# --- damage -----------------------------------------------------------------------------------------------------------


def _tear(scene: Scene, file: BinaryIO, size: int) -> None:
    file.truncate(size - scene.rng.randrange(1, size // 3))


def _flip_bits(scene: Scene, file: BinaryIO, size: int) -> None:
    for _ in range(scene.rng.randint(1, 8)):
        file.seek(scene.rng.randrange(100, size))
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1 << scene.rng.randrange(8)]))


def _damage_outbox(harm: Callable[[Scene, BinaryIO, int], None], scene: Scene) -> None:
    """Something happens to the outbox file while the gateway is down."""
    stack = scene.stack
    stack.server.kill()
    scene.mid_burst()
    stack.quiet()
    until(lambda: stack.is_idle, WAIT_S, "every frame is answered")
    lost = stack.gateway.count("aoii_outbox_damaged_total", outcome="lost")
    starts, guesses = stack.gateway.said("gateway started"), stack.gateway.said("is_lost_exact=False")
    stack.gateway.stop()  # the whole content is in the file itself then
    with stack.outbox.open("r+b") as file:
        harm(scene, file, stack.outbox.stat().st_size)
    stack.gateway.start()
    until(lambda: stack.gateway.said("gateway started") > starts, WAIT_S, "the gateway has looked at its file")
    scene.lost = round(stack.gateway.count("aoii_outbox_damaged_total", outcome="lost") - lost)
    if stack.gateway.said("is_lost_exact=False") > guesses:
        scene.lost = MANY  # it says that it does not know how many


# --- combinations -----------------------------------------------------------------------------------------------------

_BY_PART: tuple[tuple[Inject, ...], ...] = (
    (gateway_kill, freeze_gateway),
    (broker_kill, freeze_broker, acl_revoked),
    (server_kill, freeze_server),
    (database_kill, freeze_database, database_read_only),
    (broker_cut, broker_half_open, database_cut, database_half_open, replies_lost, slow_consumer, slow_database),
)


def pair(scene: Scene) -> None:
    """Two faults of different parts, the second while the first lasts."""
    scale = scene.scale
    scene.scale = Scale(min(scale.freeze_s, 5.0), min(scale.hole_s, 5.0), min(scale.hold_s, 3.0), 0, 0)
    faults = [scene.rng.choice(part) for part in scene.rng.sample(_BY_PART, 2)]
    scene.detail = " and ".join(fault.__name__ for fault in faults)
    for fault in faults:
        fault(scene)


# --- exact instants ---------------------------------------------------------------------------------------------------

# Where a station can be told to die (aoii.runtime.failpoints), in the order of the data path; with the station and the
# highest pass at which it dies: batches are rarer than readings.
FAILPOINTS = {
    "outbox_commit": ("gateway", 20),
    "kept_commit": ("gateway", 5),
    "radio_ack": ("gateway", 100),
    "publish": ("gateway", 100),
    "puback": ("gateway", 100),
    "database_commit": ("server", 5),
    "message_ack": ("server", 100),
    "commit_ack": ("server", 5),
    "delete": ("gateway", 5),
}


PLACES = tuple(f"{moment}_{place}" for place in FAILPOINTS for moment in ("before", "after"))


def _at(place: str) -> Inject:
    """The station dies when it reaches the place for the n-th time."""
    name, passes = FAILPOINTS[place.partition("_")[2]]

    def inject(scene: Scene) -> None:
        station = next(station for station in scene.stack.stations if station.name == name)
        passed = scene.rng.randint(1, passes)
        scene.detail = f"on pass {passed}"
        station.kill()
        station.start(AOII_FAILPOINT=f"{place}:{passed}")
        station.reap()
        scene.pause(0.3)

    return inject


def everywhere(scene: Scene) -> None:
    """The stations die at every place in turn, with no time to drain in between."""
    for place in scene.rng.sample(PLACES, len(PLACES)):
        _at(place)(scene)
        for station in scene.stack.stations:
            station.heal()
        scene.stack.radio.load(BURST)


SCENARIOS = {
    "gateway_kill": Scenario("the gateway is killed", gateway_kill),
    "broker_kill": Scenario("the broker is killed and forgets everything", broker_kill),
    "server_kill": Scenario("the server is killed in a batch", server_kill),
    "database_kill": Scenario("the database is killed", database_kill),
    **{f"kill_{place}": Scenario(f"a station dies {place.replace('_', ' ')}", _at(place)) for place in PLACES},
    "broker_kill_while_held": Scenario(
        "the broker is killed while the server holds messages", broker_kill_while_held, burst=0
    ),
    "freeze_database": Scenario("the database freezes", freeze_database),
    "freeze_broker": Scenario("the broker freezes", freeze_broker),
    "freeze_server": Scenario("the server freezes", freeze_server),
    "freeze_gateway": Scenario("the gateway freezes", freeze_gateway),
    "commit_reply_lost": Scenario("the database commits and its answer is lost", commit_reply_lost),
    "broker_cut": Scenario("connections to the broker are cut", broker_cut),
    "broker_half_open": Scenario("connections to the broker carry nothing", broker_half_open),
    "database_half_open": Scenario("the connection to the database carries nothing", database_half_open),
    "database_cut": Scenario("connections to the database are cut", database_cut),
    "replies_lost": Scenario("a station is heard and hears nothing", replies_lost),
    "slow_consumer": Scenario("the server hears the broker late", slow_consumer),
    "slow_database": Scenario("the database is slow", slow_database),
    "bad_frames": Scenario(
        "frames are damaged, forged, replayed, doubled and reordered", bad_frames, burst=1000, noise_share=0.5
    ),
    "spoofing": Scenario("somebody without a key sends frames and acknowledgements", spoofing_tries),
    "poison": Scenario("somebody publishes what is no message", poison, burst=1000),
    "outbox_full": Scenario("the outbox is full", outbox_full, burst=0),
    "disk_full": Scenario("the disk under the outbox is full", disk_full, burst=0),
    "dead_letters_full": Scenario(
        "the dead letters are full and the database is away", dead_letters_full, burst=MANY // 2, is_mixed=False
    ),
    "backlog": Scenario("a backlog waits for the server", backlog, burst=0),
    "acl_revoked": Scenario("the broker forbids publishing", acl_revoked),
    "qos_downgraded": Scenario("the broker grants QoS 0 only", qos_downgraded),
    "database_locked": Scenario("a lock outlasts the database's patience (1205)", database_locked),
    "database_lock_errors": Scenario(
        "inserts end with error 1205", _refusing(1205, "Lock wait timeout exceeded", 0.05)
    ),
    "database_deadlocks": Scenario("inserts end in deadlocks (1213)", _refusing(1213, "Deadlock found", 0.05)),
    "database_connections": Scenario("others take all connections of the database (1040)", database_connections),
    "database_read_only": Scenario("the database becomes read-only (1290)", database_read_only),
    "database_table_full": Scenario("the table is full (1114)", _refusing(1114, "The table is full", 1)),
    "clock_steps": Scenario("the gateway's clock steps", clock_steps),
    "clock_steps_running": Scenario("the gateway's clock steps while it runs", clock_steps_running),
    "outbox_damaged": Scenario(
        "bits of the outbox file flip",
        functools.partial(_damage_outbox, _flip_bits),
        has_old_node=False,  # a damaged line could be anybody's
    ),
    "outbox_torn": Scenario(
        "the end of the outbox file is torn off", functools.partial(_damage_outbox, _tear), has_old_node=False
    ),
    "gateway_stop": Scenario("the gateway is asked to stop", gateway_stop),
    "server_stop": Scenario("the server is asked to stop", server_stop),
    "pair": Scenario("two parts fail together", pair),
}
EVERYWHERE = Scenario("stations die at every named place in turn", everywhere)


# --- negative controls ------------------------------------------------------------------------------------------------


def _wrong_server(scene: Scene, variant: str) -> None:
    scene.stack.server.stop()
    scene.stack.server.start(variant)
    until(lambda: _is_ready(scene.stack.server), WAIT_S, "the wrong server is connected")


def without_unique_key(scene: Scene) -> None:
    """Answers to COMMIT are lost, and nothing tells the second insert from the first."""
    scene.stack.database.spoil(
        "DROP INDEX readings_identity ON readings",
        mend="ALTER IGNORE TABLE readings ADD UNIQUE INDEX readings_identity (node, epoch, counter)",
    )
    _wrong_server(scene, "without_unique_key")
    scene.stack.radio.load(BURST)
    commit_reply_lost(scene)


def without_commit_ack(scene: Scene) -> None:
    """The broker forgets what it took for a server that is away, and the gateway has forgotten it before.

    It keeps nothing either: else the audit brings back within seconds what a trusted PUBACK has lost.
    """
    stack = scene.stack
    stack.gateway.stop()
    stack.gateway.start("without_commit_ack", KEEP_MB="0")
    stack.server.kill()
    stack.radio.load(BURST)
    until(lambda: stack.radio.unsent == 0, WAIT_S, "the burst is accepted")

    def has_let_go() -> bool:
        waiting = stack.gateway.gauge("aoii_outbox_events")
        return waiting is not None and waiting < BURST / 2  # the trickle goes on

    until(has_let_go, WAIT_S, "it lets go of most of it")
    stack.broker.restart()


def without_generation_guard(scene: Scene) -> None:
    """What a message of the last session was called is acknowledged in the next, where it is another message."""
    _wrong_server(scene, "without_generation_guard")
    broker_kill_while_held(scene)


CONTROLS = {
    "without_unique_key": Scenario("there is no unique key", without_unique_key, burst=0),
    "without_commit_ack": Scenario("the gateway trusts a PUBACK", without_commit_ack, burst=0),
    "without_generation_guard": Scenario(
        "the server acknowledges across connections", without_generation_guard, burst=0
    ),
}
