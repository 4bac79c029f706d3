"""`aoii edge`: simulated nodes that replay a recording through a simulated radio and a receiver on a pseudo-terminal.

The nodes are the ones that run on the board (`node.py`); only what is around them is simulated. Their time is exact: a
sample, a retry, a packet and an acknowledgement happen at their nominal instants of the nodes' world and in that order,
however late this process gets to them, so that a busy machine changes neither what they decide nor what the radio does.

The radio keeps a record of what the gateway told it, which no station writes and no fault touches.
"""

import asyncio
import contextlib
import heapq
import itertools
import json
import logging
import random
import secrets
import signal
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aoii.core import stream, trigger
from aoii.core.aoii import AoiiMeter
from aoii.core.forecast import PROVISIONED, Forecast, NodeSettings
from aoii.core.frames import BACKFILL, KIND, Rejected, Uplink, decode_ack, decode_uplink
from aoii.core.learner import Learner
from aoii.core.link import Send
from aoii.core.link_timing import TIMING
from aoii.edge.drivers.host import FileStore, SimulatedPort
from aoii.edge.node import Node
from aoii.runtime.station import Part, Station, run_station
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from aoii.settings import Edge, Settings
from aoii.simulation import packet_traces, recordings
from aoii.simulation.radio import Heard, Radio, Transmission

log = logging.getLogger(__name__)

REPLY_WAIT_S = 5.0  # real; a busy machine may be slow, and in the nodes' world no time passes meanwhile
NOISE_MS = 10**9  # the nodes' tick is exact, and a busy machine's clock is late, so that no drift must be seen in it
SILENT_WAIT_S = 0.05  # real; once the gateway has missed one, until it answers again
REPLY_AFTER_MS = 50  # in the nodes' world, from a packet to the beginning of its acknowledgement
JUDGED_AFTER_MS = 600  # in the nodes' world: a packet at the sample, its acknowledgement, and some time
REPORT_EVERY_S = 0.5
BEAT_S = 0.2
STOP_S = 8.0  # of the 10 s that a graceful stop may take
SETTLE_S = 1.0  # real; for the gateway to find the port, which it looks for twice a second
UPLINKS_REMEMBERED = 100_000
RSSI_DBM, SNR_DB = -90, 8
NOT_MEASURED = "0,0,0"  # inference time, free and total heap: a host is not a board
ANY_SENSOR = trigger.Limits(-32768, 32767, 0, 32767)  # recordings come from better sensors than the board's


def run(settings: Settings) -> int:
    """Run the nodes until the recording or EDGE_DURATION_S is over, keep the ports open until SIGTERM; 0.

    SIGUSR1 unplugs the receiver, SIGUSR2 plugs it in again.

    Raises:
        UnavailableError: The status port is taken.
    """
    return run_station(
        "edge",
        settings.edge.status_port,
        lambda: Fleet(settings),
        {signal.SIGUSR1: Fleet.unplug, signal.SIGUSR2: Fleet.plug},
    )


class _Receiver:
    """The receiver on its serial port, and the record of what the gateway acknowledged."""

    def __init__(self, edge: Edge, keys: dict[int, NodeKey]) -> None:
        self._keys = keys
        self._port = SimulatedPort(edge.receiver_link, self._heard_gateway)
        self._reader = stream.Reader()
        self._waiting: defaultdict[bytes, deque[_Exchange]] = defaultdict(deque)  # by _mark, first asked first answered
        self._gateway_answers = True
        self._record = edge.record_file.open("a", buffering=1, encoding="ascii") if edge.record_file else None
        self._uplinks: dict[bytes, tuple[Uplink, int]] = {}  # what was handed on lately, with its sample's instant
        self._settings: dict[tuple[int, int], NodeSettings] = {}  # what the gateway told a node, by generation
        self._frames: dict[int, int] = {}  # the newest frame number of each node that was acknowledged
        self.accepted: set[tuple[int, int, int]] = set()
        self.forecasts: dict[int, Forecast] = {}  # what the gateway holds, as a function of what it acknowledged

    @property
    def is_plugged(self) -> bool:
        """Whether the receiver is there."""
        return self._port.is_plugged

    def plug(self) -> None:
        """Make the receiver appear."""
        self._port.plug()

    def unplug(self) -> None:
        """Take the receiver away; it loses what it was about to say."""
        self._port.unplug()
        self._reader = stream.Reader()

    def hand_on(self, frame: bytes, now_ms: int) -> "_Exchange | None":
        """Tell the gateway what was heard on the air; None when no receiver is there."""
        if not self._port.is_plugged:
            return None
        mark = _mark(frame)
        uplink = decode_uplink(frame, lambda node: self._keys[node].key)
        if isinstance(uplink, Uplink):
            self._uplinks.setdefault(mark, (uplink, now_ms - 1000 * uplink.age_s))
            if len(self._uplinks) > UPLINKS_REMEMBERED:
                del self._uplinks[next(iter(self._uplinks))]
        loop = asyncio.get_running_loop()
        patience_s = REPLY_WAIT_S if self._gateway_answers else SILENT_WAIT_S
        exchange = _Exchange(mark, loop.create_future(), loop.time() + patience_s)
        self._waiting[mark].append(exchange)
        self._port.write(stream.encode_usb_uplink(RSSI_DBM, SNR_DB, frame))
        return exchange

    async def answer(self, exchange: "_Exchange") -> bytes | None:
        """What the gateway said to that; None when it said nothing, or too late."""
        try:
            async with asyncio.timeout_at(exchange.deadline_s):
                return await exchange.answer
        except TimeoutError:
            self._gateway_answers = False
            return None
        finally:
            waiting = self._waiting[exchange.mark]
            if exchange in waiting:
                waiting.remove(exchange)
            if not waiting:
                del self._waiting[exchange.mark]

    def _heard_gateway(self, chunk: bytes) -> None:
        for found in self._reader.feed(chunk):
            if isinstance(found, stream.Frame) and found.type == stream.DOWNLINK:
                self._acknowledged(found.content)

    def _acknowledged(self, data: bytes) -> None:
        mark = _mark(data)
        sent = self._uplinks.get(mark)
        if sent is None:
            return
        uplink, sampled_ms = sent
        ack = decode_ack(data, uplink.node, uplink.epoch, self._keys[uplink.node].key)
        if isinstance(ack, Rejected):
            log.error("gateway sent a bad acknowledgement", extra={"event": "bad_ack", "reason": ack.detail})
            return
        self._gateway_answers = True
        if ack.settings is not None:
            self._settings[uplink.node, ack.generation & 7] = ack.settings
        self._accept(uplink, sampled_ms)
        waiting = self._waiting.get(mark)
        if waiting:
            exchange = waiting.popleft()
            if not exchange.answer.done():
                exchange.answer.set_result(data)

    def _accept(self, uplink: Uplink, sampled_ms: int) -> None:
        identity = (uplink.node, uplink.epoch, uplink.counter)
        if identity not in self.accepted:
            self.accepted.add(identity)
            if self._record is not None:
                self._record.write(f"{uplink.node},{uplink.epoch},{uplink.counter}\n")
        if uplink.frame <= self._frames.get(uplink.node, -1):  # repeated, or overtaken
            return
        self._frames[uplink.node] = uplink.frame
        if uplink.flags & KIND != BACKFILL:
            settings = self._settings.get((uplink.node, uplink.generation), PROVISIONED)
            self.forecasts[uplink.node] = Forecast(
                uplink.temperature_c, uplink.humidity_c, uplink.trend, settings, sampled_ms
            )


@dataclass(eq=False)
class _Exchange:
    """A frame that was handed to the gateway, and the answer to come until `deadline_s` of the event loop."""

    mark: bytes
    answer: "asyncio.Future[bytes]"
    deadline_s: float


def _mark(frame: bytes) -> bytes:
    """Node, epoch and frame number as they stand in the bytes of a frame and of its acknowledgement."""
    return frame[1:9]


@dataclass
class _SimulatedNode:
    """One node, and what is known of how it does."""

    number: int
    node: Node
    samples: Iterator[tuple[int, tuple[int, int]]]
    interval_s: float
    meter: AoiiMeter = field(default_factory=AoiiMeter)
    alarm_ms: int | None = None  # the timer that is set


ScheduledEvent = Callable[[int], Awaitable[None] | None]  # what happens at an instant, which it is told


class Fleet(Station):
    """All nodes, their recording, the air between them, and the account of how they did."""

    def __init__(self, settings: Settings) -> None:
        edge = settings.edge
        self._clock = settings.clock
        self._series = recordings.load(edge.recording)
        self._keys = _provisioned(settings.gateway.node_keys_file, edge.nodes)
        self._receiver = _Receiver(edge, self._keys)
        trace = None if edge.channel.trace is None else packet_traces.load(edge.channel.trace)
        self._radio = Radio(
            edge.channel,
            random.Random(edge.seed).random,  # noqa: S311 - a simulation, repeatable
            None if trace is None else lambda node: packet_traces.of_node(trace, str(node)),
        )
        self._log_port = SimulatedPort(edge.log_link)
        self._report_file = edge.report_file
        self._flash = settings.data_dir / "flash"
        self._seed = edge.seed
        self._zero_ms = 0  # elapsed time of the clock at which the nodes' time begins
        self._end_ms = 1000 * (edge.duration_s * self._clock.speed or self._series[0].span_s)
        self._now_ms = 0  # of what happens just now in the nodes' world
        listens = edge.region == "KR920"
        duty_permille = 1000 if listens else TIMING.duty_permille  # who listens has no duty cycle to keep
        self._timing = TIMING._replace(noise_ms=NOISE_MS, listens=listens, duty_permille=duty_permille)
        self._agenda: list[tuple[int, int, ScheduledEvent]] = []  # a heap: what happens when, first come first served
        self._order = itertools.count()
        self._lives: list[_SimulatedNode] = []
        self._packets: Counter[str] = Counter()
        self._samples = 0
        self._estimate_checks = 0
        self._estimate_mismatches = 0
        self._is_over = False
        self._beat_s = time.monotonic()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)

    def start(self) -> None:
        """Begin; the nodes live in a thread with an event loop."""
        self._thread.start()

    def stop(self) -> None:
        """Write the last report and take the ports away."""
        self._in_loop(self._stopped.set)
        self._thread.join(STOP_S)

    def plug(self) -> None:
        """Plug the receiver in; from any thread."""
        self._in_loop(self._receiver.plug)

    def unplug(self) -> None:
        """Unplug the receiver; from any thread."""
        self._in_loop(self._receiver.unplug)

    def parts(self) -> Iterator[Part]:
        """The loop in which all nodes live."""
        yield Part("nodes", self._thread.is_alive(), self._beat_s)

    def is_ready(self) -> dict[str, bool]:
        """What others must be able to open."""
        return {"receiver": self._receiver.is_plugged, "log": self._log_port.is_plugged}

    def _in_loop(self, act: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(act)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._live_until_stopped())

    async def _live_until_stopped(self) -> None:
        self._receiver.plug()
        self._log_port.plug()
        # A simulated clock begins at its origin, unless that has passed; a real one has run since the machine started.
        settled_ms = self._clock.elapsed_ms() + round(1000 * SETTLE_S * self._clock.speed)
        self._zero_ms = max(0, settled_ms) if self._clock.start_unix_s is not None else settled_ms
        nodes = asyncio.create_task(self._live())
        reports = asyncio.create_task(self._keep_reporting())
        beating = asyncio.create_task(self._keep_beating())
        stop = asyncio.create_task(self._stopped.wait())
        try:
            either: list[asyncio.Future[Any]] = [nodes, stop]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if nodes.done():
                nodes.result()  # a fault in a node ends the run with its traceback
                self._is_over = True
                log.info("nodes have ended", extra={"event": "nodes_ended", "samples": self._samples})
                await stop
        finally:
            for task in (nodes, reports, beating, stop):
                task.cancel()
            await asyncio.gather(nodes, reports, beating, stop, return_exceptions=True)
        self._write_report()
        self._receiver.unplug()
        self._log_port.unplug()

    async def _live(self) -> None:
        """Everything that happens in the nodes' world, in order, to its end."""
        for number in sorted(self._keys):
            node_run = self._born(number)
            self._lives.append(node_run)
            self._next_sample(node_run)
        while self._agenda:
            at_ms, _, event = heapq.heappop(self._agenda)
            if at_ms >= self._end_ms:
                return
            await self._until(at_ms)
            self._now_ms = at_ms
            going_on = event(at_ms)
            if going_on is not None:
                await going_on

    def _schedule(self, at_ms: int, event: ScheduledEvent) -> None:
        heapq.heappush(self._agenda, (at_ms, next(self._order), event))

    def _born(self, number: int) -> _SimulatedNode:
        series = self._series[(number - 1) % len(self._series)]
        period_ms = round(1000 * series.interval_s)
        first = (number - 1) * len(series) // len(self._keys)  # each node starts at another hour of the recording
        boot_ms = (number - 1) * period_ms // len(self._keys)  # and samples at another moment of the minute,
        if self._radio.may_collide:  # which nobody arranges in the field
            boot_ms = random.Random(f"{self._seed}/{number}").randrange(period_ms)  # noqa: S311 - a simulation
        key = self._keys[number]
        chance = random.Random(self._seed * 1_000_003 + number).random  # noqa: S311 - a simulation, repeatable
        store = FileStore(self._flash / f"node-{number}.flash")
        learner = Learner(PROVISIONED.beta_t_c, PROVISIONED.beta_h_c)
        node = Node(
            number, key.epoch, key.key, PROVISIONED, learner, store, chance, self._timing, ANY_SENSOR, self._is_busy
        )
        return _SimulatedNode(number, node, _samples(series, first, boot_ms, period_ms), series.interval_s)

    def _is_busy(self) -> bool:
        """What a node hears that listens now, in the nodes' world."""
        return self._radio.is_busy(self._now_ms)

    def _next_sample(self, node_run: _SimulatedNode) -> None:
        at_ms, reading_c = next(node_run.samples)
        self._schedule(at_ms, lambda now_ms: self._sample(node_run, now_ms, reading_c))

    def _sample(self, node_run: _SimulatedNode, now_ms: int, reading_c: tuple[int, int]) -> None:
        node = node_run.node
        is_acknowledged = node.is_acknowledged and node.forecast is not None
        sends = node.sample(now_ms, reading_c[0] / 100, reading_c[1] / 100)
        if is_acknowledged:
            self._compare(node_run.number, node, now_ms)
        self._log(node_run.number, node, now_ms)
        self._transmit(node_run, sends, now_ms)
        self._schedule(now_ms + JUDGED_AFTER_MS, lambda _: self._judge(node_run, now_ms, reading_c))
        self._next_sample(node_run)

    def _transmit(self, node_run: _SimulatedNode, sends: list[Send], now_ms: int) -> None:
        """Put packets on the air, and set the node's timer anew: this is called after all that a node does."""
        for send in sends:
            self._packets[send.kind] += 1
            self._emit(node_run, self._radio.begin(node_run.number, True, now_ms, send.data))
        deadline_ms = node_run.node.deadline_ms()
        if deadline_ms is not None and deadline_ms != node_run.alarm_ms:
            self._schedule(max(now_ms, deadline_ms), lambda now_ms: self._alarm(node_run, deadline_ms, now_ms))
        node_run.alarm_ms = deadline_ms

    def _alarm(self, node_run: _SimulatedNode, deadline_ms: int, now_ms: int) -> None:
        if node_run.alarm_ms == deadline_ms:  # else it was set anew meanwhile
            node_run.alarm_ms = None
            self._transmit(node_run, node_run.node.due(now_ms), now_ms)

    def _emit(self, node_run: _SimulatedNode, transmission: Transmission) -> None:
        self._schedule(transmission.end_ms, lambda _: self._arrive(node_run, self._radio.end(transmission)))

    def _arrive(self, node_run: _SimulatedNode, all_heard: list[Heard]) -> None:
        for heard in all_heard:
            data = heard.transmission.data
            if heard.transmission.is_up:
                self._schedule(heard.at_ms, lambda now_ms, data=data: self._gateway_hears(node_run, data, now_ms))  # type: ignore[misc]  # lambda's default
            else:
                self._schedule(heard.at_ms, lambda now_ms, data=data: self._node_hears(node_run, data, now_ms))  # type: ignore[misc]  # lambda's default

    def _gateway_hears(self, node_run: _SimulatedNode, frame: bytes, now_ms: int) -> None:
        exchange = self._receiver.hand_on(frame, now_ms)
        if exchange is not None:
            self._schedule(now_ms + REPLY_AFTER_MS, lambda now_ms: self._gateway_answers(node_run, exchange, now_ms))

    async def _gateway_answers(self, node_run: _SimulatedNode, exchange: _Exchange, now_ms: int) -> None:
        """Wait for the real gateway; meanwhile no time passes in the nodes' world."""
        data = await self._receiver.answer(exchange)
        if data is not None:
            self._emit(node_run, self._radio.begin(node_run.number, False, now_ms, data))

    def _node_hears(self, node_run: _SimulatedNode, data: bytes, now_ms: int) -> None:
        self._transmit(node_run, node_run.node.receive(data, now_ms), now_ms)

    async def _until(self, at_ms: int) -> None:
        """Sleep until an instant of the nodes' world; at once when it has passed."""
        ahead_ms = self._zero_ms + at_ms - self._clock.elapsed_ms()
        await asyncio.sleep(max(0.0, self._clock.real_s(ahead_ms / 1000)))

    def _compare(self, number: int, node: Node, at_ms: int) -> None:
        """A node that knows what the gateway holds must have evaluated the same estimate, to the hundredth."""
        sampled = node.sampled
        if sampled is None:
            return
        self._estimate_checks += 1
        if (sampled.estimate_t_c, sampled.estimate_h_c) != self._receiver.forecasts[number].at(at_ms):
            self._estimate_mismatches += 1
            log.error("node and gateway hold different estimates", extra={"event": "estimate_mismatch", "node": number})

    def _judge(self, node_run: _SimulatedNode, sampled_ms: int, reading_c: tuple[int, int]) -> None:
        """Right or wrong at a sample, after its packet."""
        held = self._receiver.forecasts.get(node_run.number)
        wrong = True
        if held is not None:
            wrong = trigger.is_wrong(*reading_c, held.at(sampled_ms), held.settings)
        node_run.meter.observe(wrong, round(node_run.interval_s))
        self._samples += 1

    def _log(self, number: int, node: Node, at_ms: int) -> None:
        """The line that the board prints on its USB port, with node and time behind the ten old fields."""
        sampled = node.sampled
        if sampled is None:
            return
        values = ",".join(f"{value / 100:.2f}" for value in sampled[:6])
        unix_ms = self._clock.unix_ms() + self._zero_ms + at_ms - self._clock.elapsed_ms()
        line = f"{values},{sampled.status},{NOT_MEASURED},{number},{unix_ms}\n"
        self._log_port.write(line.encode())

    async def _keep_beating(self) -> None:
        """Show that the loop turns, in which all nodes live."""
        while True:
            self._beat_s = time.monotonic()
            await asyncio.sleep(BEAT_S)

    async def _keep_reporting(self) -> None:
        while True:
            self._write_report()
            await asyncio.sleep(REPORT_EVERY_S)

    def _write_report(self) -> None:
        """Replace the report at once, so that a reader never sees half of one."""
        total = AoiiMeter()
        for node_run in self._lives:
            total.add(node_run.meter)
        report = {
            "is_over": self._is_over,
            "samples": self._samples,
            "events": self._packets["event"],
            "heartbeats": self._packets["heartbeat"],
            "retries": self._packets["retry"] + self._packets["backfill"],
            "instants": total.instants,
            "wrong_instants": total.wrong,
            "aoii_mean_s": total.mean_s(),
            "aoii_p99_s": total.p99_s(),
            "estimate_checks": self._estimate_checks,
            "estimate_mismatches": self._estimate_mismatches,
            **{f"radio_{name}": count for name, count in self._radio.counts.items()},
        }
        self._report_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._report_file.with_suffix(".new")
        fresh.write_text(json.dumps(report), encoding="utf-8")
        fresh.replace(self._report_file)


def _samples(
    series: recordings.Series, first: int, boot_ms: int, period_ms: int
) -> Iterator[tuple[int, tuple[int, int]]]:
    """Instants and readings of one node for ever: from row `first` on, and again from the beginning after the end.

    A gap in the recording is a gap here.
    """
    base_ms = boot_ms - series.slots[first] * period_ms
    lap_ms = (series.slots[-1] + 1) * period_ms
    row = first
    while True:
        yield base_ms + series.slots[row] * period_ms, (series.temperature_c[row], series.humidity_c[row])
        row += 1
        if row == len(series):
            row = 0
            base_ms += lap_ms


def _provisioned(path: Path, nodes: int) -> dict[int, NodeKey]:
    """The keys of the simulated nodes, made where the file lacks them."""
    keys = node_keys.load(path) if path.exists() else {}
    wanted = range(1, nodes + 1)
    if any(number not in keys for number in wanted):
        keys = {number: NodeKey(1, secrets.token_bytes(16)) for number in wanted} | keys
        path.parent.mkdir(parents=True, exist_ok=True)
        node_keys.write(path, keys)
    return {number: keys[number] for number in wanted}
