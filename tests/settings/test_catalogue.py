"""Declarations: each setting is declared once, in one section, and without a value it has its default."""

from dataclasses import dataclass
from pathlib import Path

from aoii import settings
from aoii.settings import kinds
from aoii.settings.catalogue import Group, declarations, group, in_data_dir, secret, sections, setting
from aoii.settings.model import SECTIONS


def test_each_setting_belongs_to_one_section_and_has_a_meaning() -> None:
    names = [one.name for section in SECTIONS.values() for one in section]

    assert sorted(names) == sorted(settings.BY_NAME)
    assert all(one.help.endswith(".") for one in settings.BY_NAME.values())


def test_a_declared_dataclass_has_its_defaults_and_shows_no_secret() -> None:
    @dataclass(frozen=True)
    class Peer:
        port: int = setting("PEER_PORT", "80", kinds.whole(1, 65535), "Port.")
        key: str | None = secret("PEER_KEY", None, "Key.")
        file: Path = in_data_dir("peer.db", "PEER_FILE", "File.")
        note: str = "not a setting"

    assert Peer() == Peer(80, None, Path("data/peer.db"))
    assert "hunter2" not in repr(Peer(key="hunter2"))
    assert list(declarations(Peer)) == ["port", "key", "file"]


def test_a_group_without_a_title_belongs_to_the_section_around_it() -> None:
    @dataclass(frozen=True)
    class Inner:
        port: int = setting("INNER_PORT", "80", kinds.whole(1, 65535), "Port.")

    @dataclass(frozen=True)
    class Outer:
        inner: Inner = group(Inner)
        key: str | None = secret("OUTER_KEY", None, "Key.")

    ((title, section),) = sections(Group(Outer, declarations(Outer), "Outer")).items()

    assert title == "Outer"
    assert [one.name for one in section] == ["INNER_PORT", "OUTER_KEY", "OUTER_KEY_FILE"]
