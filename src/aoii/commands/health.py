"""`aoii health`: asks one station whether it makes progress and can do its work; the image's HEALTHCHECK runs it."""

import argparse
import sys
from pathlib import Path

from aoii import settings
from aoii.commands import container
from aoii.commands.arguments import Commands
from aoii.core.errors import InputError, UnavailableError


def add_commands(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "health",
        help="ask one station whether it makes progress and can do its work",
        description="Ask one station of this machine whether it makes progress (/healthz) and can do its work "
        "(/readyz). The exit code is 0 if it does both, and 1 if not. The image's HEALTHCHECK runs this.",
    )
    parser.add_argument(
        "station",
        nargs="?",
        choices=settings.STATIONS,
        metavar="STATION",
        help=f"one of {', '.join(settings.STATIONS)}; in a container, by default, the one that it runs",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    started = container.started()
    if options.station is None and started is None:
        raise InputError("no station is named", "name one, such as `aoii health gateway`")
    station = options.station or (started.station if started else "")
    reason = ask(station, options.env_file or (started.env_file if started else None))
    print(f"{station}: {reason or 'ready'}", file=sys.stderr if reason else sys.stdout)
    return 1 if reason else 0


def ask(station: str, env_file: Path | None) -> str | None:
    """Why a station is not well, in words for people; None if it is.

    Raises:
        SettingsError: Its settings, which name its port, are wrong.
    """
    from aoii.runtime.station_client import StationClient
    from aoii.runtime.status_port import NOT_ALIVE, NOT_READY, failure_reason

    host, port, is_encrypted = container.status_address(settings.load(env_file=env_file, station=station), station)
    if not port:
        return "its status port is turned off, so its health is unknown"
    client = StationClient(host, port, is_encrypted)
    try:
        for path, words in (("/healthz", NOT_ALIVE), ("/readyz", NOT_READY)):
            reason = failure_reason(words, client.checks(path))
            if reason:
                return reason
    except UnavailableError as error:
        return f"does not answer on port {port}: {error.problem}"
    return None
