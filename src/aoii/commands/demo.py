"""`aoii demo`: the whole system on this machine, and an account of it that no station gave.

Each station is a real process that knows only its settings. The demo starts them on free loopback ports in a folder of
its own, watches them, stops them in the order of the data path, and then counts: what the simulated radio heard the
gateway acknowledge against what lies in the database. It never asks a station how it did.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from aoii.broker import embedded
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime.shutdown import PARENT_VARIABLE
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.server.db import open_database
from aoii.server.dead_letters.store import DeadLetters
from aoii.settings import Settings, load
from aoii.settings.channel import ChannelModel
from aoii.simulation import packet_traces, recordings

START_ALLOWANCE_S = 3.0  # real seconds for the stations to come up before the first sample
START_LIMIT_S = 30.0  # real; it takes 1 s on an idle machine
DRAIN_S = 30.0  # real seconds for the last readings to reach the database
STOP_S = 12.0  # a station stops within 10 s by contract
POLL_S = 0.25
EPOCH_LIMIT = 1 << 16  # an own node's epoch has 16 bits; old nodes have longer ones
MARKER = ".aoii-demo"  # only a folder with this file in it is ever emptied
LOG_TAIL_LINES = 15

LOSSES_SHOWN = {
    "trace": "where the trace lost one",
    "burst": "in outages",
    "chance": "by chance",
    "collision": "in collisions",
}
EXTRAS_SHOWN = {"duplicated": "heard twice", "reordered": "overtaken by the next"}


@dataclass(frozen=True)
class Options:
    """What the user asked for; times in real seconds."""

    duration_s: float | None
    speed: float
    nodes: int
    channel: ChannelModel
    recording: Path | None
    seed: int
    headless: bool
    json_file: Path | None
    broker_absent_s: float
    unplug_s: float


@dataclass(frozen=True)
class Summary:
    """The figures of a run; `--json` writes these keys.

    Attributes:
        samples: Samples that the nodes took.
        events, heartbeats, retries: Packets sent: because the gateway was wrong, to say that all is well, and again
            (retransmissions and readings sent late).
        periodic: Packets that periodic sending would have sent.
        minutes_wrong: Sample instants at which the gateway was wrong after that sample's packet, in minutes.
        aoii_mean_s, aoii_p99_s: Age of Incorrect Information over all sample instants, s.
        accepted: Readings that the gateway acknowledged to the radio.
        stored: Rows of this run in the database.
        missing: Accepted, and neither in the database nor in the dead letters.
        duplicates: Rows beyond the first of one reading.
        dead_letters: Parked where a person can see them.
    """

    samples: int
    events: int
    heartbeats: int
    retries: int
    periodic: int
    minutes_wrong: float
    aoii_mean_s: float
    aoii_p99_s: float
    accepted: int
    stored: int
    missing: int
    duplicates: int
    dead_letters: int


class _Interrupt:
    """Counts Ctrl-C and SIGTERM instead of dying of them, so that everything is stopped in order."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "_Interrupt":
        self._before = {number: signal.signal(number, self._raise) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


def run(settings: Settings, options: Options, env_file: Path | None) -> int:
    """Run the demo to its end or to Ctrl-C.

    Returns:
        0 when something was accepted, nothing is missing and nothing twice, else 1.

    Raises:
        InputError: The recording cannot be used, or the page's port or the demo's folder is taken.
        UnavailableError: A station did not start, or died; the message has the end of its log.
    """
    series = recordings.parse(options.recording)[0]
    if options.channel.trace is not None:
        packet_traces.parse(options.channel.trace)  # a bad file is said now, not by a station that dies of it
    duration_s = options.duration_s or series.span_s / options.speed
    folder = settings.data_dir / "demo"
    console = Console()
    with _exclusive(folder), _Interrupt() as interrupt:
        _check_port(settings.web.host, settings.web.port)
        _check_writable(options.json_file)
        stage = _ProcessGroup(settings, options, folder, duration_s, series, env_file)
        try:
            stage.start()
            console.print(f"web page   http://{settings.web.host}:{settings.web.port}", highlight=False)
            console.print(f"files      {folder}", highlight=False)
            _watch(stage, interrupt, console)
            stage.drain(interrupt)
        finally:
            stage.stop()
        summary = stage.summary()
        _print_summary(console, summary, stage)
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    if summary.samples and not summary.accepted and options.channel.loss < 1:
        console.print(f"the gateway accepted nothing; its log is {folder / 'logs' / 'gateway.log'}", highlight=False)
        return 1
    return 0 if summary.missing == summary.duplicates == 0 else 1


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """An empty folder for this run alone; the leftovers of an earlier demo go, anything else is left alone."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another demo runs in {folder}; stop it, or set AOII_DATA_DIR to another folder"
            ) from error
        if folder.exists():
            if any(folder.iterdir()) and not (folder / MARKER).exists():
                raise InputError(f"{folder} holds files that no demo made; move them, or set AOII_DATA_DIR")
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / MARKER).touch()
        yield


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(f"port {port} of the web page is taken on {host}; set PORT to a free one") from error


def _check_writable(path: Path | None) -> None:
    try:
        if path is not None:
            path.open("a").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give --json another file") from error


def _radio_settings(channel: ChannelModel) -> dict[str, str]:
    """The settings that ask `aoii edge` for this radio, all of them: the user's `.env` may ask for another."""
    return {
        "EDGE_LOSS": str(channel.loss),
        "EDGE_ACK_LOSS": str(channel.ack_loss),
        "EDGE_LOSS_BURST": str(channel.burst or ""),
        "EDGE_TRACE_LOSS": str(channel.trace.resolve() if channel.trace else ""),
        "EDGE_DUPLICATE": str(channel.duplicate),
        "EDGE_REORDER": str(channel.reorder),
        "EDGE_DELAY_S": str(channel.delay_s),
        "EDGE_COLLISIONS": channel.collisions,
        "EDGE_NEIGHBOURS": str(channel.neighbours),
    }


def _free_ports(count: int) -> list[int]:
    """Loopback ports that are free now, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class _ProcessGroup:
    """The stations of one run as child processes, and the record that the simulated radio kept."""

    def __init__(
        self,
        settings: Settings,
        options: Options,
        folder: Path,
        duration_s: float,
        series: recordings.Series,
        env_file: Path | None,
    ) -> None:
        self.options = options
        self.folder = folder
        self.duration_s = duration_s
        self.interval_s = series.interval_s
        self._env_file = env_file
        self._own_broker = "MQTT_BROKER" not in settings.given
        self._broker: subprocess.Popen[bytes] | None = None
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._origin_s = time.monotonic() + START_ALLOWANCE_S
        self._record_file = folder / "run" / "radio_record.csv"
        self.notes: list[str] = []
        broker_port, self._gateway_port, server_port, csv_port, log_port, edge_port = _free_ports(6)
        self._broker_port = broker_port if self._own_broker else settings.mqtt.port
        self._environment = dict(os.environ) | {
            PARENT_VARIABLE: str(os.getpid()),
            "AOII_DATA_DIR": str(folder),
            "MQTT_BROKER": "127.0.0.1" if self._own_broker else settings.mqtt.host,
            "MQTT_PORT": str(self._broker_port),
            "MQTT_NAMESPACE": "" if self._own_broker else "demo",  # never mix with an installation on the same broker
            "SERIAL_PORT": str(folder / "run" / "receiver"),
            "EDGE_LOG_PORT": str(folder / "run" / "edge_log"),
            "NODE_KEYS_FILE": str(folder / "node_keys"),
            "CSV_FILE": str(folder / "experiment_log_online.csv"),
            "GATEWAY_ID": "demo",
            "SAMPLE_PERIOD_S": str(round(series.interval_s)),
            "GATEWAY_STATUS_PORT": str(self._gateway_port),
            "SERVER_STATUS_PORT": str(server_port),
            "CSV_STATUS_PORT": str(csv_port),
            "EDGE_LOG_STATUS_PORT": str(log_port),
            "EDGE_STATUS_PORT": str(edge_port),
            "EDGE_NODES": str(options.nodes),
            **_radio_settings(options.channel),
            "EDGE_SEED": str(options.seed),
            "EDGE_DURATION_S": str(duration_s),
            "EDGE_RECORD_FILE": str(self._record_file),
            "CLOCK_SPEED": str(options.speed),
            "CLOCK_START_UNIX_S": str(series.start_unix_s),
            "CLOCK_ORIGIN_S": str(self._origin_s),
        }
        if self._own_broker:  # which has no TLS; empty, and not removed: the children read .env as well
            self._environment |= dict.fromkeys(("MQTT_TLS_CA", "MQTT_TLS_CERT", "MQTT_TLS_KEY"), "")
        for name in ("EDGE_RECEIVER_LINK", "EDGE_LOG_LINK", "MIRROR_WEIGHTS"):
            self._environment.pop(name, None)
        if options.recording is not None:
            self._environment["EDGE_RECORDING"] = str(options.recording.resolve())
        self._settings = load(self._environment, env_file)
        self._report_file = self._settings.edge.report_file
        self._epoch = 0

    def start(self) -> None:
        """Bring everything up, the data path from its end to its beginning."""
        (self.folder / "run").mkdir()
        (self.folder / "logs").mkdir()
        self._provision()
        if self._own_broker and not self.options.broker_absent_s:
            self._start_broker()
        for station in ("server", "csv", "edgelog", "web", "gateway"):
            self._start_station(station)
        self._await_gateway()
        self._start_station("edge")

    def _await_gateway(self) -> None:
        """Wait until the gateway's process runs, or has died; a packet before that would find nobody.

        Raises:
            UnavailableError: It did not come up.
        """
        deadline_s = time.monotonic() + START_LIMIT_S
        while self._children["gateway"].poll() is None and time.monotonic() < deadline_s:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._gateway_port), timeout=1):
                return
            time.sleep(0.05)
        raise UnavailableError(f"the gateway did not start:\n{self._log_tail('gateway')}")

    def _provision(self) -> None:
        """Give every node a key, and an epoch above all that the database has seen of it."""
        with contextlib.closing(open_database(self._settings.database, migrate=True)) as database:
            self._epoch = 1 + max((epoch for _, epoch, _ in database.identities() if epoch < EPOCH_LIMIT), default=0)
        keys = {number: NodeKey(self._epoch, secrets.token_bytes(16)) for number in range(1, self.options.nodes + 1)}
        node_keys.write(self._settings.gateway.node_keys_file, keys)

    def _start_broker(self) -> None:
        with (self.folder / "logs" / "broker.log").open("wb") as output:
            self._broker = embedded.start(self._broker_port, self.folder / "run", output)

    def _start_station(self, name: str) -> None:
        command = [sys.executable, "-m", "aoii.cli"]
        command += ["--env-file", str(self._env_file)] if self._env_file else []
        with (self.folder / "logs" / f"{name}.log").open("wb") as output:
            self._children[name] = subprocess.Popen(
                [*command, name],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches only us
            )

    def step(self) -> bool:
        """Do what is due now; whether the nodes are still at work.

        Raises:
            UnavailableError: A station died.
        """
        running_s = time.monotonic() - self._origin_s
        if self._own_broker and self._broker is None and running_s >= self.options.broker_absent_s:
            self._start_broker()
            self.notes.append(f"the broker was absent for the first {self.options.broker_absent_s:g} s")
        self._unplug(running_s)
        for name, child in self._children.items():
            if child.poll() is not None:
                raise UnavailableError(
                    f"station {name} ended with exit code {child.returncode}:\n{self._log_tail(name)}"
                )
        return not self.report().get("is_over", False)

    def _unplug(self, running_s: float) -> None:
        """Tell the simulated receiver to vanish for `--unplug` seconds around the middle of the run."""
        begin_s = (self.duration_s - self.options.unplug_s) / 2
        for number, at_s, said in (
            (signal.SIGUSR1, begin_s, f"the receiver was unplugged for {self.options.unplug_s:g} s"),
            (signal.SIGUSR2, begin_s + self.options.unplug_s, "and plugged in again"),
        ):
            if self.options.unplug_s and running_s >= at_s and said not in self.notes:
                self._children["edge"].send_signal(number)
                self.notes.append(said)

    def report(self) -> dict[str, float]:
        """What the nodes know of themselves, at most a second old; empty before the first."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(self._report_file.read_text()))
        return {}

    def progress(self) -> float:
        """Share of the run that is over, 0..1."""
        return min(1.0, max(0.0, (time.monotonic() - self._origin_s) / self.duration_s))

    def drain(self, interrupt: _Interrupt) -> None:
        """Stop the nodes, and wait until the database has what the radio was told, for a while or until Ctrl-C."""
        self._end("edgelog")  # before its port goes
        self._end("edge")
        if self._own_broker and self._broker is None:
            self._start_broker()
            self.notes.append("the broker came only after the nodes had ended")
        had = interrupt.count
        deadline_s = time.monotonic() + DRAIN_S
        while self.summary().missing and time.monotonic() < deadline_s and interrupt.count == had:
            time.sleep(POLL_S)

    def summary(self) -> Summary:
        """Count the run from the radio's record, the nodes' report and the database."""
        recorded = [line.split(",") for line in self._record_lines()]
        accepted = {(node, int(epoch), int(counter)) for node, epoch, counter in recorded}
        with contextlib.closing(open_database(self._settings.database)) as database:
            rows = Counter(identity for identity in database.identities() if identity[1] == self._epoch)
        dead = self._dead_letters()
        report = self.report()
        return Summary(
            samples=int(report.get("samples", 0)),
            events=int(report.get("events", 0)),
            heartbeats=int(report.get("heartbeats", 0)),
            retries=int(report.get("retries", 0)),
            periodic=int(report.get("samples", 0)),
            minutes_wrong=report.get("wrong_instants", 0) * self.interval_s / 60,
            aoii_mean_s=report.get("aoii_mean_s", 0.0),
            aoii_p99_s=report.get("aoii_p99_s", 0.0),
            accepted=len(accepted),
            stored=rows.total(),
            missing=len(accepted - rows.keys() - dead),
            duplicates=sum(count - 1 for count in rows.values()),
            dead_letters=len(dead),
        )

    def _record_lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            text = self._record_file.read_text()
            return text[: text.rfind("\n") + 1].splitlines()  # a line may be under way
        return []

    def _dead_letters(self) -> set[tuple[str, int, int]]:
        path = self._settings.server.dead_letter_path
        if not path.exists():
            return set()
        with contextlib.closing(DeadLetters(path, self._settings.server.dead_letter_max_mb)) as letters:
            return set(letters.identities())

    def _log_tail(self, name: str) -> str:
        lines = (self.folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def _end(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child is not None:
            self._finish(name, child)

    def _finish(self, name: str, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            self.notes.append(f"station {name} did not stop within {STOP_S:g} s and was killed")

    def stop(self) -> None:
        """End every process, in the order of the data path."""
        for name in ("edgelog", "edge", "gateway", "csv", "web", "server"):
            self._end(name)
        if self._broker is not None:
            self._finish("broker", self._broker)


def _watch(stage: _ProcessGroup, interrupt: _Interrupt, console: Console) -> None:
    """Until the nodes have ended or the user has had enough: keep the run going, and show it."""
    if stage.options.headless or not console.is_terminal:
        while stage.step() and not interrupt.count:
            time.sleep(POLL_S)
        return
    progress = Progress(
        TextColumn("replaying"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), console=console
    )
    task = progress.add_task("", total=1.0)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while stage.step() and not interrupt.count:
            progress.update(task, completed=stage.progress())
            live.update(_live_view(progress, stage))
            time.sleep(POLL_S)


def _live_view(progress: Progress, stage: _ProcessGroup) -> RenderableType:
    report = stage.report()
    samples, instants = report.get("samples", 0), report.get("instants", 0)
    sent = sum(report.get(kind, 0) for kind in ("events", "heartbeats", "retries"))
    table = Table.grid(padding=(0, 2))
    table.add_row("samples", f"{samples:,.0f}")
    table.add_row("packets sent", f"{sent:,.0f} of {samples:,.0f} that periodic sending would have sent")
    if instants:
        table.add_row("gateway right", f"{1 - report.get('wrong_instants', 0) / instants:.2%} of sample instants")
    return Group(progress, table)


def _radio_account(report: Mapping[str, float]) -> str:
    """What the radio did with packets and acknowledgements, as the simulation counted it."""
    counts = {name: report.get(f"radio_{name}", 0) for name in ("sent", "received", "duplicated", "reordered")}
    lost = {reason: count for reason in LOSSES_SHOWN if (count := report.get(f"radio_lost_{reason}", 0))}
    shown = f"{counts['sent']:,.0f} packets and acknowledgements on the air, {counts['received']:,.0f} heard"
    if lost:
        parts = ", ".join(f"{count:,.0f} {LOSSES_SHOWN[reason]}" for reason, count in lost.items())
        shown += f", {sum(lost.values()):,.0f} lost ({parts})"
    return shown + "".join(f", {counts[name]:,.0f} {text}" for name, text in EXTRAS_SHOWN.items() if counts[name])


def _print_summary(console: Console, summary: Summary, stage: _ProcessGroup) -> None:
    sent = summary.events + summary.heartbeats + summary.retries
    report = stage.report()
    instants = report.get("instants", 0)
    right = 1 - report.get("wrong_instants", 0) / instants if instants else 1.0
    saved = f" (-{1 - sent / summary.periodic:.0%})" if summary.periodic else ""
    table = Table.grid(padding=(0, 2))
    kinds = f"{summary.events:,} events, {summary.heartbeats:,} heartbeats, {summary.retries:,} retries"
    checks, mismatches = report.get("estimate_checks", 0), report.get("estimate_mismatches", 0)
    for name, text in (
        ("samples", f"{summary.samples:,}"),
        ("packets sent", f"{sent:,}: {kinds}"),
        ("periodic sending", f"{summary.periodic:,}{saved}"),
        ("gateway right", f"{right:.2%} of minutes; wrong for {summary.minutes_wrong:g} min"),
        ("AoII", f"mean {summary.aoii_mean_s:.2f} s, p99 {summary.aoii_p99_s:g} s"),
        ("accepted", f"{summary.accepted:,} readings acknowledged to the radio"),
        ("stored", f"{summary.stored:,} rows"),
        ("missing", f"{summary.missing:,}"),
        ("duplicates", f"{summary.duplicates:,}"),
        ("dead letters", f"{summary.dead_letters:,}"),
        ("same forecast", f"node and gateway compared {checks:,.0f} times, {mismatches:,.0f} differed"),
        ("radio", _radio_account(report)),
        *(("survived", note) for note in stage.notes),
    ):
        table.add_row(name, text)
    console.print(table, highlight=False)
