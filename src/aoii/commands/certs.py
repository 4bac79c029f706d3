"""`aoii certs`: make a certificate authority (CA) and what it signs, and show certificates.

Prints where a private key is, never the key.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from aoii.commands.arguments import Commands, file_path, keep_old_name, whole
from aoii.runtime.health_limits import EARLY_CERTIFICATE_DAYS


def add_commands(commands: Commands) -> None:
    """Add `aoii certs`."""
    certs = commands.add_parser(
        "certs",
        help="make a CA and the certificates of servers and stations; show when they expire",
        description="A small certificate authority (CA) of your own, for TLS between a few machines. "
        "Nothing is overwritten.",
        epilog="Example: aoii certs ca; aoii certs server broker broker.example; aoii certs client attic",
    )
    folder = "folder of the CA (default: %(default)s)"
    certs.add_argument("--dir", type=file_path, default=Path("certs"), metavar="DIR", help=folder)
    whats = certs.add_subparsers(dest="what", metavar="WHAT", required=True)
    ca = whats.add_parser("ca", help="make a CA: DIR/ca.crt, and DIR/ca.key, which must stay here")
    ca.set_defaults(run=_make_ca)
    server = whats.add_parser("server", help="make the certificate of a broker, a database or a web page")
    server.add_argument("name", metavar="NAME", help="name of the files")
    server.add_argument("hosts", metavar="HOST", nargs="+", help="host names and addresses that clients connect to")
    server.set_defaults(run=_make_server)
    client = whats.add_parser("client", help="make the certificate of a station")
    client.add_argument("name", metavar="NAME", help="its user name at the broker; for a gateway its GATEWAY_ID")
    client.set_defaults(run=_make_client)
    for parser, default in ((ca, "ten years"), (server, "two years"), (client, "two years")):
        parser.add_argument("--days", type=whole(1, 36500), metavar="N", help=f"days it is valid (default: {default})")
    keep_old_name(whats, "authority", "ca")
    show = whats.add_parser("show", help="show whose a certificate is and when it expires; exit code 1 if that is soon")
    show.add_argument("files", type=file_path, metavar="FILE", nargs="+")
    show.set_defaults(run=_show)


def _make_ca(options: argparse.Namespace) -> int:
    from aoii.security import authority

    made = authority.make_authority(options.dir, options.days or authority.AUTHORITY_DAYS)
    print(f"{made.certificate}  for every machine (MQTT_TLS_CA, MYSQL_TLS_CA); good until {_day(made.expires)}")
    print(f"{made.key}  keep this here: whoever has it can pose as any of your machines")
    return 0


def _make_server(options: argparse.Namespace) -> int:
    from aoii.security import authority

    made = authority.make_server(options.dir, options.name, options.hosts, options.days or authority.DAYS)
    print(f"{made.certificate}  for {', '.join(options.hosts)}; good until {_day(made.expires)}")
    print(f"{made.key}  its key, for the server's user alone")
    return 0


def _make_client(options: argparse.Namespace) -> int:
    from aoii.security import authority

    made = authority.make_client(options.dir, options.name, options.days or authority.DAYS)
    print(f"{made.certificate}  for the user {options.name} (MQTT_TLS_CERT); good until {_day(made.expires)}")
    print(f"{made.key}  its key (MQTT_TLS_KEY), for the station's user alone")
    return 0


def _show(options: argparse.Namespace) -> int:
    from aoii.security import authority

    is_near = False
    for file in options.files:
        for shown in authority.describe(file):
            days = (shown.expires - datetime.now(UTC)).days
            is_near = is_near or days < EARLY_CERTIFICATE_DAYS
            print(f"{file}")
            print(f"  subject      {shown.subject}")
            print(f"  signed by    {shown.issuer}")
            print(f"  purpose      {', '.join(shown.purposes) or 'not stated'}")
            if shown.hosts:
                print(f"  hosts        {', '.join(shown.hosts)}")
            left = f"{days} days left" if days >= 0 else "EXPIRED"
            print(f"  good         from {_day(shown.begins)} to {_day(shown.expires)} ({left})")
            print(f"  fingerprint  {shown.fingerprint}")
    return 1 if is_near else 0


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")
