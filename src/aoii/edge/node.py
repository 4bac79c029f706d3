"""The sensor node without its hardware: compares readings with the gateway's estimate, and decides what to send.

The same source runs on the board and in the simulation. It does not wait, read a clock or touch hardware: the caller
samples every `settings.period_s`, sends the packets that it gets, passes in the packets from the radio, and calls `due`
at `deadline_ms`.

Which forecast the gateway may hold while a packet is not acknowledged: docs/explanation/link.md.
"""

import struct
from binascii import crc32
from collections import namedtuple

from ..core import packed_fields, trigger
from ..core.clocks import MonotonicClock
from ..core.forecast import HOLD, Forecast, Trend, steps_between
from ..core.frames import BACKFILL, EVENT, HEARTBEAT, LOW_BATTERY, SENSOR_FAULT, NodeSettings
from ..core.link import Link, Send
from ..core.link_state import FORECAST_BYTES, PendingReading, dump_forecast, load_forecast
from ..core.link_timing import TIMING, Timing

MYPY = False
if MYPY:
    from ..core.interfaces import IsBusy, Predictor, Random, Store

DAY_MS = 86_400_000
FAULT_SAMPLES = 3  # one failed measurement is common on I2C and not worth a packet
LOW_BATTERY_MV = 3400  # a LiPo cell has about a tenth left, and the ESP32's regulator begins to drop out
NO_NUMBER = 1_000_000  # stands for NaN and all beyond 1000: hundredths outside the range of any sensor

FORMAT = 3  # of a dump
_HEAD = "<BHH"  # format, node, epoch
_FORM = "<qqhHIBH"
_NAMES = "_learned_ms _reading_ms _reading_t_c _reading_h_c _failed _fault_reported battery_mv"


class Sampled(namedtuple("Sampled", "temperature_c humidity_c estimate_t_c estimate_h_c error_t_c error_h_c status")):
    """One sample, for the log line.

    Attributes:
        temperature_c: The reading, hundredths of °C.
        humidity_c: The reading, hundredths of %RH.
        estimate_t_c: The gateway's estimate by the acknowledged forecast; the reading before there is one.
        estimate_h_c: The same for the humidity.
        error_t_c: Reading minus estimate.
        error_h_c: The same for the humidity.
        status: `SKIP`, `SEND & TRAIN` or `HEARTBEAT`; a resend has no status.
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
        number: Number of the node.
        epoch: How many times it has been provisioned.
        key: Its key.
        settings: Settings that it was provisioned with; the gateway may change them.
        predictor: Learns from each sample and makes the trends.
        store: Keeps counters and readings when the power fails.
        random: For jitter.
        timing: Pauses and duty cycle of the link.
        limits: What the sensor can measure.
        is_busy: Whether the channel is busy; needed when `timing.listens`.

    Attributes:
        link: The radio link, with the settings in force.
        forecast: The last acknowledged forecast, on the node's monotonic clock; None before the first.
        sampled: The last sample; None when the sensor gave no reading.
        fault: The fault of the sensor; empty when there is none.
        battery_mv: Set by the driver; 0: not measured.

    Raises:
        InternalError: `is_busy` is missing, or the store has no room for readings.
        UnavailableError: Both records of numbers in the store are damaged.
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
        self._sensor = trigger.SensorCheck(limits)
        self._tick = MonotonicClock()
        self._reading_ms: int | None = None  # of the last reading
        self._reading_t_c = self._reading_h_c = 0
        self._learned_ms: int | None = None  # of the last sample that the predictor got
        self._failed = 0  # consecutive samples without a reading
        self._fault_reported = False

    @property
    def settings(self) -> NodeSettings:
        """Settings in force; the caller samples every `period_s`."""
        return self.link.settings

    @property
    def is_acknowledged(self) -> bool:
        """Whether both ends are known to hold the same forecast: no event or heartbeat is pending."""
        return self.link.offered is None

    def sample(self, now_ms: int, temperature: float | None, humidity: float | None) -> list[Send]:
        """Process one sample; return the packets to send now.

        Args:
            now_ms: The tick, milliseconds; may wrap at 2**32.
            temperature: °C; None when the sensor did not answer.
            humidity: %RH; likewise.
        """
        now_ms = self._tick.unwrapped(now_ms)
        temperature_c, humidity_c = _hundredths(temperature), _hundredths(humidity)
        self.fault = self._sensor.judge(temperature_c, humidity_c)
        if temperature_c is None or humidity_c is None or self.fault == trigger.RANGE:
            self._failed += 1
            self.sampled = None
            self._report_fault(now_ms)
        else:
            self._failed = 0
            self._fault_reported = False
            self._reading_ms, self._reading_t_c, self._reading_h_c = now_ms, temperature_c, humidity_c
            self.sampled = self._compare(temperature_c, humidity_c, now_ms)
        return self.link.due(now_ms)

    def receive(self, data: bytes, now_ms: int) -> list[Send]:
        """Handle a packet from the radio, any bytes; return the packets to send now."""
        now_ms = self._tick.unwrapped(now_ms)
        beta_t_c, beta_h_c = self.link.settings[:2]
        reading = self.link.receive(data, now_ms)
        if isinstance(reading, PendingReading):
            if reading.kind != BACKFILL:
                self.forecast = reading.forecast
                self._trigger.acknowledge()
            settings = self.link.settings
            if (beta_t_c, beta_h_c) != (settings.beta_t_c, settings.beta_h_c):
                self._predictor.retune(settings.beta_t_c, settings.beta_h_c)
        return self.link.due(now_ms)

    def deadline_ms(self) -> int | None:
        """When `due` has something to do, on the node's monotonic clock; None: only after the next sample or packet."""
        return self.link.deadline_ms()

    def due(self, now_ms: int) -> list[Send]:
        """Do what is due; return the packets to send now, none before the deadline."""
        return self.link.due(self._tick.unwrapped(now_ms))

    def unix_ms(self, now_ms: int) -> int | None:
        """Unix time at this tick, milliseconds; None while it is unknown."""
        return self.link.clock.unix_ms(self._tick.unwrapped(now_ms))

    def dump(self) -> bytes:
        """Everything but the predictor and what is in the store, always the same number of bytes: for a deep sleep.

        Delete it before you load it: a node that starts twice from one dump repeats its numbers and gets no answer.
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
        """Continue from a `dump` as if there had been no sleep; must be the first call.

        Returns:
            False, and nothing is changed, when it is damaged, of another node, epoch or format, or older than the last
            block of numbers in the store: then the node starts fresh, as after a power cut.
        """
        head = struct.calcsize(_HEAD)
        if len(state) != len(self.dump()) or struct.pack("<I", crc32(state[:-4])) != state[-4:]:
            return False
        if struct.unpack(_HEAD, state[:head]) != self._identity:
            return False
        if not self.link.fits(state[:-4]):
            return False
        at = self._tick.load(state, head)
        at = packed_fields.load(self, _FORM, _NAMES, state, at)
        at = self._trigger.load(state, at)
        at = self._sensor.load(state, at)
        self.forecast = load_forecast(state, at)
        self.link.load(state, at + FORECAST_BYTES)
        return True

    def _compare(self, temperature_c: int, humidity_c: int, now_ms: int) -> Sampled:
        """Learn from a reading, compare it with the estimate, and submit a packet if one is needed."""
        settings = self.link.settings
        if self.fault == trigger.OK:
            self._learn(temperature_c, humidity_c, now_ms)
        forecast, offered = self.forecast, self.link.offered
        estimate = (temperature_c, humidity_c) if forecast is None else self._estimate(forecast, now_ms)
        wrong = trigger.is_wrong(temperature_c, humidity_c, estimate, settings)
        latest = estimate  # by the newest forecast, whose error the predictor gets
        if offered is not None:
            # The gateway may hold either forecast. The offered one is sent until it is acknowledged; a newer packet is
            # needed only if the offered one is wrong, even if the acknowledged one is correct again.
            latest = self._estimate(offered, now_ms)
            offered_wrong = trigger.is_wrong(temperature_c, humidity_c, latest, settings)
            status = self._trigger.decide(wrong, offered_wrong, False, settings.tau)
            if not offered_wrong:
                status = trigger.SKIP
        elif forecast is None:
            status = trigger.EVENT
        else:
            status = self._trigger.decide(wrong, False, self._is_heartbeat_due(now_ms), settings.tau)
        error_t_c, error_h_c = temperature_c - estimate[0], humidity_c - estimate[1]
        if status == trigger.EVENT:
            trend = self._trend(temperature_c - latest[0], humidity_c - latest[1])
            self._submit(EVENT, temperature_c, humidity_c, trend, now_ms, now_ms)
        elif status == trigger.HEARTBEAT:
            self._submit(HEARTBEAT, temperature_c, humidity_c, self._trend(0, 0), now_ms, now_ms)
        return Sampled(temperature_c, humidity_c, estimate[0], estimate[1], error_t_c, error_h_c, status)

    def _estimate(self, forecast: Forecast, now_ms: int) -> tuple[int, int]:
        """The gateway's estimate by this forecast; the gateway counts true time, not our tick."""
        return forecast.at(forecast.sampled_ms + self.link.clock.elapsed_from_tick(now_ms - forecast.sampled_ms))

    def _report_fault(self, now_ms: int) -> None:
        """Report a failing sensor once, and at heartbeats, with the last reading at its true age."""
        sampled_ms = self._reading_ms
        if sampled_ms is None or self.link.offered is not None:
            return
        if (self._failed < FAULT_SAMPLES or self._fault_reported) and not self._is_heartbeat_due(now_ms):
            return
        self._fault_reported = True
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
        # Generation 0: the gateway does not know the thresholds that are the units of a trend; HOLD needs none.
        # Nothing was learned from a stuck sensor.
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
    if not -1000 < value < 1000:  # NaN too
        return NO_NUMBER
    return round(value * 100)
