"""Findings: reported once, remembered for a day, and bounded whatever is asked."""

from aoii.broker.repair_messages import Finding
from aoii.gateway.findings import KEPT_MS, LIMIT, Findings, NodeEpoch

NODE = NodeEpoch("7", 2)
OTHER = NodeEpoch("8", 2)


def test_a_finding_is_taken_once_and_remembered() -> None:
    findings = Findings()
    findings.put(NODE, [Finding(1, 5, "absent")], 0)
    assert findings.unreported == 1

    assert findings.take(is_all=False) == {NODE: (Finding(1, 5, "absent"),)}
    assert findings.take(is_all=False) == {}
    assert findings.unreported == 0
    assert findings.take(is_all=True) == {NODE: (Finding(1, 5, "absent"),)}


def test_a_later_finding_replaces_an_earlier_one_and_only_it_is_new() -> None:
    findings = Findings()
    findings.put(NODE, [Finding(1, 5, "absent")], 0)
    findings.take(is_all=False)

    findings.put(NODE, [Finding(3, 3, "void")], 0)

    assert findings.take(is_all=False) == {NODE: (Finding(3, 3, "void"),)}
    assert findings.within(NODE, 2, 9) == [Finding(2, 2, "absent"), Finding(3, 3, "void"), Finding(4, 5, "absent")]


def test_a_number_that_is_here_has_no_finding_any_more() -> None:
    findings = Findings()
    findings.put(NODE, [Finding(1, 3, "absent")], 0)

    findings.cut(NODE, 2, 2)
    findings.cut(OTHER, 2, 2)

    assert findings.take(is_all=True) == {NODE: (Finding(1, 1, "absent"), Finding(3, 3, "absent"))}
    findings.cut(NODE, 0, 9)
    assert len(findings) == 0


def test_findings_are_forgotten_a_day_after_the_last_one_of_their_node() -> None:
    findings = Findings()
    findings.put(NODE, [Finding(1, 1, "absent")], 0)
    findings.put(OTHER, [Finding(1, 1, "absent")], 0)
    findings.put(NODE, [Finding(5, 5, "void")], KEPT_MS - 1)

    findings.put(NODE, [Finding(7, 7, "void")], KEPT_MS)

    assert set(findings.take(is_all=True)) == {NODE}
    assert len(findings) == 3


def test_of_too_many_nodes_those_untouched_for_longest_are_forgotten() -> None:
    findings = Findings()

    for number in range(2 * LIMIT):
        findings.put(NodeEpoch(f"forged {number}", 0), [Finding(0, 2**63 - 1, "absent")], 0)

    assert len(findings) == LIMIT
    assert NodeEpoch(f"forged {2 * LIMIT - 1}", 0) in findings.take(is_all=True)


def test_of_too_many_findings_of_one_node_those_that_were_reported_go_first() -> None:
    """Or those of the lowest numbers never reach the server, which asks for them again and again."""
    findings = Findings()
    findings.put(NODE, [Finding(2 * one, 2 * one, "absent") for one in range(LIMIT, 2 * LIMIT)], 0)
    findings.take(is_all=False)

    lowest = [Finding(2 * one, 2 * one, "absent") for one in range(LIMIT)]
    findings.put(NODE, lowest, 0)

    assert findings.take(is_all=False) == {NODE: tuple(lowest)}


def test_of_too_many_findings_of_one_node_the_highest_numbers_stay() -> None:
    findings = Findings()

    findings.put(NODE, [Finding(2 * one, 2 * one, "absent") for one in range(3 * LIMIT)], 0)

    assert len(findings) == LIMIT
    assert findings.within(NODE, 6 * LIMIT - 2, 6 * LIMIT) == [Finding(6 * LIMIT - 2, 6 * LIMIT - 2, "absent")]
