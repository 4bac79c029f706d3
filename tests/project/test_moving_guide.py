"""The moving guide: the settings that it has its readers write, for two machines and in both languages."""

import re
from pathlib import Path

import pytest

from aoii import settings
from aoii.settings import Settings
from aoii.settings.faults import SettingsError

DOCS = Path(__file__).parent.parent.parent / "docs"
GUIDES = ("howto/move-from-the-older-installation.md", "ko/기존_설치에서_옮기기.md")
PI = ("SERIAL_PORT=/dev/ttyUSB0", "MQTT_BROKER=localhost", "MQTT_PORT=1883")
DATABASE = ("MYSQL_PORT=3306", "MYSQL_USER=root", "MYSQL_PASSWORD=", "MYSQL_DATABASE=aoii")
WORKSTATION = (*DATABASE, "MQTT_BROKER=192.168.0.7", "PORT=5001")


def blocks(guide: str, *languages: str) -> list[str]:
    """The blocks of these languages, in their order."""
    text = (DOCS / guide).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [
        re.sub(rf"^{indent}", "", content, flags=re.MULTILINE) for indent, name, content in found if name in languages
    ]


def load(folder: Path, *lines: str) -> Settings:
    (folder / ".env").write_text("\n".join(lines), encoding="utf-8")
    return settings.load({}, folder / ".env")


def test_both_languages_have_the_same_commands_and_settings() -> None:
    ours, theirs = (blocks(guide, "sh", "ini", "yaml") for guide in GUIDES)

    assert len(ours) > 10
    assert ours == theirs


def test_the_settings_of_each_machine_are_right_with_what_it_has(tmp_path: Path) -> None:
    database, pi, published, page = blocks(GUIDES[0], "ini")
    (weights,) = re.findall(r"^MIRROR_WEIGHTS=(.*)$", pi, re.MULTILINE)
    (tmp_path / "gateway.py").touch()
    pi = pi.replace(weights, str(tmp_path / "gateway.py"))

    workstation = load(tmp_path, *WORKSTATION, database, page)
    gateway = load(tmp_path, *PI, pi, published)

    assert weights.endswith("/gateway/gateway.py")  # where the older installation has them
    assert (workstation.database.host, workstation.mqtt.host) == ("127.0.0.1", "192.168.0.7")
    assert workstation.web.token is not None
    assert (gateway.database.host, gateway.gateway.gateway_id) == (None, "attic")
    assert gateway.gateway.mirror_weights == tmp_path / "gateway.py"
    assert gateway.gateway.outbox_keep_until == "published"
    assert gateway.warnings == gateway.notes == workstation.warnings == workstation.notes == ()


def test_the_lines_of_the_database_are_an_error_on_the_pi_and_without_their_host(tmp_path: Path) -> None:
    for lines in ((*PI, *DATABASE), WORKSTATION):
        with pytest.raises(SettingsError, match="MYSQL_HOST"):
            load(tmp_path, *lines)
