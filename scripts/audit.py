"""Asks OSV (osv.dev), the database behind pip-audit, whether a version in the locks has a known vulnerability.

Fails only on a known one. A service that cannot be asked is said loudly and fails nothing: a build without a network is
no worse code. One question with the names and versions of all locked packages, and nothing else, leaves this machine.
A vulnerability that does not concern us is accepted in requirements/accepted.txt: `ID reason`, one a line.
"""

import argparse
import json
import re
import sys
import threading
import urllib.request
from pathlib import Path

SERVICE = "https://api.osv.dev/v1/querybatch"
TIMEOUT_S = 10.0  # for everything: the name may not even resolve
LOCKED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")
ANSWER_LIMIT_BYTES = 8 * 1024 * 1024


class NotAskedError(Exception):
    """The service did not answer, or not in its language."""


def locked(folder: Path) -> list[tuple[str, str]]:
    """Name and version of every package in the locks, each once."""
    found = set()
    for lock in (folder / "run.txt", folder / "test.txt"):
        for line in lock.read_text(encoding="utf-8").splitlines():
            match = LOCKED.match(line)
            if match:
                found.add((match[1], match[2]))
    if not found:
        raise SystemExit(f"aoii: {folder}: no locked package was found; `make lock` writes them")
    return sorted(found)


def accepted(file: Path) -> dict[str, str]:
    """Vulnerabilities that somebody looked at, with the reason why they do not concern us."""
    ids = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else [], start=1):
        content = line.partition("#")[0].strip()
        if content:
            name, _, reason = content.partition(" ")
            if not reason.strip():
                raise SystemExit(f"aoii: {file}:{number}: {name} has no reason; write `ID reason`")
            ids[name] = reason.strip()
    return ids


def ask(url: str, packages: list[tuple[str, str]]) -> list[list[str]]:
    """The ids of the vulnerabilities of each package, in their order.

    Raises:
        NotAskedError: See there.
    """
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in packages]
    answers = _post(url, {"queries": queries}).get("results")
    if not isinstance(answers, list) or len(answers) != len(packages):
        raise NotAskedError("its answer is not about our packages")
    try:
        return [[str(one["id"]) for one in (answer or {}).get("vulns") or []] for answer in answers]
    except (AttributeError, KeyError, TypeError) as error:
        raise NotAskedError("its answer is in another form") from error


def _post(url: str, question: object) -> dict[str, object]:
    outcome: list[bytes | Exception] = []

    def work() -> None:
        try:
            request = urllib.request.Request(  # noqa: S310 - the address is ours or the developer's
                url, json.dumps(question).encode(), {"Content-Type": "application/json", "User-Agent": "aoii-audit"}
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                outcome.append(answer.read(ANSWER_LIMIT_BYTES))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(TIMEOUT_S)
    if not outcome:
        raise NotAskedError(f"no answer within {TIMEOUT_S:g} s")
    if isinstance(outcome[0], Exception):
        raise NotAskedError(str(outcome[0])) from outcome[0]
    try:
        answer = json.loads(outcome[0])
    except ValueError as error:
        raise NotAskedError("its answer is not JSON") from error
    if not isinstance(answer, dict):
        raise NotAskedError("its answer is in another form")
    return answer


def main(arguments: list[str] | None = None) -> int:
    """0 when nothing is known or nobody could be asked, 1 for a vulnerability that is not accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=SERVICE, help="another service that speaks like OSV (default: %(default)s)")
    parser.add_argument("--requirements", type=Path, default=Path(__file__).parent.parent / "requirements")
    options = parser.parse_args(arguments)
    packages = locked(options.requirements)
    known = accepted(options.requirements / "accepted.txt")
    try:
        found = ask(options.url, packages)
    except NotAskedError as error:
        print(f"aoii: {options.url} could not be asked ({error}): {len(packages)} locked packages were NOT audited")
        return 0
    bad = 0
    for (name, version), ids in zip(packages, found, strict=True):
        for one in ids:
            if one in known:
                print(f"aoii: {name} {version}: {one} is accepted ({known[one]})")
            else:
                bad += 1
                print(f"aoii: {name} {version} has a known vulnerability: https://osv.dev/vulnerability/{one}")
    if bad:
        print("aoii: take newer versions (`make lock ARGS=--upgrade`), or accept each with its reason in accepted.txt")
        return 1
    print(f"aoii: {len(packages)} locked packages, no vulnerability known that is not accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
