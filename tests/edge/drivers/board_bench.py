"""A model of an ESP32 with the files of `aoii node flash` on it."""

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from aoii.commands import board_files as builder
from aoii.edge.drivers import board_flash
from aoii.security.node_keys import NodeKey
from parts import esp32, models


class Bench:
    """A board with its file set, and everything that a start of it needs."""

    def __init__(self, folder: Path, role: str, patch: pytest.MonkeyPatch, **change: object) -> None:
        self.key = bytes(range(16))
        options = builder.Options(folder / "out")
        if role == "node":
            builder.write_node(options, 7, NodeKey(1, self.key))
        else:
            builder.write_receiver(options)
        self.config: dict[str, Any] = json.loads((folder / "out" / "aoii.json").read_text()) | change
        self.path = folder / "aoii.json"
        self.path.write_text(json.dumps(self.config))
        self.clock = models.Clock(5000)
        self.sent: list[bytes] = []
        self.machine = esp32.Machine(self.clock, self.config["pins"], self.sent.append)
        patch.setitem(sys.modules, "machine", self.machine)
        self.program: Any = importlib.import_module("aoii.edge.drivers.board")
        self.modules = (self.program, board_flash)
        self.said: list[str] = []
        patch.setattr(self.program, "print", self.said.append, raising=False)
        self.errors: list[Exception] = []
        patch.setattr(self.program, "sys", types.SimpleNamespace(print_exception=self.errors.append))

    def start(self) -> None:
        """One start of the board, to its next sleep."""
        esp32.boot(self.machine, self.modules, str(self.path))
