"""The sensor node without its sensor and its radio: compares each reading with what the gateway believes, and speaks.

The same source runs on the board and in the simulation. It refuses to wait, to read a clock and to touch hardware: the
caller samples every `settings.period_s`, sends what it is given, hands in what the radio heard, and calls `due` when
`deadline_ms` has come.

Which forecast the gateway holds while a packet is not acknowledged, and what the node makes of it:
docs/explanation/link.md.
"""

import struct
from binascii import crc32
from collections import namedtuple

from ..core import packed_fields, trigger
from ..core.forecast import HOLD, Forecast, Trend, steps_between
from ..core.frames import BACKFILL, EVENT, HEARTBEAT, LOW_BATTERY, SENSOR_FAULT, NodeSettings
from ..core.link import FORECAST_BYTES, TIMING, Item, Link, MonotonicClock, Send, Timing, dump_forecast, load_forecast

MYPY = False
if MYPY:
    from ..core.interfaces import IsBusy, Predictor, Random, Store

DAY_MS = 86_400_000
FAULT_SAMPLES = 3  # one failed measurement is common on I2C and not worth a packet
LOW_BATTERY_MV = 3400  # a LiPo cell has about a tenth left, and the ESP32's regulator begins to drop out
NO_NUMBER = 1_000_000  # hundredths that are in no sensor's range

FORMAT = 1  # of a dump
_HEAD = "<BHH"
_FORM = "<qqhHIBH"
_NAMES = (
    "_learned_ms",
    "_reading_ms",
    "_reading_t_c",
    "_reading_h_c",
    "_failed",
    "_fault_told",
    "battery_mv",
)


class Sampled(
    namedtuple(
        "Sampled",
        ("temperature_c", "humidity_c", "estimate_t_c", "estimate_h_c", "error_t_c", "error_h_c", "status"),
    )
):
    """What one sample was, for the log line; hundredths.

    Attributes:
        temperature_c, humidity_c: The reading. estimate_t_c, estimate_h_c: What the gateway believed before, as far
        as acknowledged; the reading before any was. error_t_c, error_h_c: Reading minus estimate. status: `SKIP`,
        `SEND & TRAIN` or `HEARTBEAT`; a retransmission is no status.
    """

    __slots__ = ()
    temperature_c: int
    humidity_c: int
    estimate_t_c: int
    estimate_h_c: int
    error_t_c: int
    error_h_c: int
    status: str


class Node:
    """One node.

    Args:
        number, epoch, key: Who it is, from provisioning.
        settings: Thresholds, period and heartbeat from provisioning; the gateway may change them.
        predictor: Learns from every sample and makes the trends.
        store: Where numbers and backlog survive.
        random: For jitter.
        timing: Patience and duty cycle of the link.
        limits: What the sensor can measure.
        is_busy: Whether somebody is on the air; needed where `timing.listens`.

    Attributes:
        link: The radio link, with the settings in force.
        forecast: What the gateway holds by the last acknowledgement, on the node's tick; None before the first.
        sampled: What the last sample was; None when the sensor gave none.
        fault: What is wrong with the sensor, empty when nothing is.
        battery_mv: Set by the driver; 0: not measured.
    """

    def __init__(
        self,
        number: int,
        epoch: int,
        key: bytes,
        settings: NodeSettings,
        predictor: "Predictor",
        store: "Store",
        random: "Random",
        timing: Timing = TIMING,
        limits: trigger.Limits = trigger.AHT20,
        is_busy: "IsBusy | None" = None,
    ) -> None:
        self.link = Link(number, epoch, key, settings, store, random, timing, is_busy)
        self.forecast: Forecast | None = None
        self.sampled: Sampled | None = None
        self.fault = trigger.OK
        self.battery_mv = 0
        self._predictor = predictor
        self._identity = (FORMAT, number, epoch)
        self._trigger = trigger.Trigger()
        self._sensor = trigger.Sensor(limits)
        self._tick = MonotonicClock()
        self._reading_ms: int | None = None  # when the last one was taken
        self._reading_t_c = self._reading_h_c = 0
        self._learned_ms: int | None = None  # when the predictor saw its last sample
        self._failed = 0  # samples without a reading in a row
        self._fault_told = False

    @property
    def settings(self) -> NodeSettings:
        """Settings in force; the caller samples every `period_s`."""
        return self.link.settings

    @property
    def is_acknowledged(self) -> bool:
        """Whether both ends are known to hold the same forecast: nothing that would change it is unacknowledged."""
        return self.link.offered is None

    def sample(self, now_ms: int, temperature: float | None, humidity: float | None) -> list[Send]:
        """Take one sample and decide; the packets to send now.

        Args:
            now_ms: Milliseconds since the node started; may wrap at 2**32.
            temperature: °C, None when the sensor did not answer.
            humidity: %RH, likewise.
        """
        now_ms = self._tick.unwrapped(now_ms)
        temperature_c, humidity_c = _hundredths(temperature), _hundredths(humidity)
        self.fault = self._sensor.judge(temperature_c, humidity_c)
        if temperature_c is None or humidity_c is None or self.fault == trigger.RANGE:
            self._failed += 1
            self.sampled = None
            self._without_reading(now_ms)
        else:
            self._failed = 0
            self._fault_told = False
            self._reading_ms, self._reading_t_c, self._reading_h_c = now_ms, temperature_c, humidity_c
            self.sampled = self._judge(temperature_c, humidity_c, now_ms)
        return self.link.due(now_ms)

    def receive(self, data: bytes, now_ms: int) -> list[Send]:
        """Take what the radio heard, any bytes; the packets to send now."""
        now_ms = self._tick.unwrapped(now_ms)
        before = self.link.settings
        settled = self.link.receive(data, now_ms)
        if isinstance(settled, Item):
            if settled.kind != BACKFILL:
                self.forecast = settled.forecast
                self._trigger.acknowledge()
            after = self.link.settings
            if (before.beta_t_c, before.beta_h_c) != (after.beta_t_c, after.beta_h_c):
                self._predictor.retune(after.beta_t_c, after.beta_h_c)
        return self.link.due(now_ms)

    def deadline_ms(self) -> int | None:
        """When `due` has something to do, on the node's tick without its wraps; None: not before other news."""
        return self.link.deadline_ms()

    def due(self, now_ms: int) -> list[Send]:
        """Let the timers run; the packets to send now, none when it is too early."""
        return self.link.due(self._tick.unwrapped(now_ms))

    def unix_ms(self, now_ms: int) -> int | None:
        """Unix time at this tick, None while the gateway has not told it."""
        return self.link.clock.unix_ms(self._tick.unwrapped(now_ms))

    def dump(self) -> bytes:
        """Everything but the predictor and what lies in the store, always as many bytes: for a deep sleep.

        Remove it before it is loaded: a node that is started from it twice repeats itself, and is not answered.
        """
        body = (
            struct.pack(_HEAD, *self._identity)
            + self._tick.dump()
            + packed_fields.dump(self, _FORM, _NAMES)
            + self._trigger.dump()
            + self._sensor.dump()
            + dump_forecast(self.forecast)
            + self.link.dump()
        )
        return body + struct.pack("<I", crc32(body))

    def load(self, state: bytes) -> bool:
        """Go on from a `dump`, as if there had been no sleep, before anything else is asked of this node.

        Returns:
            False, and nothing changed, when it is none of this node, is damaged, or was made before numbers were
            reserved that the store knows: then the power was away, and the node begins anew.
        """
        head = struct.calcsize(_HEAD)
        if len(state) != len(self.dump()) or struct.pack("<I", crc32(state[:-4])) != state[-4:]:
            return False
        if struct.unpack(_HEAD, state[:head]) != self._identity:
            return False
        if not self.link.fits(state, len(state) - 4 - len(self.link.dump())):
            return False
        at = self._tick.load(state, head)
        at = packed_fields.load(self, _FORM, _NAMES, state, at)
        at = self._trigger.load(state, at)
        at = self._sensor.load(state, at)
        self.forecast = load_forecast(state, at)
        self.link.load(state, at + FORECAST_BYTES)
        return True

    def _judge(self, temperature_c: int, humidity_c: int, now_ms: int) -> Sampled:
        """Learn from a reading, decide, and submit what is to be said."""
        settings = self.link.settings
        if self.fault == trigger.OK:
            self._learn(temperature_c, humidity_c, now_ms)
        forecast, offered = self.forecast, self.link.offered
        believed = (temperature_c, humidity_c) if forecast is None else self._evaluated(forecast, now_ms)
        wrong = trigger.is_wrong(temperature_c, humidity_c, believed, settings)
        basis = believed  # what the error is measured against that the predictor is told
        if offered is not None:
            # The gateway may hold either. What waits is sent until it is acknowledged; only where it is wrong itself, a
            # newer packet is needed. That the older forecast has come right again changes nothing.
            basis = self._evaluated(offered, now_ms)
            offered_wrong = trigger.is_wrong(temperature_c, humidity_c, basis, settings)
            status = self._trigger.decide(wrong, offered_wrong, False, settings.tau)
            if not offered_wrong:
                status = trigger.SKIP
        elif forecast is None:
            status = trigger.EVENT
        else:
            status = self._trigger.decide(wrong, False, self._is_heartbeat_due(now_ms), settings.tau)
        error_t_c, error_h_c = temperature_c - believed[0], humidity_c - believed[1]
        if status == trigger.EVENT:
            trend = self._trend(temperature_c - basis[0], humidity_c - basis[1])
            self._submit(EVENT, temperature_c, humidity_c, trend, now_ms, now_ms)
        elif status == trigger.HEARTBEAT:
            self._submit(HEARTBEAT, temperature_c, humidity_c, self._trend(0, 0), now_ms, now_ms)
        return Sampled(temperature_c, humidity_c, believed[0], believed[1], error_t_c, error_h_c, status)

    def _evaluated(self, forecast: Forecast, now_ms: int) -> tuple[int, int]:
        """The estimate that the gateway makes of a forecast now; it counts true time, not our tick."""
        return forecast.at(forecast.sampled_ms + self.link.clock.elapsed_from_tick(now_ms - forecast.sampled_ms))

    def _without_reading(self, now_ms: int) -> None:
        """Tell the gateway once that the sensor fails, and at heartbeats, with the last reading at its true age."""
        tell = self._failed >= FAULT_SAMPLES and not self._fault_told
        sampled_ms = self._reading_ms
        if sampled_ms is None or self.link.offered is not None or not (tell or self._is_heartbeat_due(now_ms)):
            return
        self._fault_told = True
        self._submit(HEARTBEAT, self._reading_t_c, self._reading_h_c, HOLD, sampled_ms, now_ms)

    def _learn(self, temperature_c: int, humidity_c: int, now_ms: int) -> None:
        steps = 1
        if self._learned_ms is not None:
            steps = max(1, steps_between(now_ms - self._learned_ms, self.link.settings.period_s))
        self._learned_ms = now_ms
        unix_ms = self.link.clock.unix_ms(now_ms)
        day_ms = None if unix_ms is None else unix_ms % DAY_MS
        self._predictor.observe(temperature_c, humidity_c, steps, day_ms)

    def _trend(self, error_t_c: int, error_h_c: int) -> Trend:
        # Generation 0: the gateway cannot know by which thresholds a trend would have to be read; HOLD needs none.
        # A stuck sensor was not learned from.
        if self.link.generation == 0 or self.fault:
            return HOLD
        return self._predictor.trend(error_t_c, error_h_c)

    def _submit(
        self, kind: int, temperature_c: int, humidity_c: int, trend: Trend, sampled_ms: int, now_ms: int
    ) -> None:
        flags = SENSOR_FAULT if self.fault else 0
        battery = 0
        if self.battery_mv:
            battery = max(1, min(255, (self.battery_mv - 1000) // 20))
            if self.battery_mv < LOW_BATTERY_MV:
                flags |= LOW_BATTERY
        self._trigger.offer()
        self.link.submit(kind, temperature_c, humidity_c, trend, flags, battery, sampled_ms, now_ms)

    def _is_heartbeat_due(self, now_ms: int) -> bool:
        heartbeat_s, last_ack_ms = self.link.heartbeat_s, self.link.last_ack_ms
        return heartbeat_s > 0 and last_ack_ms is not None and now_ms - last_ack_ms >= 1000 * heartbeat_s


def _hundredths(value: float | None) -> int | None:
    if value is None:
        return None
    if not -1000 < value < 1000:  # not a number either
        return NO_NUMBER
    return round(value * 100)
