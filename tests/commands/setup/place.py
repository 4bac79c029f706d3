"""Answers to `aoii setup`, as a file has them."""

import copy
import json
from pathlib import Path
from typing import Any

from commands.saved_machine import Run

PASSWORD = "pa #ss$word'"  # noqa: S105 - of servers that live for a test


class Answers:
    """A file of answers that a test changes: `answers["broker.server.password"] = "wrong"`."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree

    @classmethod
    def of_all(cls, port: Path, broker: int, database: int, schema: str) -> "Answers":
        """Everything on one machine, each station with a user of its own at the broker."""
        login = {"password": PASSWORD}
        at_database = {"user": "maker", "password": PASSWORD}
        return cls(
            {
                "language": "en",
                "role": "all",
                "region": "KR920",
                "gateway": {"serial_port": str(port)},
                "broker": {
                    "host": "127.0.0.1", "port": broker, "login": "password",
                    "gateway": dict(login), "server": dict(login), "web": dict(login),
                },
                "database": {
                    "kind": "mysql", "host": "127.0.0.1", "port": database, "name": schema,
                    "server": dict(at_database), "web": dict(at_database),
                },
            }
        )  # fmt: skip

    def __setitem__(self, key: str, value: object) -> None:
        *above, last = key.split(".")
        place = self.tree
        for word in above:
            place = place.setdefault(word, {})
        place[last] = value

    def __delitem__(self, key: str) -> None:
        *above, last = key.split(".")
        place = self.tree
        for word in above:
            place = place[word]
        del place[last]

    def copy(self) -> "Answers":
        return Answers(copy.deepcopy(self.tree))

    def write(self, name: str = "answers.json") -> Path:
        path = Path(name)
        path.write_text(json.dumps(self.tree))
        return path


def setup(run: Run, answers: Answers, *options: str) -> tuple[int, str, str]:
    """Run `aoii setup` with the answers; its exit code and what it printed."""
    return run("setup", "--yes", "--answers", answers.write(), *options)


def files() -> dict[str, str]:
    """The files of settings in the working directory."""
    return {path.name: path.read_text() for path in Path().glob(".env*")}
