"""Settings: the one `.env` (or the environment) read once into frozen values, every fault reported at once.

Each setting is declared once, in `model.py`; `.env.example` and the reference page are made from that, and tests hold
them to it. Each station takes only its own part of `Settings`.
"""

from aoii.core.errors import Fault as Fault
from aoii.core.errors import SettingsError as SettingsError
from aoii.runtime.clock import Clock as Clock
from aoii.security.tls import Tls as Tls

from .catalogue import Section as Section
from .catalogue import Setting as Setting
from .kinds import LogSource as LogSource
from .kinds import StatusAddress as StatusAddress
from .model import BY_NAME as BY_NAME
from .model import CATALOGUE as CATALOGUE
from .model import Database as Database
from .model import Edge as Edge
from .model import Gateway as Gateway
from .model import Logs as Logs
from .model import Mqtt as Mqtt
from .model import Server as Server
from .model import Settings as Settings
from .model import Web as Web
from .pages import env_example as env_example
from .pages import reference_page as reference_page
from .reader import ENV_FILE as ENV_FILE
from .reader import load as load
