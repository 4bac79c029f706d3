"""What all histories of a process have in common: the keys of the nodes, and the settings of the stations."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from aoii import settings
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.settings import Settings
from histories.field import PERIOD_S

NODES = 5
EPOCH = 1
KEYS = {number: NodeKey(EPOCH, bytes((number,)) * 16) for number in range(1, NODES + 1)}


@cache
def settings_of(name: str, rank: int) -> Settings:
    """The settings of a station; rank 0 is the first gateway."""
    folder = Path(mkdtemp(prefix="histories-"))
    node_keys.write_key_file(folder / "keys", KEYS)
    (folder / "empty.env").touch()
    return settings.load(
        {
            "AOII_DATA_DIR": str(folder),
            "GATEWAY_ID": name,
            "GATEWAY_RANK": str(rank),
            "RADIO_SPREADING": "9",
            "SERIAL_PORT": "radio",
            "MQTT_BROKER": "nowhere",
            "NODE_KEYS_FILE": str(folder / "keys"),
            "SAMPLE_PERIOD_S": str(PERIOD_S),
            "HEARTBEAT_S": "14400",
            "HEARTBEAT_MIN_S": "3600",
        },
        folder / "empty.env",
    )
