"""A demo from start to end: the whole system on this machine, and then a count of its readings.

Each station is a real process that knows only its settings. The demo starts them on free loopback ports in a folder of
its own, watches them, and stops them in the order of the data path. It counts the readings without asking a station.
"""

import contextlib
import errno
import fcntl
import json
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from aoii.commands import demo_settings, demo_view
from aoii.commands.demo_account import Account
from aoii.commands.demo_processes import ProcessGroup
from aoii.commands.demo_settings import Options
from aoii.commands.demo_switches import Switchboard
from aoii.core.errors import InputError
from aoii.settings import Settings, load
from aoii.simulation import packet_traces, recordings

DRAIN_S = 30.0  # real seconds without a new row after which readings count as missing
FIRST_ROW_S = 120.0  # the same until the first row: a server on a busy machine may take a minute to start
POLL_S = 0.25
MARKER = ".aoii-demo"  # only a folder with this file in it is ever emptied


def run(settings: Settings, options: Options, env_file: Path | None) -> int:
    """Run the demo until it ends or is interrupted.

    Returns:
        1 if a reading is missing or stored twice, or if samples were taken and none was accepted although the channel
        does not lose every packet; else 0.

    Raises:
        InputError: The recording or the packet trace cannot be used, the JSON file cannot be written, the page's port
            is in use, or the demo's folder is in use, cannot be written or holds files that no demo made.
        UnavailableError: A station did not start, or ended; the message has the end of its log.
    """
    console = Console()
    series = recordings.parse(options.recording, lambda note: console.print(note, highlight=False, markup=False))[0]
    if options.channel.trace is not None:
        packet_traces.parse(options.channel.trace)  # report a bad file here, not in the log of a station that ends
    folder = settings.data_dir / "demo"
    with _exclusive(folder), _interrupts() as interrupts:
        settings, page = _with_page_port(settings)
        _check_writable(options.json_file)
        group, account = _prepare(settings, options, folder, series, env_file)
        try:
            group.start()
            board = Switchboard(folder / demo_settings.SWITCHES_FILE, group, _own_database(settings, folder))
            console.print(f"web page   {page}", highlight=False)
            console.print(f"files      {folder}", highlight=False)
            _watch(group, board, account, interrupts, console)
            board.mend()
            group.end_nodes()
            _drain(account, interrupts)
        finally:
            group.stop()
        summary = account.summary()
        demo_view.print_summary(console, summary, account.report(), group.notes)
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8")
    if summary.samples and not summary.accepted and options.channel.loss < 1:
        console.print(f"the gateway accepted nothing; its log is {folder / 'logs' / 'gateway.log'}", highlight=False)
        return 1
    return 0 if summary.missing == summary.duplicates == 0 else 1


def _prepare(
    settings: Settings, options: Options, folder: Path, series: recordings.Series, env_file: Path | None
) -> tuple[ProcessGroup, Account]:
    """Make the folders, settings and node keys of the run; start nothing."""
    for name in ("run", "logs"):
        (folder / name).mkdir()
    env_file = demo_settings.shared_file(env_file, folder / "run")
    ports = demo_settings.free_ports()
    duration_s = options.duration_s or series.span_s / options.speed
    origin_s = time.monotonic() + demo_settings.START_ALLOWANCE_S
    environment = demo_settings.station_environment(settings, options, folder, series, duration_s, origin_s, ports)
    station_settings = load(environment, env_file)
    epoch = demo_settings.provision_nodes(station_settings, options.nodes)
    own_broker = demo_settings.has_own_broker(settings)
    group = ProcessGroup(options, environment, env_file, folder, ports, own_broker, origin_s, duration_s)
    return group, Account(station_settings, epoch, series.interval_s)


def _own_database(settings: Settings, folder: Path) -> Path | None:
    """The demo's own database; None if rows go to a server."""
    return folder / "aoii.db" if settings.database.host is None else None


def _watch(group: ProcessGroup, board: Switchboard, account: Account, interrupts: list[int], console: Console) -> None:
    """Keep the run going and show it, until the nodes have ended or the user interrupts."""
    with demo_view.live_view(console, headless=group.options.headless) as show:
        while not interrupts:
            board.step()
            group.step()
            report = account.report()
            if report.get("is_over", False):
                return
            show(group.progress(), report)
            time.sleep(POLL_S)


def _drain(account: Account, interrupts: list[int]) -> None:
    """Wait until no accepted reading is missing or no row has come for long, and not beyond one more interrupt."""
    had = len(interrupts)  # one may have ended the run
    summary, since_s = account.summary(), time.monotonic()
    while summary.missing and len(interrupts) == had:
        if time.monotonic() - since_s > (DRAIN_S if summary.stored else FIRST_ROW_S):
            return
        time.sleep(POLL_S)
        before, summary = summary, account.summary()
        if summary.stored > before.stored:
            since_s = time.monotonic()


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list to which every Ctrl-C and SIGTERM is added; otherwise they would end the demo and not its processes."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Keep `folder` for this run alone, empty at its start. Only the files of an earlier demo are deleted.

    Raises:
        InputError: Another demo runs there, or the folder holds other files.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock_file = (folder.parent / ".demo.lock").open("w")
    except OSError as error:
        problem = f"{folder.parent}: cannot be written ({error.strerror})"
        raise InputError(problem, "set AOII_DATA_DIR to a folder that this user can write") from error
    with lock_file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"another demo runs in {folder}", "stop it, or set AOII_DATA_DIR to another folder"
            ) from error
        if folder.exists():
            if not folder.is_dir():
                raise InputError(f"{folder} is a file that no demo made", "move it, or set AOII_DATA_DIR")
            if any(folder.iterdir()) and not (folder / MARKER).exists():
                raise InputError(f"{folder} holds files that no demo made", "move them, or set AOII_DATA_DIR")
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / MARKER).touch()
        yield


def _with_page_port(settings: Settings) -> tuple[Settings, str]:
    """The settings with a port that the page can use, and its address; another port only if the user has set none.

    Raises:
        InputError: The port that the user has set cannot be used.
    """
    host, port = settings.web.host, settings.web.port
    if (error := _bind_error(host, port)) is not None:
        is_in_use = error.errno == errno.EADDRINUSE
        if "PORT" in settings.given or not is_in_use:
            why = "is in use" if is_in_use else f"cannot be used ({error.strerror})"
            remedy = "set PORT to a free one" if is_in_use else "set PORT or WEB_HOST to another"
            raise InputError(f"port {port} of the web page {why} on {host}", remedy) from error
        port = demo_settings.free_port(host)
    shown = f"[{host}]" if ":" in host else host
    note = f" (port {settings.web.port} is in use)" if port != settings.web.port else ""
    return replace(settings, web=replace(settings.web, port=port)), f"http://{shown}:{port}{note}"


def _bind_error(host: str, port: int) -> OSError | None:
    """Why no server can listen there; None if one can."""
    try:
        demo_settings.listener(host, port).close()
    except OSError as error:
        return error
    return None


def _check_writable(path: Path | None) -> None:
    try:
        if path is not None:
            path.open("a").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})", "give --json another file") from error
