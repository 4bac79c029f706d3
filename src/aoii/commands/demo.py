"""`aoii demo`: its options; `demo_run.py` runs the demo."""

import argparse
import logging

from aoii.commands import channel_options
from aoii.commands.arguments import Commands, begin_command, file_path, number, output_file, whole


def add_commands(commands: Commands) -> None:
    """Add `aoii demo`."""
    demo = commands.add_parser(
        "demo",
        help="run the whole system on this machine: nodes, radio, gateway, broker, server and web page",
        description="Simulated nodes replay a recording over pseudo-terminals through the real gateway, broker, server "
        "and web page. An embedded broker is started unless MQTT_BROKER is set; SQLite is used unless MYSQL_HOST "
        "is set. Ends with a summary that is counted independently of the stations.",
        epilog="Example: aoii demo --nodes 5 --loss 0.1 --speed 600",
    )
    add = demo.add_argument
    add("--duration", type=number(1, 1e7), metavar="S", help="real seconds (default: length of the recording / speed)")
    add("--speed", type=number(0.1, 3600), default=120.0, metavar="X", help="times real time (default: %(default)g)")
    nodes = "number of nodes; each starts at another hour of the recording (default: %(default)s)"
    add("--nodes", type=whole(1, 1000), default=3, metavar="N", help=nodes)
    recording = "CSV or CSV.gz: timestamp[,node],temperature,humidity (default: a NOAA SURFRAD day)"
    add("--recording", type=file_path, metavar="FILE", help=recording)
    add("--seed", type=whole(0, 2**31 - 1), default=1, metavar="N", help="seed of the radio (default: %(default)s)")
    add("--headless", action="store_true", help="no live display in this terminal; the web page is served anyway")
    add("--json", type=output_file, metavar="FILE", help="write the figures of the summary to FILE")
    absent = "start the broker this many seconds late"
    add("--broker-absent", type=number(0, 3600), default=0.0, metavar="S", help=absent)
    unplug = "unplug the receiver for this many seconds in the middle of the run"
    add("--unplug", type=number(0, 3600), default=0.0, metavar="S", help=unplug)
    channel_options.add_options(demo, ack_loss="as --loss")
    demo.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands import demo_run
    from aoii.commands.demo_settings import Options

    chosen = Options(
        duration_s=options.duration,
        speed=options.speed,
        nodes=options.nodes,
        channel=channel_options.channel_model(options),
        recording=options.recording,
        seed=options.seed,
        headless=options.headless,
        json_file=options.json,
        broker_absent_s=options.broker_absent,
        unplug_s=options.unplug,
    )
    values = begin_command(options)
    logging.getLogger().setLevel(logging.WARNING)  # the stations log to files; this terminal shows the run
    return demo_run.run(values, chosen, options.env_file)
