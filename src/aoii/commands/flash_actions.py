"""What `aoii node flash` and `aoii receiver flash` do: write files into a folder or onto a board, and compare."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aoii.commands import board_files, board_flash, board_port
from aoii.commands.board_flash import OnBoard
from aoii.commands.flash_options import Target
from aoii.commands.progress import Progress
from aoii.core.errors import InputError

WriteFiles = Callable[[board_files.Options], None]
"""Writes the files of one board into the folder that the options name."""


def check(target: Target, board: board_files.Options) -> Target:
    """Check everything that can be checked before keys or boards are changed; the target, with its port chosen.

    Raises:
        InputError: An option is not usable, a tool is missing, or a file or folder is not what it should be.
        UnavailableError: There is no port, or it cannot be opened.
    """
    if target.out is not None and (target.port is not None or target.firmware is not None):
        raise InputError("--out writes into a folder, and --port and --firmware a board", "give one or the other")
    if target.out is None:
        board_flash.require_tools(with_firmware=target.firmware is not None)
    if target.firmware is not None:
        board_flash.check_firmware(target.firmware)
    with _folder(target) as folder:
        board_files.check(replace(board, out=folder))
    if target.out is None:
        target = replace(target, port=board_port.chosen(target.port))
        with board_port.opened(str(target.port)):
            pass
    return target


def flash(
    target: Target,
    board: board_files.Options,
    write_files: WriteFiles,
    check_board: Callable[[OnBoard], None],
    written: Callable[[], None],
) -> None:
    """Write the files, read them back, and start the board.

    Args:
        target: Where they go, as `check` returns it.
        board: What the board is; the folder in it is not used.
        write_files: Makes them.
        check_board: Called with what is on the board; raises if that must not be replaced.
        written: Called when the files are in the folder, or on the board and not started yet.

    Raises:
        InputError: Something cannot be used; nothing is changed.
        UnavailableError: A port, a board or a file does not work; the board runs nothing until this has been repeated.
    """
    if target.out is not None:
        write_files(replace(board, out=target.out))
        written()
        print(f"The files are in {target.out}. Copy them to the board, with its serial port for PORT:")
        print("\n".join(f"  {command}" for command in board_files.copy_commands(target.out)))
        return
    port = str(target.port)
    with _folder(target) as folder:
        write_files(replace(board, out=folder))
        if target.firmware is not None:
            check_board(OnBoard(None, None, None, has_counters=False))
            print(f"erasing the board at {port} and writing {target.firmware}: about a minute", flush=True)
            board_flash.write_firmware(port, target.firmware)
        with board_flash.attached(port, lambda text: print(text, flush=True)) as attached:
            if target.firmware is None:
                check_board(attached.look())
            with Progress("files written") as progress:
                count = attached.write(folder, progress.add)
            written()
            attached.reset()
    print(f"{count} files are on the board at {port}, read back and compared; it has started.")


@contextmanager
def _folder(target: Target) -> Iterator[Path]:
    """The folder for the files: the given one, or one that only this user can read, and that is gone afterwards."""
    if target.out is not None:
        yield target.out
        return
    with tempfile.TemporaryDirectory(prefix="aoii-board-") as folder:
        yield Path(folder)
