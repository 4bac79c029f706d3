"""Settings and log of the command that runs."""

import argparse
import sys

from aoii import settings
from aoii.runtime import logs


def configure(options: argparse.Namespace, command: str) -> settings.Settings:
    """Read the settings, print their warnings to standard error, and set up the log.

    Raises:
        SettingsError: One or more settings are wrong.
    """
    values = settings.load(env_file=options.env_file)
    logs.configure(command, values.logs.level, as_json=values.logs.json)
    for warning in values.warnings:
        print(f"aoii {command}: {warning}", file=sys.stderr)
    return values
