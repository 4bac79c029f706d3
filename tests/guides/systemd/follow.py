"""Follows the guide for systemd on an empty Debian 12 that boots: `make systemd-guide`.

The commands are those of the page, in its order, typed by a user who may use sudo. Then the installation is tried
(`checks.py`). Takes about ten minutes, most of them for packages.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.guide import Step, steps
from guides.systemd.checks import CHECKS, Installation, check_readings_arrive
from guides.systemd.container import Container

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "howto" / "deploy-with-systemd.md"
USER = "person"
# Goes on where the step before stopped, and says which line of the page fails.
SHELL = """set -eE -o pipefail
trap 'echo "{page}:$((LINENO - {offset})) fails: $BASH_COMMAND"' ERR
[ ! -e ~/.walk ] || . ~/.walk
{commands}{{ export -p; umask -p; printf 'cd %q\\n' "$PWD"; }} > ~/.walk
"""
LINES_BEFORE = 3
RECEIVER = """[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 /srv/receiver.py
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""


def say(text: str) -> None:
    print(f"systemd-guide: {text}", flush=True)


def prepare(container: Container) -> None:
    """What Debian's installer does for the first user, and what stands for the project's address and the receiver."""
    container.ask("apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq sudo")
    container.ask(f"useradd --create-home --shell /bin/bash --groups sudo {USER}")
    root = container.root
    (root / "etc/sudoers.d/person").write_text(
        f'{USER} ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults env_keep += "DEBIAN_FRONTEND SUDO_EDITOR"\n'
    )
    # Nobody answers questions of packages, and the shipped files need no change: the receiver is where they expect it.
    (root / "etc/profile.d/unattended.sh").write_text("export DEBIAN_FRONTEND=noninteractive SUDO_EDITOR=true\n")
    subprocess.run(["git", "clone", "--quiet", "--bare", str(ROOT), str(root / "srv/aoii")], check=True)
    (root / "etc/gitconfig").write_text('[url "file:///srv/aoii"]\n\tinsteadOf = https://github.com/aoii/aoii\n')
    (root / "etc/gitconfig").open("a").write("[safe]\n\tdirectory = *\n")
    shutil.copy(Path(__file__).parent / "receiver.py", root / "srv/receiver.py")
    (root / "etc/systemd/system/receiver.service").write_text(RECEIVER)
    container.ask("systemctl enable --now receiver 2>&1")


def follow(container: Container, walk: list[Step]) -> None:
    """Type every block of commands."""
    for step in walk:
        say(f"{GUIDE.name}:{step.line}: {step.section}")
        _type(container, step)


def _type(container: Container, step: Step) -> None:
    script = SHELL.format(page=GUIDE.name, offset=LINES_BEFORE - step.line + 1, commands=step.commands)
    (container.root / "home" / USER / "step").write_text(script)
    ran = container.run("bash step", USER)
    if ran.returncode:
        raise SystemExit(f"systemd-guide: {step.section} failed\n{ran.stdout[-6000:]}")


def _update(installation: Installation) -> None:
    before = installation.processes()
    follow(installation.container, steps(GUIDE, "Update"))
    installation.wait_restart(before)
    check_readings_arrive(installation)


def main() -> int:
    if os.geteuid() != 0:
        raise SystemExit("systemd-guide: only root can boot a container; run it with sudo")
    if subprocess.run(["git", "-C", str(ROOT), "status", "--porcelain"], capture_output=True, check=True).stdout:
        say("this tree has changes that are not committed; the last commit is what is tried")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("systemd-guide: interrupted"))  # nothing is left behind then either
    with tempfile.TemporaryDirectory(prefix="aoii-guide-", dir=os.environ.get("GUIDE_DIR")) as folder:
        container = Container(Path(folder) / "root", Path(folder) / "console.log")
        try:
            say("installs an empty Debian")
            container.install()
            container.boot()
            prepare(container)
            follow(container, steps(GUIDE))
            installation = Installation(container)
            for check in CHECKS:
                say(str(check.__doc__).splitlines()[0])
                check(installation)
            container.connect()  # the last checks were without a network
            _update(installation)
            follow(container, steps(GUIDE, "Back to an older version"))
            _update(installation)  # which brings the tables forward again
        finally:
            container.remove()
    say("everything is as the guide says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
