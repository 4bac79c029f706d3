"""Settings: `.env`, a station's own file and the environment, read once into frozen values, all faults together.

Each setting is declared once, in `model.py`. `.env.example` and the reference page are generated from that, and a test
fails if they are not up to date. Each station takes only its own part of `Settings`.
"""

from .catalogue import Setting as Setting
from .kinds import LogSource as LogSource
from .kinds import NodeThresholds as NodeThresholds
from .kinds import StatusAddress as StatusAddress
from .model import BY_NAME as BY_NAME
from .model import CsvFormatName as CsvFormatName
from .model import Database as Database
from .model import Edge as Edge
from .model import Gateway as Gateway
from .model import Mqtt as Mqtt
from .model import Settings as Settings
from .model import Web as Web
from .reader import ENV_FILE as ENV_FILE
from .reader import STATIONS as STATIONS
from .reader import load as load
from .reader import station_file as station_file
