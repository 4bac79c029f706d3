from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.runtime import switches
from aoii.runtime.switches import Switches

BOTH = Switches(frozenset({"broker", "node"}), frozenset({"node"}))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    switches.write(tmp_path / "switches.json", BOTH)

    assert switches.read(tmp_path / "switches.json") == BOTH
    assert [path.name for path in tmp_path.iterdir()] == ["switches.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"present": ["broker"]}', '{"present": ["moon"], "broken": []}', '{"present": 1, "broken": []}'],
)
def test_a_file_that_says_nothing_clear_breaks_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "switches.json").write_text(text)

    assert switches.read(tmp_path / "switches.json") == Switches()
    assert switches.read(tmp_path / "nowhere") == switches.read(None) == Switches()


def test_what_a_demo_does_not_have_is_not_broken(tmp_path: Path) -> None:
    (tmp_path / "switches.json").write_text('{"present": ["node"], "broken": ["node", "broker"]}')

    assert switches.read(tmp_path / "switches.json") == Switches(frozenset({"node"}), frozenset({"node"}))


def test_a_switch_is_turned_and_back() -> None:
    broken = switches.turned(BOTH, "broker", True)

    assert broken.broken == {"broker", "node"}
    assert switches.turned(broken, "node", False).broken == {"broker"}


@pytest.mark.parametrize(
    ("name", "is_broken", "said"),
    [
        ("clock", True, "broker, node"),
        (["broker"], True, "broker, node"),
        ("broker", 1, "broken"),
        ("broker", None, "broken"),
    ],
)
def test_what_is_no_switch_or_no_position_is_refused_with_what_to_send(
    name: object, is_broken: object, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        switches.turned(BOTH, name, is_broken)

    assert said in caught.value.remedy
