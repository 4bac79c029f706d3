"""A broker that knows each station, and a database with users of several rights, for the tests of `aoii setup`."""

import os
import subprocess
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.setup.place import PASSWORD, Answers
from secure_broker import DEPLOY
from servers import MariaDB, Mosquitto


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A Mosquitto with the shipped ACL and a password for each user, on 127.0.0.1 only."""
    folder = tmp_path_factory.mktemp("guarded")
    passwords = folder / "passwd"
    passwords.touch(mode=0o600)
    for user in ("gateway", "server", "web", "stranger"):
        subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, PASSWORD], check=True, capture_output=True)
    acl = folder / "acl"
    acl.write_bytes((DEPLOY / "acl").read_bytes())
    extra = f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}"
    with Mosquitto(folder, extra=extra) as broker:
        yield broker


@pytest.fixture
def schema(mariadb: MariaDB) -> str:
    """An empty schema, in which `maker` may do all and `reader` nothing; both have the password."""
    name = mariadb.new_schema()
    for user in ("maker", "reader"):
        mariadb.execute(f"CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY \"{PASSWORD}\"")
    mariadb.execute(f"GRANT ALL ON {name}.* TO 'maker'@'%'")
    return name


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[int]:
    """The radio's end of the serial port `receiver` in the test's folder; no program has the other end open."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    (tmp_path / "receiver").symlink_to(os.ttyname(theirs))
    os.close(theirs)
    yield ours
    os.close(ours)


@pytest.fixture
def answers(tmp_path: Path, guarded: Mosquitto, mariadb: MariaDB, schema: str, receiver: int) -> Answers:
    """Answers with which everything on one machine works."""
    return Answers.of_all(tmp_path / "receiver", guarded.port, mariadb.port, schema)
