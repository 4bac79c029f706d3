"""`aoii lab airtime`: time on air, energy and battery life of a node for SF7 to SF12."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from aoii.commands.arguments import Commands, file_path, whole
from aoii.commands.lab import arguments
from aoii.runtime import advice

if TYPE_CHECKING:
    from aoii.lab.airtime import Radio

HEADER = ["policy", "SF", "packets/day", "ms/packet", "mJ/packet"]
HEADER += ["airtime s/day", "duty %", "at most/day", "mJ/day", "battery years"]

SAMPLES_A_DAY = 1440.0  # with --packets: one sample a minute


class Traffic(NamedTuple):
    """What a node samples and sends in a day.

    Attributes:
        name: What the first column says.
        samples: Samples a day.
        packets: Packets a day.
        frame_bytes: Length of a packet.
    """

    name: str
    samples: float
    packets: float
    frame_bytes: int


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "airtime",
        help="packets, time on air, energy and battery life for SF7 to SF12",
        description="Time on air by the Semtech formula, the packets that a duty cycle of 1 % allows, and a model of "
        "energy and battery life with cited currents. "
        "Packets a day come from a replay of a recording, or from --packets.",
        epilog="Example: aoii lab airtime --packets 135 --battery 3000",
    )
    add = parser.add_argument
    add("--data", type=file_path, nargs="+", metavar="FILE", help="recordings (default: the shipped day)")
    default = ["periodic", "send_on_delta", "trend"]
    add("--policy", nargs="+", default=default, metavar="NAME", help=f"default: {' '.join(default)}")
    arguments.add_thresholds(parser)
    add("--packets", type=arguments.POSITIVE, metavar="N", help="packets a day, instead of a replay")
    size = "length of a packet, with --packets (default: %(default)s)"
    add("--bytes", type=whole(1, 255), default=32, metavar="N", help=size)
    power = "13, 17 or 20 dBm (default: %(default)s)"
    add("--power", type=int, choices=(13, 17, 20), default=13, metavar="DBM", help=power)
    add("--battery", type=arguments.POSITIVE, default=3000.0, metavar="MAH", help="capacity (default: %(default)g)")
    add("--sleep", choices=("deep", "light"), default="deep", help="sleep mode of the board (default: %(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from rich.table import Table

    from aoii.lab.airtime import SPREADING_FACTORS, Radio

    table = Table(*HEADER, box=None)
    for traffic in _traffic(options):
        for sf in SPREADING_FACTORS:
            radio = Radio(sf, options.power, options.sleep == "light")
            table.add_row(*_row(traffic, radio, options.battery))
    arguments.print_table(table)
    source = advice.document("docs/reference/lab.md")
    print(f"A model with cited currents ({source}), not a measurement; self-discharge is not counted.")
    return 0


def _row(traffic: Traffic, radio: "Radio", battery_mah: float) -> list[str]:
    from aoii.lab.airtime import DUTY, airtime_s

    packet_s = airtime_s(traffic.frame_bytes, radio.sf)
    energy_mj = radio.energy_mj_per_day(traffic.samples, traffic.packets, traffic.frame_bytes)
    return [
        traffic.name,
        str(radio.sf),
        f"{traffic.packets:.0f}",
        f"{1000 * packet_s:.1f}",
        f"{radio.energy_mj_per_packet(traffic.frame_bytes):.1f}",
        f"{traffic.packets * packet_s:.1f}",
        f"{100 * traffic.packets * packet_s / 86_400:.3f}",
        f"{int(DUTY * 86_400 / packet_s)}",
        f"{energy_mj:.0f}",
        f"{radio.battery_years(energy_mj, battery_mah):.2f}",
    ]


def _traffic(options: argparse.Namespace) -> Iterator[Traffic]:
    """The traffic that was given, or that of each policy in a replay."""
    if options.packets is not None:
        yield Traffic(f"{options.packets:g} a day", SAMPLES_A_DAY, options.packets, options.bytes)
        return
    from aoii.lab import mlp_weights, runs
    from aoii.lab.channel import lossless
    from aoii.lab.policy import Options

    names = arguments.choose_policies(options.policy)
    mlp = mlp_weights.parse_mlp() if "mlp" in names else None
    wanted = Options((options.beta_temp, options.beta_hum), mlp=mlp)
    done = list(runs.replay_all(arguments.parse_recordings(options.data), names, wanted, lossless))
    for policy in {run.policy.name: run.policy for run in done}.values():
        some = [run for run in done if run.policy is policy]
        days = sum(run.days for run in some)
        samples, packets = sum(len(run.series) for run in some), sum(run.outcome.packets for run in some)
        yield Traffic(policy.name, samples / days, packets / days, policy.frame_bytes)
