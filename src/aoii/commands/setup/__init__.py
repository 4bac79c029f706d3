"""`aoii setup`: asks what a machine is to do, tests it, and writes its settings; each of these in a file of its own."""

import argparse

from aoii.commands.arguments import Commands, file_path

EXAMPLE = """Example of a file of answers (TOML, or the same as JSON):
  role = ["gateway", "server"]     # or "all"
  region = "KR920"
  [gateway]
  serial_port = "/dev/serial/by-id/usb-Silicon_Labs_CP2102-if00-port0"
  [broker]
  host = "10.0.0.5"
  login = "password"
  [broker.gateway]
  password_file = "/run/secrets/gateway"
  [broker.server]
  password_file = "/run/secrets/server"
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii setup`."""
    setup = commands.add_parser(
        "setup",
        help="ask what this machine is to do, test it, and write its settings",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Ask, in English or Korean, what this machine is to do: its role, region, ports, broker and\n"
        "database. Test all of it, and say what does not work and why. Show what is to be written as a diff,\n"
        "and write .env and .env.STATION, or FILE and FILE.STATION. As root with --system: also the stations'\n"
        "user, folders and systemd units, with the settings in /etc/aoii/aoii.env.\n"
        "A second run proposes what is there and changes only what is answered otherwise; comments and other\n"
        "keys stay, and each former file is kept.\n\n"
        "Exit codes: 0 done, or nothing to do; 1 something does not work, or you stopped; 2 an answer is\n"
        "missing or wrong, and nothing was written.",
        epilog=EXAMPLE,
    )
    add = setup.add_argument
    add("--answers", type=file_path, metavar="FILE", help="take the answers from FILE, in TOML or JSON")
    add("--yes", action="store_true", help="ask nothing: what FILE does not answer stays as it is, or at its default")
    add("--dry-run", action="store_true", help="print what would be written as a diff, and write nothing")
    add("--no-test", action="store_true", help="do not test; write the settings whether they work or not")
    add("--system", action="store_true", help="install user, folders and systemd units too (as root)")
    root = "with --system: install below DIR instead of /, for an image; makes no user and starts nothing"
    add("--root", type=file_path, metavar="DIR", help=root)
    setup.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.commands.setup import run

    return run.run(options)
