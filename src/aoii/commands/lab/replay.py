"""`aoii lab replay`: replays recordings through policies; prints a table, and can write JSON, rows and plots."""

import argparse
import csv
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from aoii.commands import channel_options
from aoii.commands.arguments import Commands, file_path, output_file, whole
from aoii.commands.lab import arguments
from aoii.lab import POLICY_NAMES

if TYPE_CHECKING:
    from aoii.lab.channel import Channel
    from aoii.lab.policy import Options, Prior
    from aoii.lab.runs import Run
    from aoii.simulation.recordings import Series

SHOWN = ("samples", "events", "heartbeats", "retries", "minutes_wrong", "aoii_mean_s", "bound_hold", "bound_linear")

# the help of the options with these names
DATA = "CSV or CSV.gz: timestamp[,node],temperature,humidity (default: the shipped day)"
HEARTBEAT = "a node that was silent for S seconds sends a heartbeat; 0: never (default)"
TAU = "a node sends after N wrong samples in a row (default: %(default)s)"
PRIOR = "prior of trend: a file of aoii lab pretrain, or none (default: the shipped one)"
MLP = "first weights of mlp: a file of aoii lab pretrain --model mlp (default: the shipped one)"
TRACE = "write one row for each sample and policy to this file; packed if its name ends in .gz"
SF = "spreading factor, for airtime and energy (default: %(default)s)"


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "replay",
        help="replay recordings through policies and count packets, errors and ages",
        description="Replay recordings through policies; everything is counted after each sample. "
        "Gaps split a recording; nothing is interpolated.",
        epilog="Example: aoii lab replay --policy trend send_on_delta --loss 0.1 --ack-loss 0.1 --json out.json",
    )
    add = parser.add_argument
    add("--data", type=file_path, nargs="+", metavar="FILE", help=DATA)
    add("--policy", nargs="+", default=["all"], metavar="NAME", help=f"all (default), or {', '.join(POLICY_NAMES)}")
    arguments.add_thresholds(parser)
    add("--heartbeat", type=whole(0, 10**7), default=0, metavar="S", help=HEARTBEAT)
    add("--tau", type=whole(1, 255), default=1, metavar="N", help=TAU)
    arguments.add_seed(parser)
    add("--prior", type=file_path, metavar="FILE", help=PRIOR)
    add("--mlp", type=file_path, metavar="FILE", help=MLP)
    add("--sf", type=whole(7, 12), default=7, metavar="N", help=SF)
    add("--json", type=output_file, metavar="OUT", help="write the results to this file")
    add(
        "--trace",
        type=output_file,
        metavar="OUT.csv",
        help="write one row for each sample and policy; packed if the name ends in .gz",
    )
    add("--plot", type=file_path, metavar="DIR", help="write a plot of each series to this folder")
    channel_options.add_options(parser, ack_loss="0")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from rich.table import Table

    from aoii.lab import runs
    from aoii.lab.airtime import Radio

    names = arguments.choose_policies(options.policy)
    wanted = _replay_options(options, names)
    recordings, channels = arguments.parse_recordings(options.data), _channels(options)
    arguments.check_writable(options.json, options.trace)
    if options.plot is not None:
        with arguments.writing(options.plot):
            options.plot.mkdir(parents=True, exist_ok=True)
    done = list(_replay_with_progress(recordings, names, wanted, channels))
    summaries = [run.summary(Radio(options.sf)) for run in done]
    if options.json is not None:
        arguments.write_text(options.json, json.dumps(summaries, indent=1) + "\n")
    if options.trace is not None:
        with arguments.writing_table(options.trace) as file:
            writer = csv.writer(file)
            writer.writerow(runs.TRACE_HEADER)
            for run in done:
                writer.writerows(run.trace())
    if options.plot is not None:
        from aoii.lab import plots

        with arguments.writing(options.plot):
            plots.plot_series(done, options.plot)
    table = Table("file", "node", "policy", *SHOWN, box=None, header_style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    for run, summary in zip(done, summaries, strict=True):
        table.add_row(runs.stem(run.file), run.node, run.policy.name, *[f"{summary[name]:g}" for name in SHOWN])
    arguments.print_table(table)
    return 0


def _replay_with_progress(
    recordings: "list[tuple[str, list[Series]]]",
    names: Sequence[str],
    options: "Options",
    channel: "Callable[[Series], Channel]",
) -> "Iterator[Run]":
    from rich.console import Console
    from rich.progress import Progress

    from aoii.lab.runs import replay_all

    console = Console(stderr=True)
    total = sum(len(series) for _, all_series in recordings for series in all_series) * len(names)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replaying", total=total)
        for run in replay_all(recordings, names, options, channel):
            progress.update(task, advance=len(run.series), description=f"{run.node} {run.policy.name}")
            yield run


def _replay_options(options: argparse.Namespace, names: Sequence[str]) -> "Options":
    from aoii.core import prior
    from aoii.lab import mlp_weights, prior_fit
    from aoii.lab.policy import Options

    weights: Prior = prior.WEIGHTS
    if options.prior is not None:
        weights = prior_fit.NO_PRIOR if str(options.prior) == "none" else prior_fit.parse_prior(options.prior)
    mlp = mlp_weights.parse_mlp(options.mlp or mlp_weights.SHIPPED) if "mlp" in names else None
    epsilon = (options.beta_temp, options.beta_hum)
    return Options(epsilon, options.heartbeat, options.tau, weights, mlp)


def _channels(options: argparse.Namespace) -> "Callable[[Series], Channel]":
    """The function that makes the channel of a series."""
    from aoii.lab.channel import SimulatedChannel
    from aoii.simulation import packet_traces

    model = channel_options.channel_model(options, ack_loss=0.0)
    traces = packet_traces.parse(model.trace) if model.trace is not None else None

    def channel(series: "Series") -> "Channel":
        trace = None if traces is None else packet_traces.of_node(traces, series.node)
        return SimulatedChannel(model, f"{options.seed}/{series.node}", trace)

    return channel
