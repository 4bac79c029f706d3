"""The broker that `make run` starts: iotcore (rumqttd) as a child process, on loopback only.

It is for the demo and for first steps; an installation uses Mosquitto. Its queue is in memory, so it loses its messages
when it is killed; the gateway publishes them again from its outbox. Pitfalls that were measured: by default it listens
on every interface, only a TOML file gives it an MQTT 5 listener, and with small log segments it silently loses
acknowledged data.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import IO

PAYLOAD_LIMIT_BYTES = 20480
CONFIG = """\
id = 0

[router]
id = 0
max_connections = 200
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10

[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
    [v5.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = {limit}
    max_inflight_count = 500
    dynamic_filters = true
"""


def start(port: int, folder: Path, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start the broker on 127.0.0.1:`port`; it ends when its standard input closes, so it never outlives its parent.

    Args:
        port: A free TCP port.
        folder: Where its configuration is written.
        output: File for its output; None: our own standard output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "broker.toml"
    config.write_text(CONFIG.format(port=port, limit=PAYLOAD_LIMIT_BYTES), encoding="utf-8")
    options = json.dumps({"config_path": str(config)})
    return subprocess.Popen(
        [sys.executable, "-c", "from iotcore._serve import main; main()", options],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
