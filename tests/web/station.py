"""The real web station as a child process."""

import sys
from pathlib import Path

from servers import Server

PROGRAM = """
import sys
from aoii import settings
from aoii.runtime import logs
from aoii.web import app, station_poller
station_poller.POLL_INTERVAL_S = 0.5  # tests have no time
values = settings.load()
logs.configure("web", values.logs.level, as_json=values.logs.json)
sys.exit(app.run(values))
"""

STATUS_PORTS = ("GATEWAY_STATUS_PORT", "SERVER_STATUS_PORT", "CSV_STATUS_PORT", "EDGE_LOG_STATUS_PORT")


class WebStation(Server):
    """`aoii web` over the data folder `folder`/data; `values` are further settings."""

    def __init__(self, folder: Path, **values: object) -> None:
        super().__init__(folder)
        self.data_dir = folder / "data"
        self.data_dir.mkdir(exist_ok=True)
        self.values = {
            "AOII_DATA_DIR": self.data_dir,
            "PORT": self.port,
            "MQTT_BROKER": "127.0.0.1",
            **dict.fromkeys(STATUS_PORTS, 0),  # no station that runs on this machine is asked
            **values,
        }

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The command line."""
        return ["env", *(f"{name}={value}" for name, value in self.values.items()), sys.executable, "-c", PROGRAM]
