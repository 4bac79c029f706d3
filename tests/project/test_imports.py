"""Who may import whom: the table of ARCHITECTURE.md, held against every import statement of the source.

A rule is a line of `PLACES`; the first pattern that fits a file counts. Imports for type checkers only do not count:
they do not happen. That a station's libraries are loaded only when it is asked for is tried in a process of its own.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "aoii"
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

BOARD = frozenset({"array", "binascii", "collections", "hashlib", "json", "math", "struct"})  # MicroPython has these
WIRED = frozenset({"gc", "os", "select", "sys", "time"})  # and these; only the wiring needs them
ACTING = """asyncio ctypes fcntl ftplib http io logging multiprocessing mmap os pathlib pty queue random secrets select
    selectors shutil signal smtplib socket socketserver sqlite3 ssl subprocess sys syslog tempfile termios threading
    time tty urllib uuid"""
PURE = frozenset(sys.stdlib_module_names) - frozenset(
    ACTING.split()
)  # no socket, file, clock, thread, log or chance of its own
ANY = frozenset(sys.stdlib_module_names)


@dataclass(frozen=True)
class Place:
    """What files that fit `pattern` may import: of ours (the part after `aoii.`), of libraries, of Python's own."""

    pattern: str
    ours: str = ""
    libraries: str = ""
    standard: frozenset[str] = ANY


PLACES = (
    # deciding code
    Place("core/interfaces.py", "core"),  # for type checkers only: no board ever imports it
    Place("core/*", "core", standard=BOARD),
    Place("edge/node.py", "core", standard=BOARD),
    Place("edge/sample_log.py", "core", standard=BOARD),
    Place("edge/receiver_bridge.py", "core", standard=BOARD),
    Place("broker/json_fields.py", "core", standard=PURE),
    Place("broker/messages.py", "core broker.json_fields broker.node_liveness", standard=PURE),
    Place("broker/node_liveness.py", "core broker.json_fields", standard=PURE),
    Place("broker/node_status.py", "core broker.json_fields broker.messages broker.node_liveness", standard=PURE),
    Place("broker/known_statuses.py", "broker.node_liveness broker.node_status", standard=PURE),
    Place("broker/newest_estimates.py", "broker.messages", standard=PURE),
    Place("broker/repair_messages.py", "core broker.json_fields broker.messages", standard=PURE),
    Place("broker/packet_size.py", "core", standard=PURE),
    Place("broker/probe_packets.py", standard=PURE),
    Place("broker/reconnection.py", "core runtime.health_limits", standard=PURE),
    Place("gateway/readings.py", "core broker.messages", standard=PURE),
    Place("gateway/suspicion.py", "core", standard=PURE),
    Place("gateway/liveness.py", "", standard=PURE),
    Place(
        "gateway/node_statuses.py",
        "broker.node_liveness broker.node_status gateway.liveness gateway.node_labels gateway.readings",
        standard=PURE,
    ),
    Place("gateway/numbers.py", standard=PURE),
    Place("gateway/node_state.py", "core broker.messages gateway.readings", standard=PURE),
    Place("gateway/node_labels.py", "core broker.messages", standard=PURE),
    Place("gateway/witness.py", "core", standard=PURE),
    Place(
        "gateway/legacy/old_node.py",
        "core broker.messages gateway.readings gateway.legacy.layers gateway.legacy.model runtime.numerals",
        standard=PURE,
    ),
    Place("gateway/legacy/layers.py", "core", standard=PURE),
    Place("gateway/legacy/mirror.py", "gateway.legacy.layers", standard=PURE),
    Place("gateway/legacy/sigmoid_mirror.py", "gateway.legacy.layers", standard=PURE),
    Place("gateway/legacy/model.py", "gateway.legacy", standard=PURE),
    Place("gateway/number_ranges.py", standard=PURE),
    Place("gateway/findings.py", "broker.repair_messages gateway.number_ranges", standard=PURE),
    Place(
        "gateway/air_asks.py",
        "core broker.repair_messages gateway.findings gateway.number_ranges",
        standard=PURE,
    ),
    Place(
        "gateway/repair.py",
        "broker.messages broker.repair_messages gateway.air_asks gateway.findings gateway.number_ranges "
        "gateway.numbers",
        standard=PURE,
    ),
    Place("gateway/in_flight.py", "core broker.messages gateway.readings", standard=PURE),
    Place("gateway/outbox.py", "core broker.messages gateway.in_flight gateway.readings", standard=PURE),
    Place("runtime/numerals.py", standard=PURE),
    Place("server/ingest.py", "core broker.messages", standard=PURE),
    Place("server/circuit_breaker.py", "core", standard=PURE),
    Place("server/local_time.py", standard=PURE),
    Place("server/rows.py", "server.local_time", standard=PURE),
    Place(
        "server/edge_log_line.py",
        "broker.json_fields broker.messages runtime.clock runtime.numerals server.rows",
        standard=PURE,
    ),
    Place("simulation/radio.py", "core settings.channel", standard=PURE),
    Place("simulation/agenda.py", standard=PURE),
    Place("runtime/metric_snapshot.py", "runtime.metrics", "prometheus_client", standard=PURE),
    Place("runtime/health_limits.py", standard=PURE),
    Place("runtime/time_to_full.py", standard=PURE),
    Place(
        "runtime/times_ahead.py",
        "runtime.health_limits runtime.metric_snapshot runtime.metrics",
        "prometheus_client",
        standard=PURE,
    ),
    Place("runtime/daily_writes.py", "runtime.metric_snapshot runtime.metrics", "prometheus_client", standard=PURE),
    Place("web/points.py", standard=PURE),
    Place("web/fleet_settings.py", "broker.messages runtime.health_limits", standard=PURE),
    Place("web/station_report.py", "runtime.metric_snapshot", "prometheus_client", standard=PURE),
    Place("web/node_health.py", "runtime.metrics web.station_report web.summary", standard=PURE),
    Place(
        "web/pipeline_health.py",
        "runtime.daily_writes runtime.health_limits runtime.metrics runtime.times_ahead web.station_report",
        "prometheus_client",
        standard=PURE,
    ),
    Place("web/estimate_accuracy.py", "core web.fleet_settings web.points", standard=PURE),
    Place(
        "web/summary.py", "core broker.node_liveness web.estimate_accuracy web.fleet_settings web.points", standard=PURE
    ),
    Place(
        "web/fleet.py",
        "broker.messages broker.node_liveness server.rows web.estimate_accuracy web.fleet_settings web.points "
        "web.summary",
        standard=PURE,
    ),
    Place(
        "web/page_json.py",
        "server.ledger web.estimate_accuracy web.fleet_settings web.pipeline_health web.points web.summary",
        standard=PURE,
    ),
    # drivers: one library each
    Place("broker/connection_report.py", "core runtime.failure_log settings security.tls"),
    Place("broker/network_loop.py", "broker.buffered_socket", "paho"),
    Place("broker/client.py", "core broker runtime.failure_log runtime.station settings security.tls", "paho"),
    Place("broker/embedded.py", "core", "iotcore"),
    Place("broker/publish_probe.py", "core broker.probe_packets security.tls settings"),
    Place("edge/drivers/board_interfaces.py", "core edge"),  # for type checkers only
    Place("edge/drivers/board.py", "core edge", "machine micropython framebuf", standard=BOARD | WIRED),
    Place("edge/drivers/board_*.py", "core edge", standard=BOARD),
    Place("edge/drivers/*", "core edge"),
    Place("gateway/drivers/serial_port.py", "core gateway runtime.failpoints runtime.serial_line runtime.station"),
    Place(
        "gateway/drivers/*",
        "core gateway broker.messages runtime.failpoints runtime.sqlite_pages runtime.sqlite_recovery runtime.station "
        "security.private_file",
    ),
    Place("server/connection.py", "server.database_errors settings security.tls", "sqlalchemy"),
    Place("server/tables.py", "server settings", "sqlalchemy"),
    Place("server/queries.py", "broker.messages server", "sqlalchemy"),
    Place("server/upsert.py", "", "sqlalchemy"),
    Place("server/gap.py", "", standard=PURE),
    Place("server/ranges.py", "", standard=PURE),
    Place("server/ledger.py", "server.gap server.ranges", standard=PURE),
    Place("server/look.py", "server.gap server.ledger server.ranges", standard=PURE),
    Place("server/unaccounted.py", "server.gap server.look server.ranges", standard=PURE),
    Place(
        "server/verdict.py",
        "broker.repair_messages server.gap server.ledger server.look server.ranges server.unaccounted",
        standard=PURE,
    ),
    Place("server/asked_gateway.py", "broker.repair_messages server.gap server.ranges", standard=PURE),
    Place("server/gap_changes.py", "server.gap server.look server.ranges server.verdict", standard=PURE),
    Place("server/audit_account.py", "server.gap server.look server.ranges server.verdict", standard=PURE),
    Place(
        "server/audit.py",
        "broker.repair_messages server.asked_gateway server.audit_account server.gap server.gap_changes server.look "
        "server.ranges server.unaccounted server.verdict",
        standard=PURE,
    ),
    Place("server/audit_facts.py", "broker.messages server", "sqlalchemy"),
    Place("server/ledger_facts.py", "broker.messages server", "sqlalchemy"),
    Place("server/gaps.py", "server", "sqlalchemy"),
    Place("server/retirement.py", "server", "sqlalchemy"),
    Place("server/gateway_reports.py", "broker.repair_messages server", "sqlalchemy"),
    Place("server/durability.py", "runtime.disks server settings", "sqlalchemy"),
    Place("server/audits.py", "server", "sqlalchemy"),
    Place("server/dump*.py", "core runtime.advice security.private_file server settings", "sqlalchemy"),
    Place("server/db.py", "broker.messages runtime server settings", "sqlalchemy"),
    Place("server/migrations/*", "server.migrations", "sqlalchemy alembic"),
    Place("server/dead_letters/file.py", "core broker.messages runtime.sqlite_recovery security.private_file"),
    Place("server/dead_letters/letters.py", "core broker.messages server.dead_letters.file runtime.sqlite_recovery"),
    Place("server/dead_letters/store.py", "broker.messages server.dead_letters runtime.sqlite_recovery"),
    Place("server/export.py", "core settings server", "pyarrow"),
    # stations
    Place("edge/*", "core edge"),
    Place("gateway/*", "core gateway broker runtime security settings"),
    Place("server/*", "core server broker runtime settings"),
    Place(
        "web/*",
        "core web server broker runtime settings security.tls",
        "starlette uvicorn sse_starlette anyio prometheus_client",
    ),
    Place("simulation/fleet.py", "core edge runtime security.node_keys settings simulation"),
    Place("simulation/network.py", "core edge security.node_keys settings simulation"),
    Place("simulation/receiver.py", "core edge security.node_keys"),
    Place("simulation/*", "core runtime.numerals simulation settings.channel"),
    Place("lab/*", "core edge lab simulation settings.channel", "numpy matplotlib sklearn rich"),
    # what stations share
    Place("security/*", "core security.private_file", "cryptography"),
    Place("runtime/*", "core runtime security.private_file security.tls", "prometheus_client"),
    Place("settings/channel.py", "core", standard=PURE | {"pathlib"}),  # a path is named there, never opened
    Place("settings/env_file.py", "settings", standard=PURE),
    Place("settings/unknown_keys.py", "", standard=PURE),
    Place("settings/env_edit.py", "settings.env_file", standard=PURE),
    Place("settings/migration.py", "settings", standard=PURE),
    Place("settings/regions.py", standard=PURE),
    Place("settings/*", "core runtime.clock runtime.numerals security.tls settings"),
    Place("broker/*", "core"),
    # the commands: may import everything, each lazily what it starts
    Place("commands/setup/questions.py", "settings.regions", standard=PURE),
    Place("commands/setup/answers.py", "commands.setup.questions settings", standard=PURE),
    Place("commands/setup/draft.py", "commands.setup.questions settings", standard=PURE),
    Place("commands/setup/cause_texts.py", standard=PURE),
    Place("commands/setup/texts.py", "commands.findings commands.setup", standard=PURE),
    Place("commands/demo_*.py", "core broker commands server settings security runtime simulation", "rich"),
    Place("commands/lab/*", "core lab runtime.advice settings simulation commands", "rich"),
    Place("commands/node_list.py", "core commands gateway runtime settings", "rich"),
    Place("commands/node_sticker.py", "core commands gateway", "segno"),
    Place("commands/*", "core broker commands edge gateway lab runtime security server settings simulation web"),
    Place("cli.py", "commands"),
    Place("__init__.py"),
)


FLOORS = (
    "core",
    "security",
    "runtime",
    "settings",
    "broker",
    "edge gateway server web simulation",
    "commands lab",
)  # from the ground up; on one floor the places above say who may look at whom


def place_of(file: str) -> Place:
    return next(place for place in PLACES if fnmatch(file, place.pattern))


def imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that the code imports, by its full name; `from a import b` is `a.b`."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="MYPY" | "TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                yield from (".".join([*above, *([module] if module else []), name.name]) for name in names)
            case _:
                yield from imports(node, package)


def is_under(module: str, parts: str) -> bool:
    return any(f"{module}.".startswith(f"{part}.") for part in parts.split())


def offences(file: str, text: str) -> list[str]:
    """The imports of a file that its place does not allow."""
    place = place_of(file)
    package = ".".join(["aoii", *Path(file).parent.parts])
    found = []
    for module in imports(ast.parse(text), package):
        top = module.partition(".")[0]
        if top == "aoii":
            allowed = module == "aoii.__version__" or is_under(module.removeprefix("aoii."), place.ours)
        elif top in sys.stdlib_module_names:
            allowed = top in place.standard or module == "collections.abc"
        else:
            allowed = is_under(module, place.libraries)
        if not allowed:
            found.append(f"{file} imports {module}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_its_place_allows(file: str) -> None:
    assert offences(file, (SOURCE / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("core/frames.py", "import time"),
        ("core/frames.py", "from aoii.settings import Settings"),
        ("core/frames.py", "from ..settings import Settings"),
        ("core/frames.py", "from dataclasses import dataclass"),
        ("edge/node.py", "import random"),
        ("gateway/node_state.py", "import sqlite3"),
        ("gateway/node_state.py", "from aoii.gateway.drivers import serial_port"),
        ("server/ingest.py", "def f():\n    import time"),
        ("gateway/gateway.py", "from aoii.server.db import Database"),
        ("gateway/gateway.py", "from aoii import server"),
        ("gateway/gateway.py", "import paho.mqtt.client"),
        ("server/mqtt_to_mysql.py", "import sqlalchemy"),
        ("server/mqtt_to_mysql.py", "from aoii.web import app"),
        ("web/app.py", "from aoii.gateway import gateway"),
        ("lab/replay.py", "from aoii.gateway import gateway"),
        ("settings/__init__.py", "from aoii.cli import main"),
        ("commands/main.py", "import rich"),
    ],
)
def test_an_import_that_breaks_a_rule_is_found(file: str, line: str) -> None:
    assert offences(file, line)


def test_an_import_for_type_checkers_only_is_no_import() -> None:
    assert offences("core/frames.py", "MYPY = False\nif MYPY:\n    from typing import Callable") == []


def test_the_command_line_loads_a_station_and_its_libraries_only_when_asked_for() -> None:
    heavy = "cryptography paho sqlalchemy alembic starlette uvicorn rich pyarrow numpy matplotlib sklearn"

    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, aoii.commands.main; aoii.commands.main.build_parser(); print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert not [name for name in loaded if is_under(name, heavy)]
    assert not [
        name
        for name in loaded
        if is_under(name, "aoii.gateway aoii.server aoii.web aoii.edge aoii.simulation")
        or is_under(name, "aoii.commands.demo_run aoii.commands.board_files aoii.commands.dlq_actions")
    ]


def graph() -> dict[str, set[str]]:
    """The modules of ours that each module imports, those for type checkers included."""
    names = {module_of(file): file for file in FILES}
    found: dict[str, set[str]] = {}
    for name, file in names.items():
        package = ".".join(["aoii", *Path(file).parent.parts])
        text = (SOURCE / file).read_text(encoding="utf-8").replace("if MYPY:", "if True:")
        tree = ast.parse(text.replace("if TYPE_CHECKING:", "if True:"))
        wanted = set(imports(tree, package))
        found[name] = {module if module in names else module.rpartition(".")[0] for module in wanted} & names.keys()
    return found


def module_of(file: str) -> str:
    return ".".join(["aoii", *Path(file).with_suffix("").parts]).removesuffix(".__init__")


def test_nothing_imports_from_a_floor_above_its_own() -> None:
    floor = {folder: number for number, folders in enumerate(FLOORS) for folder in folders.split()}

    upward = [
        f"{name} imports {wanted}"
        for name, all_wanted in graph().items()
        for wanted in all_wanted
        if name.count(".") > 1 and wanted.count(".") > 0 and floor[wanted.split(".")[1]] > floor[name.split(".")[1]]
    ]

    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = graph()

    while free := [name for name, wanted in left.items() if not wanted & left.keys() - {name}]:
        for name in free:
            del left[name]

    assert sorted(left) == []


def test_the_top_of_the_source_has_twelve_folders_and_nothing_loose() -> None:
    entries = [path for path in SOURCE.iterdir() if path.name != "__pycache__"]

    assert {path.name for path in entries if path.is_file()} == {"__init__.py", "py.typed", "cli.py"}
    assert sum(path.is_dir() for path in entries) <= 12


def test_the_page_names_every_pure_file() -> None:
    page = (SOURCE.parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    sentence = page.partition("The other pure files are ")[2].partition(".\n")[0]
    named = set()
    for station in sentence.split("; "):
        first, *others = [file.strip("`") for file in station.split(", ")]
        named |= {first} | {f"{first.partition('/')[0]}/{file}" for file in others}

    assert named == {place.pattern for place in PLACES if place.standard >= PURE and place.standard != ANY}
