"""The story of docs/howto/install.md: its commands, with pipx, in an empty folder that has only the wheel."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from project.test_distribution import LOCK, ROOT, build
from servers import free_port

PAGE = ROOT / "docs" / "howto" / "install.md"
LIMIT_S = 120.0


def test_the_wheel_and_two_commands_show_the_whole_system_in_two_minutes(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    build(ROOT, empty, "wheel")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    locked = re.findall(r"^[\w.-]+==[^ ;\\]+", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    (tmp_path / "locked").write_text("\n".join(locked) + "\n")  # else this test would depend on what is newest today
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "AOII_"))
    }
    programs = [tmp_path / "bin", Path(sys.executable).parent]
    environ = kept | {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
        "PIP_CONSTRAINT": str(tmp_path / "locked"),
        "PORT": str(free_port()),
    }

    began_s = time.monotonic()
    done = subprocess.run(
        ["sh", "-ec", block], cwd=empty, env=environ, capture_output=True, text=True, check=False, timeout=500
    )
    took_s = time.monotonic() - began_s

    if "No matching distribution found for pip" in done.stderr:  # pipx brings its own
        pytest.skip("pipx cannot reach a registry")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "bin" / "aoii").exists()
    assert f"http://127.0.0.1:{environ['PORT']}" in done.stdout
    counts = dict(re.findall(r"(accepted|stored|missing|duplicates)\s+(\d[\d,]*)", done.stdout))
    assert int(counts["accepted"].replace(",", "")) > 0
    assert (counts["missing"], counts["duplicates"]) == ("0", "0")
    print(f"no hardware: {took_s:.0f} s, of {LIMIT_S:.0f}")
