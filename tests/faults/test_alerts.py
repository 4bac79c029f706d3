"""The short form of the watched faults: with a real Prometheus and a real Alertmanager, one fault of each kind.

`make faults` tries all of them out.
"""

import re
from collections.abc import Iterator

import pytest
import yaml

from faults.alerts import FAULTS, SHORT, Watched, watched
from faults.watch import DEPLOY, shortened

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(tmp_path_factory.mktemp("alerts")) as watch:
        yield watch


@pytest.mark.parametrize("name", SHORT)
def test_a_fault_raises_its_alert_has_its_hop_named_and_clears(watch: Watched, name: str) -> None:
    watch.try_out(FAULTS[name])


def test_rules_in_a_hurry_are_the_shipped_ones_with_other_times() -> None:
    shipped = (DEPLOY / "prometheus/rules/alerts.yml").read_text()
    rules = [rule for group in yaml.safe_load(shortened(shipped))["groups"] for rule in group["rules"]]
    times = re.compile(r"\[\w+\]|\+ 120|> \d+|, \d+\)|\* 0")

    assert all(rule.get("for", "3s") == "3s" for rule in rules)
    assert not re.search(r"\[\d+[mhd]\]", shortened(shipped))
    assert [times.sub("", rule["expr"]) for rule in rules] == [
        times.sub("", rule["expr"]) for group in yaml.safe_load(shipped)["groups"] for rule in group["rules"]
    ]


def test_each_watched_fault_names_an_alert_that_is_shipped() -> None:
    shipped = re.findall(r"- alert: (\w+)", (DEPLOY / "prometheus/rules/alerts.yml").read_text())

    assert {fault.alert for fault in FAULTS.values()} <= set(shipped)
