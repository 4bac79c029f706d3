"""What a campaign's results are worth: how many trials, which promise was broken, and the bound that follows.

Source of the bound: with no failure in n independent trials the failure rate is below 3/n with 95 % confidence (the
rule of three; J. A. Hanley, A. Lippman-Hand, JAMA 249(13), 1983).
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from faults.machines import MACHINE_CONTROLS
from faults.trial import NEVER, Result

ENOUGH = 100  # trials after which a campaign that has seen no duplicate delivery has not tried hard enough
SUMS = ("accepted", "stored", *NEVER, "known_lost", "collisions", "asked", "lost_corrupt", "duplicate_deliveries")
COLLISIONS = 5  # a control in which gateways collide does so at one reading in five at least
MOVES = {name: control.figure for name, control in MACHINE_CONTROLS.items()}


def bites(control: Result) -> bool:
    """Whether a control has moved the figure that it must; one without a figure of its own has lost or doubled."""
    moved = _moved(control)
    if "collisions" in moved:  # a busy first gateway sometimes answers as late as its witness
        return COLLISIONS * moved["collisions"] > control.accepted
    return any(moved.values())


def _moved(control: Result) -> dict[str, int]:
    moves = [MOVES[control.scenario]] if control.scenario in MOVES else ["missing", "duplicates"]
    return {figure: getattr(control, figure) for figure in moves}


def summary(results: list[Result], controls: Iterable[Result], skipped: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the end report says, ready for JSON."""
    by_name: dict[str, list[Result]] = {}
    for result in results:
        by_name.setdefault(result.scenario, []).append(result)
    return {
        "trials": len(results),
        "commits": sorted({result.commit for result in results}),
        "scenarios": {name: _of_scenario(trials) for name, trials in by_name.items()},
        "sums": _sums(results),
        "rss_max_mb": max((result.rss_max_mb for result in results), default=0.0),
        "controls": {control.scenario: {"figures": _moved(control), "bites": bites(control)} for control in controls},
        "skipped": dict(skipped),
    }


def _sums(results: list[Result]) -> dict[str, int]:
    return {name: sum(getattr(result, name) for result in results) for name in SUMS}


def _of_scenario(trials: list[Result]) -> dict[str, Any]:
    broken = [result for result in trials if result.violations]
    drains = [result.drain_s for result in trials if result.drain_s is not None]
    fresh = [result.fresh_s for result in trials if result.fresh_s is not None]
    return {
        "n": len(trials),
        "broken": [{"seed": result.seed, "violations": list(result.violations)} for result in broken],
        "failure_rate_below": None if broken else round(min(1.0, 3 / len(trials)), 4),
        **_sums(trials),
        "drain_s_max": max(drains, default=None),
        "fresh_s_max": max(fresh, default=None),
        "details": sorted({result.detail for result in trials if "/s)" in result.detail}),
    }


def is_good(found: Mapping[str, Any]) -> bool:
    """Whether every promise was kept, every control bit, and the campaign saw what it had to see."""
    kept = not any(scenario["broken"] for scenario in found["scenarios"].values())
    bitten = all(control["bites"] for control in found["controls"].values())
    return kept and bitten and not _has_seen_too_little(found)


def _has_seen_too_little(found: Mapping[str, Any]) -> bool:
    return bool(found["trials"] >= ENOUGH and not found["sums"]["duplicate_deliveries"])


def text(found: Mapping[str, Any]) -> str:
    """The end report, for a person."""
    lines = ["", f"{'scenario':28} {'n':>5} {'accepted':>9} {'missing':>8} {'twice':>6} {'drain s':>8}  failure rate"]
    for name, scenario in found["scenarios"].items():
        bound = scenario["failure_rate_below"]
        verdict = f"{len(scenario['broken'])} broken" if bound is None else f"below {bound:.2%} (3/n, 95 %)"
        drain = "-" if scenario["drain_s_max"] is None else f"{scenario['drain_s_max']:.1f}"
        lines.append(
            f"{name:28} {scenario['n']:5} {scenario['accepted']:9} {scenario['missing']:8} {scenario['duplicates']:6} "
            f"{drain:>8}  {verdict}"
        )
        lines += [f"    {detail}" for detail in scenario["details"]]
        lines += [f"    seed {one['seed']}: {'; '.join(one['violations'])}" for one in scenario["broken"]]
    for name, control in found["controls"].items():
        said = "as it must" if control["bites"] else "FOUND NOTHING, so the campaign proves nothing"
        values = ", ".join(f"{value} {figure}" for figure, value in control["figures"].items())
        lines.append(f"control {name}: {values}: {said}")
    lines += [f"skipped {name}: {reason}" for name, reason in found["skipped"].items()]
    sums = found["sums"]
    lines.append(
        f"{found['trials']} trials, {sums['accepted']} readings accepted, {sums['missing']} missing, "
        f"{sums['duplicates']} twice, {sums['spurious']} never sent, {sums['corrupt']} corrupt, "
        f"{sums['single']} with a single copy, {sums['false_void']} falsely void, {sums['unbalanced']} unbalanced, "
        f"{sums['duplicate_deliveries']} duplicate deliveries recognised"
    )
    if _has_seen_too_little(found):
        lines.append("NO DUPLICATE DELIVERY SEEN: this campaign did not try what it claims to have tried")
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where it ran."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory_bytes / 2**30, 1),
        "os": platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform()),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "mosquitto": _version("mosquitto", "-h"),
        "mariadb": _version("mariadbd", "--version"),
        "paho-mqtt": metadata.version("paho-mqtt"),
        "pymysql": metadata.version("pymysql"),
    }


def _version(program: str, option: str) -> str:
    path = shutil.which(program) or f"/usr/sbin/{program}"
    said = subprocess.run([path, option], check=False, capture_output=True, text=True)
    return (said.stdout or said.stderr).partition("\n")[0].strip()
