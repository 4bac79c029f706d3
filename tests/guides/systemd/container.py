"""An empty Debian 12 that boots in a container, with a network of its own.

systemd-nspawn boots it, and slirp4netns connects it to the outside. Neither changes the network or the services of this
machine, and both end with this process. Only root may do this.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from servers import until

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
HAS_SYSTEMD = Path("/run/systemd/system").exists()  # whether this machine was booted by it
CGROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")  # version 2; version 1; both at once
NSPAWN = [
    "systemd-nspawn", "--quiet", "--boot", "--register=no", "--private-network", "--resolv-conf=off",
    "--link-journal=no", "--console=pipe", *([] if HAS_SYSTEMD else ["--keep-unit"]),
]  # fmt: skip
PIP_SETTING = re.compile(r"^(?:global|:env:)\.(index-url|proxy|trusted-host|cert)='(.*)'$", re.MULTILINE)
BOOT_S = 600.0
STOP_S = 180.0
RESOLVER = "10.0.2.3"  # of slirp4netns, which asks the one of this machine
# nspawn and slirp4netns are told to stop when this process ends, however that happens.
WITH_US = ("setpriv", "--pdeathsig", "TERM")
# debootstrap mounts /proc and /sys in the folder: they and its children end with it, whatever it is interrupted by.
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


class Container:
    """A root folder that boots.

    Args:
        root: The folder; `install` fills it.
        log: Gets what the container says on its console.
    """

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self._log = log
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._network: subprocess.Popen[bytes] | None = None
        self._cgroups: list[Path] = []

    def install(self) -> None:
        """Put a Debian into the folder with nothing but the essential, and this machine's way to packages."""
        mirror = os.environ.get("GUIDE_MIRROR") or _host_mirror() or MIRROR
        with self._log.open("ab") as log:
            subprocess.run([*ALONE, "debootstrap", RELEASE, str(self.root), mirror], stdout=log, stderr=log, check=True)
        _copy_package_settings(self.root)
        (self.root / "etc" / "hostname").write_text("empty\n")
        (self.root / "etc" / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 empty\n")

    def boot(self, *, online: bool = True) -> None:
        """Boot and wait until all services of the boot have started or failed."""
        with self._log.open("ab") as log:
            self._nspawn = subprocess.Popen(
                [*WITH_US, *self._in_cgroup(), *NSPAWN, f"--directory={self.root}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self._leader() is not None, BOOT_S, "the container has a first process")
        until(lambda: self.run("test -S /run/systemd/private").returncode == 0, BOOT_S, "its systemd answers")
        if online:
            self.connect()

    def connect(self) -> None:
        """Connect it to the outside, through a process of this user: nothing of this machine's network is changed."""
        self._network = subprocess.Popen(
            [*WITH_US, "slirp4netns", "--configure", "--disable-host-loopback", str(self._leader()), "tap0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: self.run("grep -q tap0 /proc/net/route").returncode == 0, BOOT_S, "the container has a network")

    def stop(self) -> None:
        """Shut it down, or end it if that takes too long."""
        leader = self._leader() if self._nspawn is not None and self._nspawn.poll() is None else None
        for process in (self._network, self._nspawn):
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                if leader is not None:
                    os.kill(leader, signal.SIGKILL)  # it outlives nspawn
                process.kill()
                process.wait()
        self._network = self._nspawn = None
        for cgroup in self._cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                os.rmdir(folder)  # noqa: PTH106 - what a cgroup holds besides folders goes with it

    def remove(self) -> None:
        """Stop it and delete its folder."""
        self.stop()
        if self.root.exists():  # never into something that is mounted there
            subprocess.run(["rm", "-rf", "--one-file-system", "--preserve-root=all", str(self.root)], check=True)

    def run(self, script: str, user: str = "root", timeout_s: float = 1800) -> subprocess.CompletedProcess[str]:
        """Run a script in it, as a login of the user would; standard error comes with the output."""
        leader = self._leader()
        assert leader is not None, f"the container has ended; see {self._log}"
        return subprocess.run(
            ["nsenter", "--target", str(leader), "--all", "--wd=/", "su", "--login", user, "-c", script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def ask(self, script: str) -> str:
        """What a script prints as root; it must succeed."""
        ran = self.run(script)
        assert ran.returncode == 0, f"{script}: {ran.stdout}"
        return ran.stdout.strip()

    def _in_cgroup(self) -> tuple[str, ...]:
        """What starts a command in a cgroup of its own, where no systemd does so; `stop` removes it."""
        if HAS_SYSTEMD:
            return ()
        hierarchies = [path for path in map(Path, CGROUPS) if (path / "cgroup.procs").exists()]
        self._cgroups = [path / f"aoii-guide-{os.getpid()}" for path in hierarchies]
        for path in self._cgroups:
            path.mkdir(exist_ok=True)
        moves = "".join(f"echo $$ > {path}/cgroup.procs && " for path in self._cgroups)
        return "sh", "-c", f'{moves} exec "$@"', "sh"

    def _leader(self) -> int | None:
        """The process id, on this machine, of the container's systemd."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, f"the container has ended; see {self._log}"
        pid = self._nspawn.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return next((int(child) for child in children if _name(child) == "systemd"), None)


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _host_mirror() -> str | None:
    """Where this machine gets the same release from, if it does."""
    for uri, codename in _host_sources():
        if codename == RELEASE:
            return uri
    return None


def _host_sources() -> list[list[str]]:
    """Address and code name of each of this machine's sources of Debian's packages."""
    fields = "$(ORIGIN) $(REPO_URI) $(CODENAME)"
    told = subprocess.run(["apt-get", "indextargets", "--format", fields], capture_output=True, text=True, check=False)
    lines = {line for line in told.stdout.splitlines() if line.startswith("Debian ")}
    return [line.split()[1:] for line in sorted(lines)]


def _copy_package_settings(root: Path) -> None:
    """Give it this machine's way to packages: a person behind a proxy needs the same."""
    sources = [f"deb {uri} {codename} main\n" for uri, codename in _host_sources() if codename.startswith(RELEASE)]
    if sources:
        (root / "etc/apt/sources.list").write_text("".join(sources))
    told = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False).stdout
    ours = [line for line in told.splitlines() if line.startswith(("Acquire::http", "Acquire::Check"))]
    (root / "etc/apt/apt.conf.d/90machine").write_text("\n".join([*ours, ""]))
    (root / "etc/resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    _copy_pip_settings(root)


def _copy_pip_settings(root: Path) -> None:
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    ours = dict(PIP_SETTING.findall(told.stdout))
    if "cert" in ours:
        shutil.copy(ours["cert"], root / "etc/machine-ca.crt")
        ours["cert"] = "/etc/machine-ca.crt"
    lines = ["[global]", *(f"{name} = {value}" for name, value in ours.items())]
    (root / "etc/pip.conf").write_text("\n".join([*lines, ""]))
