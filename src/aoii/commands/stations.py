"""`aoii edge | gateway | server | csv | edgelog | web`: one station each, which is imported when it is asked for."""

import argparse
from collections.abc import Callable

from aoii.commands.arguments import Commands
from aoii.commands.configuration import configure
from aoii.runtime import shutdown
from aoii.settings import Settings

Run = Callable[[Settings], int]


def add_commands(commands: Commands) -> None:
    """Add one command for each station."""
    for name, run, text in STATIONS:
        parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        parser.set_defaults(run=_starter(name, run))


def _starter(name: str, run: Run) -> Callable[[argparse.Namespace], int]:
    def start(options: argparse.Namespace) -> int:
        shutdown.end_with_parent()
        return run(configure(options, name))

    return start


def _edge(values: Settings) -> int:
    from aoii.simulation import fleet

    return fleet.run(values)


def _gateway(values: Settings) -> int:
    from aoii.gateway import gateway

    return gateway.run(values)


def _server(values: Settings) -> int:
    from aoii.server import mqtt_to_mysql

    return mqtt_to_mysql.run(values)


def _csv(values: Settings) -> int:
    from aoii.server import mqtt_to_csv

    return mqtt_to_csv.run(values)


def _edgelog(values: Settings) -> int:
    from aoii.server import edge_log

    return edge_log.run(values)


def _web(values: Settings) -> int:
    from aoii.web import app

    return app.run(values)


STATIONS: tuple[tuple[str, Run, str], ...] = (
    ("edge", _edge, "simulated nodes that replay a recording through a simulated radio and receiver"),
    ("gateway", _gateway, "the gateway: LoRa receiver on a serial port in, MQTT out"),
    ("server", _server, "the server: MQTT in, database out, commit acknowledgements back"),
    ("csv", _csv, "the CSV subscriber: every message as a line of CSV_FILE"),
    ("edgelog", _edgelog, "the log reader: a node's USB log on EDGE_LOG_PORT into the table edge_log"),
    ("web", _web, "the web page, its API and /metrics on PORT"),
)
