"""The command line of the lab: `aoii lab replay | pretrain | report | airtime`.

Libraries are imported when a command runs, not before.
"""

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.commands import channel_options
from aoii.core.errors import AoiiError, InputError
from aoii.lab import POLICY_NAMES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from aoii.lab.losses import Channel
    from aoii.lab.policies import Prior
    from aoii.lab.replay import Entry, Options
    from aoii.simulation.recordings import Series

RECORDING_FOLDERS = (Path("recordings"),)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the lab's commands to a parser; each sets `run`, a callable from options to exit code."""
    commands = parser.add_subparsers(dest="lab_command", metavar="COMMAND", required=True)
    _add_replay(commands)
    _add_pretrain(commands)
    _add_report(commands)
    _add_airtime(commands)


def _add_replay(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    replay = commands.add_parser(
        "replay",
        help="replay recordings through policies and count packets, errors and ages",
        description="Replay recordings through policies; every figure is counted after each sample. "
        "Gaps split a recording; nothing is interpolated.",
        epilog="Example: aoii lab replay --policy trend send_on_delta --loss 0.1 --ack-loss 0.1 --json out.json",
    )
    add = replay.add_argument
    add(
        "--data",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="CSV or CSV.gz: timestamp[,node],temperature,humidity (default: the shipped day)",
    )
    add(
        "--policy",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="all (default), or some of: " + ", ".join(POLICY_NAMES),
    )
    _add_thresholds(replay)
    add(
        "--heartbeat",
        type=_whole(0, 10**7),
        default=0,
        metavar="S",
        help="a node that was silent for so many seconds reports; 0: never (default)",
    )
    add(
        "--tau",
        type=_whole(1, 255),
        default=1,
        metavar="N",
        help="a forecast is corrected when it has been wrong at N samples in a row (default: %(default)s)",
    )
    add("--seed", type=_whole(0, 2**31 - 1), default=1, metavar="N", help="of the losses (default: %(default)s)")
    add(
        "--prior",
        metavar="FILE",
        help="what trend starts from: a file of aoii lab pretrain, or none (default: the shipped one)",
    )
    add(
        "--mlp",
        type=Path,
        metavar="FILE",
        help="what mlp starts from: a file of aoii lab pretrain --model mlp (default: the shipped one)",
    )
    add(
        "--sf",
        type=_whole(7, 12),
        default=7,
        metavar="N",
        help="spreading factor, for airtime and energy (default: %(default)s)",
    )
    add("--json", type=Path, metavar="OUT", help="write the figures here")
    add("--trace", type=Path, metavar="OUT.csv", help="write one row for each sample here")
    add("--plot", type=Path, metavar="DIR", help="write a plot of each series here")
    channel_options.add_options(replay, ack_loss="0")
    replay.set_defaults(run=_replay)


def _add_thresholds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--beta-temp", type=_threshold, default=50, metavar="C", help="threshold, °C (default: 0.5)")
    parser.add_argument("--beta-hum", type=_threshold, default=300, metavar="RH", help="threshold, %%RH (default: 3)")


def _add_pretrain(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    pretrain = commands.add_parser(
        "pretrain",
        help="make the prior of trend, or the weights of mlp, from recordings",
        description="Make the prior that trend starts from, or the weights that mlp starts from. By default from the "
        "recordings whose licence allows to ship what is made from them: the shipped SURFRAD day and, from the folders "
        "given by --recordings, arm_met_1min.csv.gz and occupancy_1min.csv.gz.",
        epilog="Example: aoii lab pretrain --exclude surfrad --out without_surfrad.json",
    )
    add = pretrain.add_argument
    add("--model", choices=("prior", "mlp"), default="prior", help="prior of trend (default), or weights of mlp")
    add("--data", type=Path, nargs="+", metavar="FILE", help="use these recordings instead")
    add(
        "--recordings",
        type=Path,
        nargs="+",
        default=list(RECORDING_FOLDERS),
        metavar="DIR",
        help="where recordings lie (default: recordings)",
    )
    add(
        "--exclude",
        nargs="+",
        default=[],
        metavar="GROUP",
        help="leave out recordings whose file name contains this, such as surfrad",
    )
    add("--out", type=Path, metavar="FILE", help="write JSON for aoii lab replay here (default: standard output)")
    add(
        "--core",
        type=Path,
        metavar="FILE",
        help="write the prior as the module that nodes load: src/aoii/core/prior.py",
    )
    pretrain.set_defaults(run=_pretrain)


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    report = commands.add_parser(
        "report",
        help="replay everything and write docs/explanation/results.md with tables and plots",
        description="Replay recordings at several thresholds and losses and write a page with tables and plots. "
        "The prior is fitted without the recording that is being measured.",
        epilog="Example: aoii lab report --recordings recordings --out docs/explanation/results.md",
    )
    add = report.add_argument
    add(
        "--recordings",
        type=Path,
        metavar="DIR",
        help="replay every recording in this folder (default: the shipped day only)",
    )
    add(
        "--out",
        type=Path,
        default=Path("docs/explanation/results.md"),
        metavar="FILE",
        help="page to write; plots go beside it, into results/ (default: %(default)s)",
    )
    add("--seed", type=_whole(0, 2**31 - 1), default=1, metavar="N", help="of the losses (default: %(default)s)")
    report.set_defaults(run=_report)


def _add_airtime(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    airtime = commands.add_parser(
        "airtime",
        help="packets, time on air, energy and battery life for SF7 to SF12",
        description="Time on air by the Semtech formula, how many packets a duty cycle of 1 % allows, and a model of "
        "energy and battery life with cited currents. "
        "Packets a day come from a replay of a recording, or from --packets.",
        epilog="Example: aoii lab airtime --packets 135 --battery 3000",
    )
    add = airtime.add_argument
    add("--data", type=Path, nargs="+", metavar="FILE", help="recordings (default: the shipped day)")
    add(
        "--policy",
        nargs="+",
        default=["periodic", "send_on_delta", "trend"],
        metavar="NAME",
        help="default: periodic send_on_delta trend",
    )
    _add_thresholds(airtime)
    add("--packets", type=_positive, metavar="N", help="packets a day, instead of a replay")
    add(
        "--bytes",
        type=_whole(1, 255),
        default=32,
        metavar="N",
        help="length of a packet, with --packets (default: %(default)s)",
    )
    add(
        "--power",
        type=int,
        choices=(13, 17, 20),
        default=13,
        metavar="DBM",
        help="13, 17 or 20 dBm (default: %(default)s)",
    )
    add("--battery", type=_positive, default=3000.0, metavar="MAH", help="capacity (default: %(default)g)")
    add("--sleep", choices=("deep", "light"), default="deep", help="how the board sleeps (default: %(default)s)")
    airtime.set_defaults(run=_airtime)


# What a command does


def _replay(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from aoii.lab import replay

    chosen = _options(options)
    channel = _channels(options)
    recordings = _recordings(options.data)
    names = _policies(options.policy)
    console = Console(stderr=True)
    entries = list(_with_progress(recordings, names, chosen, channel, console))
    if options.json is not None:
        _write(options.json, json.dumps([entry.figures(chosen) for entry in entries], indent=1) + "\n")
    if options.trace is not None:
        with _writing(options.trace), options.trace.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(replay.TRACE_HEADER)
            for entry in entries:
                writer.writerows(replay.trace(entry))
    if options.plot is not None:
        from aoii.lab import plots

        with _writing(options.plot):
            plots.plot_series(entries, options.plot)
    table = Table("file", "node", "policy", *_SHOWN, box=None, header_style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    for entry in entries:
        figures = entry.figures(chosen)
        table.add_row(
            replay.stem(entry.file), entry.node, entry.policy.name, *[f"{figures[name]:g}" for name in _SHOWN]
        )
    _print(table)
    return 0


def _print(table: "Table") -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a file or a pipe has no width of its own
    console.print(table)


_SHOWN = ("samples", "events", "heartbeats", "retries", "minutes_wrong", "aoii_mean_s", "bound_hold", "bound_linear")


def _with_progress(
    recordings: "list[tuple[str, list[Series]]]",
    names: Sequence[str],
    chosen: "Options",
    channel: "Callable[[Series], Channel]",
    console: "Console",
) -> "Iterator[Entry]":
    from rich.progress import Progress

    from aoii.lab import replay

    total = sum(len(series) for _, all_series in recordings for series in all_series) * len(names)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replaying", total=total)
        for entry in replay.entries(recordings, names, chosen, channel):
            progress.update(task, advance=len(entry.series), description=f"{entry.node} {entry.policy.name}")
            yield entry


def _options(options: argparse.Namespace) -> "Options":
    from aoii.core import prior
    from aoii.lab import pretrain
    from aoii.lab.airtime import Radio
    from aoii.lab.replay import Options

    weights: Prior = prior.WEIGHTS
    if options.prior is not None:
        weights = pretrain.NO_PRIOR if options.prior == "none" else pretrain.load_prior(Path(options.prior))
    mlp = None
    if "mlp" in _policies(options.policy):
        mlp = pretrain.load_mlp(options.mlp or pretrain.MLP_FILE)
    epsilon = (options.beta_temp, options.beta_hum)
    return Options(epsilon, options.heartbeat, options.tau, weights, mlp, Radio(options.sf))


def _channels(options: argparse.Namespace) -> "Callable[[Series], Channel]":
    from aoii.lab import losses
    from aoii.simulation import packet_traces

    wanted = channel_options.of_options(options, ack_loss=0.0)
    traces = packet_traces.parse(wanted.trace) if wanted.trace is not None else None

    def of_series(series: "Series") -> "Channel":
        trace = None if traces is None else losses.of_node(traces, series.node)
        return losses.Simulated(wanted, f"{options.seed}/{series.node}", trace)

    return of_series


def _recordings(paths: Sequence[Path] | None) -> "list[tuple[str, list[Series]]]":
    from aoii.simulation import recordings

    return [(str(path), recordings.parse(path)) for path in paths or (recordings.SHIPPED,)]


def _policies(names: Sequence[str]) -> tuple[str, ...]:
    if "all" in names:
        return POLICY_NAMES
    unknown = [name for name in names if name not in POLICY_NAMES]
    if unknown:
        raise InputError(f"there is no policy {', '.join(unknown)}; use all, or some of {', '.join(POLICY_NAMES)}")
    return tuple(names)


def _pretrain(options: argparse.Namespace) -> int:
    from aoii.lab import pretrain

    if options.data is not None:
        paths = [path for path in options.data if not pretrain.is_excluded(path.name, options.exclude)]
    else:
        paths = pretrain.find(options.recordings, options.exclude)
    if not paths:
        raise InputError("nothing is left to learn from; exclude less")
    if options.core is not None and options.model != "prior":
        raise InputError("--core writes a prior; leave it out, or use --model prior")
    made_from = pretrain.provenance(paths)
    all_series = [series for _, several in _recordings(paths) for series in several]
    if options.model == "mlp":
        text = pretrain.mlp_json(pretrain.fit_mlp(all_series), made_from)
    else:
        weights = pretrain.fit_prior(pretrain.evidence(all_series))
        text = pretrain.prior_json(weights, made_from, options.exclude)
        if options.core is not None:
            _write(options.core, pretrain.prior_module(weights, made_from))
    if options.out is not None:
        _write(options.out, text)
    elif options.core is None:
        print(text, end="")
    return 0


def _report(options: argparse.Namespace) -> int:
    from aoii.lab import report

    with _writing(options.out):
        report.write(options.recordings, options.out, options.seed)
    print(f"wrote {options.out}")
    return 0


def _airtime(options: argparse.Namespace) -> int:
    from rich.table import Table

    from aoii.lab.airtime import DUTY, SPREADING_FACTORS, Radio, airtime_s

    table = Table(
        *("policy", "SF", "packets/day", "ms/packet", "mJ/packet", "airtime s/day", "duty %", "at most/day"),
        *("mJ/day", "battery years"),
        box=None,
    )
    for name, samples, packets, size in _packets_a_day(options):
        for sf in SPREADING_FACTORS:
            radio = Radio(sf, options.power, options.sleep == "light")
            on_air_s = packets * airtime_s(size, sf)
            energy_mj = radio.energy_mj_per_day(samples, packets, size)
            table.add_row(
                name,
                str(sf),
                f"{packets:.0f}",
                f"{1000 * airtime_s(size, sf):.1f}",
                f"{radio.energy_mj_per_packet(size):.1f}",
                f"{on_air_s:.1f}",
                f"{on_air_s / 864:.3f}",
                f"{int(DUTY * 86_400 / airtime_s(size, sf))}",
                f"{energy_mj:.0f}",
                f"{radio.battery_years(energy_mj, options.battery):.2f}",
            )
    _print(table)
    print("A model with cited currents (docs/reference/lab.md), not a measurement; self-discharge is not counted.")
    return 0


def _packets_a_day(options: argparse.Namespace) -> "Iterator[tuple[str, float, float, int]]":
    """Name, samples a day, packets a day and bytes of a packet."""
    if options.packets is not None:
        yield f"{options.packets:g} a day", 1440.0, options.packets, options.bytes
        return
    from aoii.lab import losses, pretrain, replay

    names = _policies(options.policy)
    mlp = pretrain.load_mlp() if "mlp" in names else None
    chosen = replay.Options((options.beta_temp, options.beta_hum), mlp=mlp)
    days: dict[str, list[float]] = {}
    for entry in replay.entries(_recordings(options.data), names, chosen, lambda _: losses.Random(0.0, 0.0, "")):
        total = days.setdefault(entry.policy.name, [0.0, 0.0, 0.0, float(entry.policy.frame_bytes)])
        total[0] += len(entry.series) * entry.series.interval_s / replay.DAY_S
        total[1] += len(entry.series)
        total[2] += entry.outcome.packets
    for name, (span, samples, packets, size) in days.items():
        yield name, samples / span, packets / span, int(size)


# Arguments and files


def _threshold(text: str) -> int:
    """A threshold in hundredths."""
    with contextlib.suppress(ValueError):
        value = round(100 * float(text))
        if 1 <= value <= 65535:
            return value
    raise argparse.ArgumentTypeError(f'"{text}"; use a number from 0.01 to 655.35, such as 0.5')


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text)
        if 0.0 < value < 1e9:
            return value
    raise argparse.ArgumentTypeError(f'"{text}"; use a positive number')


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            value = int(text)
            if low <= value <= high:
                return value
        raise argparse.ArgumentTypeError(f'"{text}"; use a whole number from {low} to {high}')

    return parse


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); give another place") from error


def _write(path: Path, text: str) -> None:
    with _writing(path):
        path.write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The lab alone, as `python -m aoii.commands.lab`; its exit code."""
    parser = argparse.ArgumentParser(prog="aoii lab")
    configure(parser)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except AoiiError as error:
        print(f"aoii lab {options.lab_command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
