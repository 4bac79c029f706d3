"""The drawings of the machines: every transition of a table is an arrow, and the page is what the source says."""

import importlib
import re
from pathlib import Path

import pytest

import state_diagrams
from state_diagrams import MACHINES, Machine, Rules, diagram

ROOT = Path(__file__).parents[2]

DOOR: Rules = {("shut", "push"): "ajar", ("ajar", "push"): "ajar", ("ajar", "pull"): ("shut", "lock_up")}


def test_a_table_becomes_one_arrow_for_each_transition_in_its_order() -> None:
    drawn = diagram(DOOR, "shut")

    assert drawn == (
        "stateDiagram-v2\n"
        '    state "shut" as in_shut\n'
        '    state "ajar" as in_ajar\n'
        "    [*] --> in_shut\n"
        "    in_shut --> in_ajar: push\n"
        "    in_ajar --> in_ajar: push\n"
        "    in_ajar --> in_shut: pull / lock up\n"
    )


def test_a_state_that_nothing_leads_to_is_not_drawn_but_refused() -> None:
    with pytest.raises(ValueError, match="no transition leads to lost"):
        diagram({**DOOR, ("lost", "push"): "lost"}, "shut")


@pytest.mark.parametrize("name", ["two words", "a: b", "Upper", ""])
def test_a_name_that_would_change_the_drawing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        diagram({("shut", name): "shut"}, "shut")


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.module)
def test_a_machine_is_drawn_whole(machine: Machine) -> None:
    rules = importlib.import_module(machine.module).RULES

    arrows = re.findall(r"^    in_\w+ --> in_\w+: .+$", diagram(rules, machine.initial), re.MULTILINE)

    assert len(arrows) == len(rules)


def test_every_state_event_and_action_of_the_page_has_a_meaning() -> None:
    rows = re.findall(r"^\| (.+?) \| (.*) \|$", state_diagrams.reference_page(), re.MULTILINE)

    assert rows
    assert [name for name, meaning in rows if not meaning] == []


def test_every_table_of_the_source_is_on_the_page() -> None:
    source = ROOT / "src"
    tables = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in source.rglob("*.py")
        if re.search(r"^RULES\b.*= \{$", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert tables == {machine.module for machine in MACHINES}


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "reference" / "state-machines.md").read_text(encoding="utf-8")

    assert written == state_diagrams.reference_page()
