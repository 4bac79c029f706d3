"""What a demo tells its stations about an installation's TLS: nothing, when the broker is its own."""

from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import demo
from aoii.settings.channel import ChannelModel
from aoii.simulation import recordings


@pytest.mark.parametrize(("broker", "is_kept"), [({}, False), ({"MQTT_BROKER": "broker.example"}, True)])
def test_the_demos_own_broker_is_reached_without_tls(tmp_path: Path, broker: dict[str, str], is_kept: bool) -> None:
    (tmp_path / "ca.crt").touch()
    environ = broker | {"MQTT_TLS_CA": str(tmp_path / "ca.crt")}
    options = demo.Options(None, 120, 1, ChannelModel(), None, 1, True, None, 0, 0)

    stage = demo._ProcessGroup(settings.load(environ), options, tmp_path, 1.0, recordings.parse()[0], None)
    told = settings.load(environ | stage._environment)

    assert (told.mqtt.tls is not None) == is_kept
