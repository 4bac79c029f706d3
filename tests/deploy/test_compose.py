"""The Compose file and its image, as far as that goes without a container engine.

The file fits the Compose specification, what it mounts is there, and what it says about ports, settings and secrets
agrees with the settings, the broker's configuration and the probes. What the image copies makes the whole program.
"""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from aoii import settings
from aoii.commands import main, stations

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "compose"
STACK: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
STATIONS = [name for name, *_ in stations.STATIONS if name != "edge"]  # simulated nodes are in no installation
OTHERS = ["alertmanager", "grafana", "mariadb", "mosquitto", "prometheus"]
OWN = ("./data/", "./secrets/", "/dev")  # what an installation brings along


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Host path, or name of a volume, and place in the container."""
    return [(text.split(":")[0], text.split(":")[1]) for text in service.get("volumes", [])]


def dockerfile(word: str) -> list[list[str]]:
    """The arguments of every line of the Dockerfile that begins with a word."""
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    return [line.split()[1:] for line in lines if line.startswith(word + " ")]


def test_the_file_fits_the_compose_specification() -> None:
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema, which brings the specification along")

    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
        cwd=FOLDER, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert checked.returncode == 0, checked.stdout


def test_the_compose_of_debian_takes_the_file(tmp_path: Path) -> None:
    """1.29 in Debian 12; it refuses what the specification has got since, such as a name at the top.

    A machine with Docker's own packages has a newer one, as a command of `docker`.
    """
    compose = shutil.which("docker-compose")
    for name in ("compose.yaml", "make-readers.sh"):
        shutil.copy(FOLDER / name, tmp_path)
    shutil.copy(FOLDER / "settings.example", tmp_path / "settings.env")
    (tmp_path / ".env").write_text((FOLDER / "env.example").read_text().replace("PASSWORD=", "PASSWORD=secret"))

    profiles = "--profile", "csv", "--profile", "edgelog"  # Compose 2 lists no service of another one
    taken = subprocess.run(
        [*([compose] if compose else ["docker", "compose"]), *profiles, "config", "--services"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert taken.returncode == 0, taken.stderr
    assert set(taken.stdout.split()) == set(SERVICES)


def test_the_guide_writes_what_the_example_has() -> None:
    guide = (ROOT / "docs" / "howto" / "deploy-with-compose.md").read_text()
    written = guide.partition("cat > .env <<END\n")[2].partition("END\n")[0]

    assert re.findall(r"^(\w+)=", written, re.MULTILINE) == re.findall(
        r"^(\w+)=", (FOLDER / "env.example").read_text(), re.MULTILINE
    )


def test_every_station_and_everything_around_it_is_a_service() -> None:
    assert sorted(SERVICES) == sorted([*STATIONS, *OTHERS])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_mounted_is_there_and_is_only_read(name: str) -> None:
    for source, place in mounts(SERVICES[name]):
        if source.startswith("../"):
            assert (FOLDER / source).exists(), source
            assert f"{source}:{place}:ro" in SERVICES[name]["volumes"]
        else:
            assert source.startswith(OWN) or source in STACK["volumes"] or (FOLDER / source).exists(), source


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_secret_that_is_named_is_one_and_goes_to_nobody_else(name: str) -> None:
    named = [one if isinstance(one, str) else one["source"] for one in SERVICES[name].get("secrets", [])]
    used = set(re.findall(r"/run/secrets/([\w.-]+)", str(SERVICES[name]["environment"] if name in STATIONS else "")))

    assert set(named) <= set(STACK["secrets"])
    assert not used - set(named)
    if name in STATIONS:
        assert set(named) == used


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_has_few_rights_and_its_log_an_end(name: str) -> None:
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["restart"] == "unless-stopped"
    if name in STATIONS:
        assert "healthcheck" not in service  # the image has one for all of them
    else:
        assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("station", STATIONS)
def test_a_station_is_started_with_settings_that_exist(station: str) -> None:
    service = SERVICES[station]

    assert main.build_parser().parse_args(service["command"]).command == station
    assert set(service["environment"]) <= set(settings.BY_NAME)
    assert int(service["stop_grace_period"].removesuffix("s")) > 10


def test_the_examples_hold_settings_and_what_the_file_asks_for() -> None:
    assert settings.load({}, FOLDER / "settings.example").warnings == ()
    asked = set(re.findall(r"\$\{(\w+)", (FOLDER / "compose.yaml").read_text())) | {"COMPOSE_PROJECT_NAME"}
    given = set(re.findall(r"^(\w+)=", (FOLDER / "env.example").read_text(), re.MULTILINE))
    assert asked == given


def test_the_broker_listens_where_stations_look_and_reads_what_is_mounted() -> None:
    config = (ROOT / "deploy" / "mosquitto" / "mosquitto.conf").read_text()
    broker = SERVICES["mosquitto"]
    there = {place for _, place in mounts(broker)} | {secret["target"] for secret in broker["secrets"]}
    kept = broker["tmpfs"][0].split(":")[0]

    for station in STATIONS:
        port = SERVICES[station]["environment"].get("MQTT_PORT")
        assert port is None or f"\nlistener {port}\n" in config
    assert set(re.findall(r"^\w*file (\S+)", config, re.MULTILINE)) <= there
    assert re.findall(r"^persistence_location (\S+)", config, re.MULTILINE) == [f"{kept}/"]
    assert broker["command"][-1] in there


def test_the_monitoring_finds_each_other_and_what_is_provisioned() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "aoii.yaml").read_text())["datasources"]
    (boards,) = yaml.safe_load((provisioning / "dashboards" / "aoii.yaml").read_text())["providers"]
    asked = {source["url"].removeprefix("http://") for source in sources}
    grafana = SERVICES["grafana"]
    told = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["alerting"]

    assert asked == {"127.0.0.1:9090", f"127.0.0.1:{settings.BY_NAME['MYSQL_PORT'].default}"}
    assert "--web.listen-address=127.0.0.1:9090" in SERVICES["prometheus"]["command"]
    assert told["alertmanagers"][0]["static_configs"][0]["targets"] == ["127.0.0.1:9093"]
    assert "--web.listen-address=127.0.0.1:9093" in SERVICES["alertmanager"]["command"]
    assert boards["options"]["path"] in {place for _, place in mounts(grafana)}
    for source in sources:
        for secret in source.get("secureJsonData", {}).values():
            assert secret.removeprefix("$") in grafana["environment"]
        if source["type"] == "mysql":
            assert f"{source['user']}@127.0.0.1" in (FOLDER / "make-readers.sh").read_text()


def test_the_image_runs_as_nobody_in_particular_and_is_built_from_what_is_there() -> None:
    sources = [source for *words, _ in dockerfile("COPY") if not words[0].startswith("--") for source in words]

    assert dockerfile("USER")[-1] == ["1000:1000"]
    assert dockerfile("ENTRYPOINT") == [['["aoii"]']]
    assert all((ROOT / source).exists() for source in sources)
    sent = (ROOT / ".dockerignore").read_text().splitlines()  # of the folder's name: old builders know no other
    assert all(f"!{source}" in sent for source in sources)


def test_the_image_asks_the_station_that_it_runs_whether_it_is_well() -> None:
    """tests/commands/test_health.py tries the command itself."""
    options, _, command_text = " ".join(dockerfile("HEALTHCHECK")[-1]).partition("CMD ")
    command = json.loads(command_text)

    assert command == ["aoii", "health"]
    assert main.build_parser().parse_args(command[1:]).station is None
    assert "--start-period=60s" in options


def test_what_the_image_copies_makes_the_whole_program(tmp_path: Path) -> None:
    for *sources, _ in dockerfile("COPY"):
        for source in (source for source in sources if not source.startswith(("--", "/"))):
            copied = tmp_path / "build" / source
            copied.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, copied, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, copied)

    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index",
         f"--wheel-dir={tmp_path}", str(tmp_path / "build")],
        check=True,
    )  # fmt: skip

    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        made = {name for name in files.namelist() if name.startswith("aoii/")}
    tree = tmp_path / "build" / "src"
    systemd = tmp_path / "build" / "deploy" / "systemd"  # of which the package has what `aoii setup` installs
    installed = {f"aoii/systemd/{path.relative_to(systemd)}" for path in systemd.glob("*.d/*") if path.is_file()}
    installed |= {f"aoii/systemd/{path.relative_to(systemd)}" for path in systemd.glob("system/**/*") if path.is_file()}
    assert made == {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()} | installed
