"""A real Mosquitto with the shipped configuration: other ports, paths and users put in, nothing else changed."""

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aoii.security import authority
from aoii.security.tls import Tls
from aoii.settings import Mqtt
from servers import AS_ROOT, Mosquitto, free_port

DEPLOY = Path(__file__).parent.parent / "deploy" / "mosquitto"
PASSWORD = "correct-horse-battery"  # noqa: S105 - of a broker that lives for a test
USERS = ("gateway", "server", "web", "csv")


class SecureBroker(Mosquitto):
    """Listens for certificates on `port` and for passwords on `password_port`; its authority is in `certs`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.password_port = free_port()
        self.certs = folder / "certs"
        authority.make_authority(self.certs)
        authority.make_server(self.certs, "broker", ["localhost", "127.0.0.1"])
        for user in USERS:
            authority.make_client(self.certs, user)
        self.acl = folder / "acl"
        self.acl.write_bytes((DEPLOY / "acl").read_bytes())
        passwords = folder / "passwd"
        passwords.touch(mode=0o600)
        for user in USERS:
            subprocess.run(["mosquitto_passwd", "-b", str(passwords), user, PASSWORD], check=True, capture_output=True)

    def command(self) -> list[str]:
        """Write the shipped files with this place's ports and paths; the command that reads them."""
        started = super().command()
        text = (DEPLOY / "mosquitto.conf").read_text()
        places = {
            "listener 8883": f"listener {self.port} 127.0.0.1",
            "listener 8884": f"listener {self.password_port} 127.0.0.1",
            "/etc/mosquitto/aoii/acl": str(self.acl),
            "/etc/mosquitto/aoii/passwd": str(self.folder / "passwd"),
            "/etc/mosquitto/aoii/": f"{self.certs}/",
            "/var/lib/mosquitto/": f"{self.folder}/",
        }
        for shipped, here in places.items():
            assert shipped in text, shipped
            text = text.replace(shipped, here)
        assert not re.search(r"^[^#]*/(etc|var)/", text, re.MULTILINE)
        config = self.folder / "mosquitto.conf"
        config.write_text(("user root\n" if AS_ROOT else "") + text)
        return started

    def allow(self, acl: str) -> None:
        """Replace the ACL and restart, as the guides say: after a SIGHUP 2.0.11 can crash if a session is offline."""
        self.acl.write_text(acl)
        self.kill()
        self.start()

    def reached_by(self, user: str | None, host: str = "127.0.0.1", authority: Path | None = None) -> Mqtt:
        """Settings of a station that shows the certificate of `user`, or none."""
        cert, key = (None, None) if user is None else (self.certs / f"{user}.crt", self.certs / f"{user}.key")
        return Mqtt(host, self.port, None, None, tls=Tls(authority or self.certs / "ca.crt", cert, key, "MQTT_TLS"))

    def reached_with_password(self, user: str | None, password: str | None = PASSWORD) -> Mqtt:
        """Settings of a station that logs in as `user`, or not at all."""
        tls = Tls(self.certs / "ca.crt", None, None, "MQTT_TLS")
        return Mqtt("127.0.0.1", self.password_port, user, password if user else None, tls=tls)

    def log(self) -> str:
        """What it has written."""
        return (self.folder / "server.log").read_text(errors="replace")


def expired(folder: Path, name: str, *hosts: str) -> None:
    """Make a certificate that ended yesterday, of the authority in `folder`."""
    long_ago = datetime.now(UTC) - timedelta(days=3)
    if hosts:
        authority.make_server(folder, name, hosts, days=2, now=long_ago)
    else:
        authority.make_client(folder, name, days=2, now=long_ago)
