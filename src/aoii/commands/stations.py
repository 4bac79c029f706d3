"""`aoii edge`, `gateway`, `server`, `csv`, `edgelog` and `web`: each imports and runs one station."""

import argparse
import importlib
from collections.abc import Callable

from aoii.commands import settings_watch
from aoii.commands.arguments import Commands, begin_command
from aoii.runtime import shutdown
from aoii.settings import Settings

STATIONS = (
    ("edge", "simulation.fleet", "simulated nodes that replay a recording through a simulated radio and receiver"),
    ("gateway", "gateway.gateway", "the gateway: LoRa receiver on a serial port in, MQTT out"),
    ("server", "server.mqtt_to_mysql", "the server: MQTT in, database out, commit acknowledgements back"),
    ("csv", "server.mqtt_to_csv", "the CSV subscriber: every message as a line of CSV_FILE"),
    ("edgelog", "server.edge_log", "the log reader: a node's USB log on EDGE_LOG_PORT into the table edge_log"),
    ("web", "web.app", "the web page, its API and /metrics on PORT"),
)
"""For each command its name, the module whose function `run` runs the station, and its help."""


def add_commands(commands: Commands) -> None:
    """Add one command for each station."""
    for name, module, text in STATIONS:
        parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        parser.set_defaults(run=_run, module=module)


def _run(options: argparse.Namespace) -> int:
    shutdown.end_with_parent()
    values = begin_command(options, options.command)
    run: Callable[[Settings], int] = importlib.import_module(f"aoii.{options.module}").run
    with settings_watch.running(options.env_file, options.command):
        return run(values)
