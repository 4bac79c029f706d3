"""The gateway's end of the radio link, as small as possible: what a gateway must do for both ends to agree."""

from aoii.core import frames
from aoii.core.forecast import Forecast
from aoii.core.frames import Ack, NodeSettings, Rejected

UNIX_S = 1_451_606_400  # the world's clock at its instant 0
WINDOW = 64  # frame numbers below the newest that may still arrive


class GatewayTwin:
    """Holds the forecast of one node's newest frame, keeps each reading once, answers authentic frames.

    Attributes:
        forecast: The forecast that it holds, on the world's clock.
        readings: Every accepted reading by its event counter, in order of acceptance.
        repeated: Number of frames that were accepted before.
    """

    def __init__(self, key: bytes, settings: NodeSettings, generation: int = 1, epoch: int = 1) -> None:
        self._key = key
        self._epoch = epoch
        self.settings = settings
        self.generation = generation
        self._told = {0: settings}  # what each generation means; 0: as provisioned
        self._newest = 0
        self._seen: set[int] = set()
        self.forecast: Forecast | None = None
        self.readings: dict[int, tuple[int, int]] = {}
        self.sampled_ms: dict[int, int] = {}
        self.repeated = 0

    def accept(self, data: bytes, now_ms: int) -> bytes | None:
        """Accept or reject one frame; return the answer."""
        uplink = frames.decode_uplink(data, lambda node: self._key)
        if isinstance(uplink, Rejected) or uplink.epoch != self._epoch or uplink.frame <= self._newest - WINDOW:
            return None
        if uplink.frame in self._seen:
            self.repeated += 1
        else:
            self._seen.add(uplink.frame)
            reading = (uplink.temperature_c, uplink.humidity_c)
            assert self.readings.setdefault(uplink.counter, reading) == reading, (
                "a counter came back with other content"
            )
            self.sampled_ms.setdefault(uplink.counter, now_ms - 1000 * uplink.age_s)
            if uplink.frame > self._newest:
                self._newest = uplink.frame
                if not uplink.flags & frames.BACKFILL:
                    told = self._told[uplink.generation]
                    self.forecast = Forecast(*reading, uplink.trend, told, now_ms - 1000 * uplink.age_s)
        self._told[self.generation] = self.settings
        ack = Ack(
            uplink.node,
            uplink.epoch,
            uplink.frame,
            UNIX_S + now_ms // 1000,
            now_ms % 1000,
            self.generation & 7,
            None if uplink.generation == self.generation else self.settings,
            0,
        )
        return frames.encode_ack(ack, self._key)
