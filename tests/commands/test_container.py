"""Which station a container runs, read from the command line of its first process."""

from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import container, stations


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["/opt/aoii/bin/python", "/opt/aoii/bin/aoii", "gateway"], ("gateway", None)),
        (["/sbin/docker-init", "--", "aoii", "server"], ("server", None)),
        (["aoii", "--env-file", "/etc/aoii.env", "csv"], ("csv", Path("/etc/aoii.env"))),
        (["aoii", "--env-file=/etc/aoii.env", "web"], ("web", Path("/etc/aoii.env"))),
        (["aoii", "demo", "--headless"], None),
        (["aoii"], None),
        (["/sbin/init"], None),
        ([""], None),
    ],
)
def test_the_first_process_tells_the_station(
    words: list[str], found: tuple[str, Path | None] | None, tmp_path: Path
) -> None:
    file = tmp_path / "cmdline"
    file.write_text("".join(f"{word}\0" for word in words))

    assert container.started(file) == found


def test_a_machine_without_proc_is_no_container(tmp_path: Path) -> None:
    assert container.started(tmp_path / "cmdline") is None


def test_every_station_has_an_address_that_answers_for_it() -> None:
    values = settings.load({}, None)

    found = {name: container.status_address(values, name) for name in settings.STATIONS}

    assert set(settings.STATIONS) == {name for name, *_ in stations.STATIONS}
    assert len({port for _, port, _ in found.values()}) == len(found)
    assert {host for host, *_ in found.values()} == {"127.0.0.1"}
