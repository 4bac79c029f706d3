"""`aoii certs` and `aoii keys`: what stations, servers and nodes prove themselves with, made and looked at.

It prints where a secret is and never the secret itself.
"""

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from aoii import settings
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey

NEAR_DAYS = 30  # the alert comes at 21


def configure_certs(parser: argparse.ArgumentParser) -> None:
    """Describe `aoii certs`."""
    parser.add_argument(
        "--dir", type=Path, default=Path("certs"), metavar="DIR", help="where the authority is (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    authority = commands.add_parser("authority", help="make an authority: DIR/ca.crt, and DIR/ca.key, which stays here")
    authority.add_argument("--days", type=_days, metavar="N", help="how long it is good (default: ten years)")
    authority.set_defaults(run=_authority)
    server = commands.add_parser("server", help="make the certificate of a broker, a database or a web page")
    server.add_argument("name", metavar="NAME", help="name of its files")
    server.add_argument("hosts", metavar="HOST", nargs="+", help="names and addresses under which it is reached")
    client = commands.add_parser("client", help="make the certificate of a station")
    client.add_argument("name", metavar="NAME", help="its user name at the broker; for a gateway its GATEWAY_ID")
    for command, run in ((server, _server), (client, _client)):
        command.add_argument("--days", type=_days, metavar="N", help="how long it is good (default: two years)")
        command.set_defaults(run=run)
    show = commands.add_parser("show", help="say whose a certificate is and until when; exit code 1 when that is near")
    show.add_argument("files", type=Path, metavar="FILE", nargs="+")
    show.set_defaults(run=_show)


def configure_keys(parser: argparse.ArgumentParser) -> None:
    """Describe `aoii keys`."""
    commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    commands.add_parser("list", help="nodes and their epochs, and whose old key still stands").set_defaults(run=_list)
    add = commands.add_parser("add", help="make a key for a new node")
    add.add_argument(
        "--epoch",
        type=_number,
        default=1,
        metavar="N",
        help="for a number that was used before: one more than its last (default: %(default)s)",
    )
    rotate = commands.add_parser("rotate", help="make a new key and epoch; the old key is believed until it is used")
    settle = commands.add_parser("settle", help="forget the old key of a node that was rotated")
    retire = commands.add_parser("retire", help="forget a node: it is believed no more")
    for command, run in ((add, _add), (rotate, _rotate), (settle, _settle), (retire, _retire)):
        command.add_argument("node", type=_number, metavar="NODE", help="number of the node")
        command.set_defaults(run=run)


def _days(text: str) -> int:
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 36500:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 1 to 36500")


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 65535")


def _authority(options: argparse.Namespace) -> int:
    from aoii.security import authority

    made = authority.make_authority(options.dir, options.days or authority.AUTHORITY_DAYS)
    print(f"{made.certificate}  for every machine (MQTT_TLS_CA, MYSQL_TLS_CA); good until {_day(made.expires)}")
    print(f"{made.key}  keep this here: whoever has it can be any of your machines")
    return 0


def _server(options: argparse.Namespace) -> int:
    from aoii.security import authority

    made = authority.make_server(options.dir, options.name, options.hosts, options.days or authority.DAYS)
    print(f"{made.certificate}  for {', '.join(options.hosts)}; good until {_day(made.expires)}")
    print(f"{made.key}  its key, for the server's user alone")
    return 0


def _client(options: argparse.Namespace) -> int:
    from aoii.security import authority

    made = authority.make_client(options.dir, options.name, options.days or authority.DAYS)
    print(f"{made.certificate}  for the user {options.name} (MQTT_TLS_CERT); good until {_day(made.expires)}")
    print(f"{made.key}  its key (MQTT_TLS_KEY), for the station's user alone")
    return 0


def _show(options: argparse.Namespace) -> int:
    from aoii.security import authority

    near = False
    for file in options.files:
        for shown in authority.describe(file):
            days = (shown.expires - datetime.now(UTC)).days
            near = near or days < NEAR_DAYS
            print(f"{file}")
            print(f"  subject      {shown.subject}")
            print(f"  signed by    {shown.issuer}")
            print(f"  purpose      {', '.join(shown.purposes) or 'not said'}")
            if shown.hosts:
                print(f"  hosts        {', '.join(shown.hosts)}")
            left = f"{days} days left" if days >= 0 else "EXPIRED"
            print(f"  good         from {_day(shown.begins)} to {_day(shown.expires)} ({left})")
            print(f"  fingerprint  {shown.fingerprint}")
    return 1 if near else 0


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def _file(options: argparse.Namespace) -> tuple[Path, dict[int, NodeKey]]:
    path = settings.load(env_file=options.env_file).gateway.node_keys_file
    return path, node_keys.read_key_file(path) if path.exists() else {}


def _list(options: argparse.Namespace) -> int:
    path, keys = _file(options)
    print(f"{len(keys)} {'node' if len(keys) == 1 else 'nodes'} in {path}")
    for node in sorted(keys):
        old = keys[node].previous
        note = f"   the old key, epoch {old.epoch}, is good until the node uses the new one" if old else ""
        print(f"  node {node:<5} epoch {keys[node].epoch}{note}")
    return 0


def _changed(
    options: argparse.Namespace, change: Callable[[Mapping[int, NodeKey]], dict[int, NodeKey]]
) -> tuple[Path, dict[int, NodeKey]]:
    path, before = _file(options)
    node_keys.write_key_file(path, change(before))
    return path, before


def _add(options: argparse.Namespace) -> int:
    path, _ = _changed(options, lambda keys: node_keys.add(keys, options.node, options.epoch))
    print(f"node {options.node} has a key, epoch {options.epoch}, in {path}; running gateways read it by themselves")
    return 0


def _rotate(options: argparse.Namespace) -> int:
    path, before = _changed(options, lambda keys: node_keys.rotate(keys, options.node))
    print(f"node {options.node} has a new key, epoch {before[options.node].epoch + 1}, in {path}")
    print("provision the node with it; until the gateway hears it with the new key, the old one is believed too")
    print(f"then forget the old key: aoii keys settle {options.node}")
    return 0


def _settle(options: argparse.Namespace) -> int:
    path, _ = _changed(options, lambda keys: node_keys.finish_rotation(keys, options.node))
    print(f"the old key of node {options.node} is gone from {path}")
    return 0


def _retire(options: argparse.Namespace) -> int:
    path, before = _changed(options, lambda keys: node_keys.retire(keys, options.node))
    last = before[options.node].epoch
    print(f"node {options.node} is gone from {path}; running gateways refuse it from now on")
    if last < node_keys.EPOCH_LIMIT:
        print(f"to use the number again: aoii keys add {options.node} --epoch {last + 1}")
    return 0
