"""A whole encrypted installation with known secrets: a reading passes, everything goes wrong, and no secret is said.

What the stations write is read back whole: logs at debug level, metrics, health, the page's answers, the doctor, the
files of a data folder that are not the secrets' own.
"""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from gateway.station import OwnNode
from secure_broker import PASSWORD, SecureBroker
from servers import MariaDB, Server, free_port, pty_port, until

KEY = bytes.fromhex("5ec4e7b1a7e0f00d5ec4e7b1a7e0f00d")
OLD_KEY = bytes.fromhex("0dd5ec4e70dd5ec4e70dd5ec4e70dd5e")
SECRETS = {
    "MYSQL_PASSWORD": "db-Pa55word-of-this-test",
    "WEB_TOKEN": "page-T0ken-of-this-test",
    "wrong": "wr0ng-Pa55word-of-this-test",
}


class Station(Server):
    """A station as a child process; `port` is where it tells how it is."""

    def __init__(self, folder: Path, name: str, variable: str, **values: object) -> None:
        super().__init__(folder)
        self._name = name
        self._values = values | {variable: self.port, "LOG_LEVEL": "debug", "LOG_FORMAT": "json"}

    def command(self) -> list[str]:
        """The command line."""
        values = [f"{name}={value}" for name, value in self._values.items()]
        return ["env", *values, sys.executable, "-m", "aoii.cli", self._name]

    def said(self) -> str:
        """All that it wrote, and what its port says."""
        text = (self.folder / "server.log").read_text(errors="replace")
        for path in ("/metrics", "/healthz", "/readyz"):
            text += httpx2.get(f"http://127.0.0.1:{self.port}{path}", timeout=30).text
        return text


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SecureBroker]:
    with SecureBroker(tmp_path / "broker") as server:
        yield server


def everything_secret(broker: SecureBroker) -> dict[str, str]:
    """Every secret there is, in each form that a careless line could hold."""
    found = SECRETS | {"MQTT_PASSWORD": PASSWORD}
    for name, key in (("key", KEY), ("old key", OLD_KEY)):
        forms = {
            "hex": key.hex(),
            "HEX": key.hex().upper(),
            "base64": base64.b64encode(key).decode(),
            "repr": repr(key),
        }
        found |= {f"{name} as {form}": text for form, text in forms.items()}
    for file in broker.certs.glob("*.key"):
        found[file.name] = file.read_text().splitlines()[1]
    return found


def aoii(folder: Path, *words: str, **values: object) -> str:
    """What a command says."""
    environ = os.environ | {name: str(value) for name, value in values.items()}
    outcome = subprocess.run(
        [sys.executable, "-m", "aoii.cli", *words], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    return outcome.stdout + outcome.stderr


def test_no_secret_is_said_whatever_goes_wrong(tmp_path: Path, broker: SecureBroker, mariadb: MariaDB) -> None:
    schema, user = mariadb.new_schema(), f"u{free_port()}"
    mariadb.execute(
        f"CREATE USER {user}@'%' IDENTIFIED BY '{SECRETS['MYSQL_PASSWORD']}'", f"GRANT ALL ON {schema}.* TO {user}@'%'"
    )
    data, link = tmp_path / "data", tmp_path / "receiver"
    data.mkdir()
    node_keys.write_key_file(data / "node_keys", {7: NodeKey(2, KEY, NodeKey(1, OLD_KEY))})
    base = {
        "AOII_DATA_DIR": data, "GATEWAY_ID": "gateway", "SERIAL_PORT": link, "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": broker.password_port, "MQTT_TLS_CA": broker.certs / "ca.crt", "MQTT_PASSWORD": PASSWORD,
        "MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": mariadb.port, "MYSQL_USER": user, "MYSQL_DATABASE": schema,
        "MYSQL_PASSWORD": SECRETS["MYSQL_PASSWORD"], "WEB_TOKEN": SECRETS["WEB_TOKEN"], "INSERT_BASE_DELAY": "0.01",
        "INSERT_MAX_RETRIES": "1", "GATEWAY_STATUS_PORT": 0, "SERVER_STATUS_PORT": 0, "PORT": free_port(),
    }  # fmt: skip
    wrong = base | {"MQTT_USERNAME": "server", "MQTT_PASSWORD": SECRETS["wrong"], "MYSQL_PASSWORD": SECRETS["wrong"],
                    "AOII_DATA_DIR": tmp_path / "wrong"}  # fmt: skip
    said: dict[str, str] = {}
    with (
        pty_port(link) as far,
        Station(
            tmp_path / "gateway", "gateway", "GATEWAY_STATUS_PORT", **base | {"MQTT_USERNAME": "gateway"}
        ) as gateway,
        Station(tmp_path / "server", "server", "SERVER_STATUS_PORT", **base | {"MQTT_USERNAME": "server"}) as server,
        Station(tmp_path / "page", "web", "PORT", **base | {"MQTT_USERNAME": "web"}) as page,
        Station(tmp_path / "lost", "server", "SERVER_STATUS_PORT", **wrong) as lost,
    ):
        url = f"http://127.0.0.1:{page.port}"
        bearer = {"Authorization": f"Bearer {SECRETS['WEB_TOKEN']}"}
        # A reading passes, all the way and encrypted, so that what follows is about stations that do work.
        until(lambda: '"serial": true' in gateway.said(), what="the port")
        OwnNode(far, 7, 1, OLD_KEY).send(1, 1)
        OwnNode(far, 7, 2, KEY).send(1, 1)
        until(
            lambda: mariadb.execute(f"SELECT COUNT(*) FROM {schema}.readings") == [(2,)],  # noqa: S608 - ours
            60,
            what="two rows",
        )
        until(lambda: "aoii_outbox_events 0.0" in gateway.said(), 60, what="the commit acknowledgements")

        # Everything goes wrong.
        forged = OwnNode(far, 7, 2, OLD_KEY)
        forged.transmit(forged.frame(9, 9))
        os.write(far, b"Received: " + SECRETS["wrong"].encode()[:4] + b"\n")
        (data / "node_keys").write_text(f"7 2 {KEY.hex()}00\n")  # a bad line that holds a key
        forged.transmit(forged.frame(10, 10))
        for token in (SECRETS["wrong"], ""):
            said[f"page refusing {token!r}"] = httpx2.post(f"{url}/login", data={"token": token}, timeout=30).text
        refused = httpx2.get(f"{url}/api/stats", headers={"Authorization": f"Bearer {SECRETS['wrong']}"}, timeout=30)
        said["page refusing"] = refused.text + str(refused.headers)
        mariadb.execute(f"ALTER USER {user}@'%' IDENTIFIED BY 'another'")
        connections = mariadb.execute("SELECT id FROM information_schema.processlist WHERE user = %s" % f"'{user}'")  # noqa: S608, UP031
        mariadb.execute(*(f"KILL {number}" for (number,) in connections))
        until(lambda: "denied" in server.said() or "denied" in page.said(), 60, what="a refused login at the database")
        until(lambda: re.search(r"broker refuses us|database", lost.said()), 60, what="a station that is refused")
        said["doctor"] = aoii(tmp_path, "doctor", **base | {"MQTT_USERNAME": "server"})
        said["doctor refused"] = aoii(tmp_path, "doctor", **wrong)
        broker.kill()
        until(lambda: "broker connection ended" in gateway.said(), 60, what="the end of the broker")
        for path in ("/", "/api/stats", "/api/pipeline", "/api/nodes", "/metrics", "/healthz", "/readyz", "/nix"):
            answer = httpx2.get(f"{url}{path}", headers=bearer, timeout=60)
            said[f"page {path}"] = answer.text + str(answer.headers)
        for station in (gateway, server, page, lost):
            said[station.folder.name] = station.said()
        said["keys"] = aoii(tmp_path, "keys", "list", **base)
        said["settings"] = aoii(tmp_path, "server", **base | {"WEB_TOKEN_FILE": data / "node_keys", "MQTT_PORT": "x"})
        said["password without a user"] = aoii(tmp_path, "server", **base | {"MYSQL_HOST": ""})
    for station in (gateway, server, page, lost):
        said[f"{station.folder.name} at its end"] = (station.folder / "server.log").read_text(errors="replace")
    for file in [*data.rglob("*"), *(tmp_path / "wrong").rglob("*")]:
        if file.is_file() and file.name != "node_keys":
            said[str(file)] = file.read_bytes().decode("latin1")

    leaks = [
        (what, where) for what, secret in everything_secret(broker).items() for where in said if secret in said[where]
    ]

    assert leaks == []
    assert "node keys not usable" in said["gateway"]
    assert "Not authorized" in said["doctor refused"]
    assert "MQTT_PORT" in said["settings"]
