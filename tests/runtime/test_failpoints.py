"""A place where a station can be told to die, and does, there and nowhere else."""

import os
import signal
import subprocess
import sys

import pytest

THRICE = """
from aoii.runtime import failpoints
for number in range(3):
    print(number, flush=True)
    failpoints.reach("before_publish")
    failpoints.reach("after_publish")
"""


def passing(failpoint: str | None) -> tuple[int, str]:
    """Exit code and output of a process that passes two places three times."""
    environment = {name: value for name, value in os.environ.items() if name != "AOII_FAILPOINT"}
    if failpoint is not None:
        environment["AOII_FAILPOINT"] = failpoint
    done = subprocess.run([sys.executable, "-c", THRICE], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, "".join(done.stdout.split())


@pytest.mark.parametrize("failpoint", [None, "", "before_delete", "publish"])
def test_a_process_that_is_not_told_to_die_here_passes(failpoint: str | None) -> None:
    assert passing(failpoint) == (0, "012")


@pytest.mark.parametrize(
    ("failpoint", "passed"), [("before_publish", "0"), ("before_publish:2", "01"), ("after_publish:3", "012")]
)
def test_a_process_dies_where_and_when_it_was_told_to(failpoint: str, passed: str) -> None:
    assert passing(failpoint) == (-signal.SIGKILL, passed)
