"""`aoii edge`: simulated nodes that replay a recording through a simulated radio and a receiver on a pseudo-terminal.

The nodes are the ones that run on the board (`node.py`); only what is around them is simulated. Their time is exact: a
sample, a retry and an acknowledgement happen at their nominal instants of the nodes' world, however late this process
gets to them, so that a busy machine does not change what they decide.

The radio keeps a record of what the gateway told it, which no station writes and no fault touches.
"""

import asyncio
import json
import logging
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aoii import node_keys, recordings
from aoii.core import stream, trigger
from aoii.core.aoii import AoiiMeter
from aoii.core.frames import BACKFILL, KIND, Rejected, Uplink, decode_ack, decode_uplink
from aoii.core.learner import Learner
from aoii.core.link import Send
from aoii.core.plan import PROVISIONED, NodeSettings, Picture
from aoii.edge.drivers.host import FileStore, SimulatedPort
from aoii.edge.node import Node
from aoii.edge.radio import Radio
from aoii.monitoring import status
from aoii.monitoring.service_manager import ServiceManager
from aoii.node_keys import NodeKey
from aoii.settings import Edge, Settings

log = logging.getLogger(__name__)

REPLY_WAIT_S = 5.0  # real; a busy machine may be slow, and in the nodes' world no time passes meanwhile
SILENT_WAIT_S = 0.05  # real; once the gateway has missed one, until it answers again
REPLY_AFTER_MS = 400  # in the nodes' world: airtime of a packet and its acknowledgement at SF9
REPORT_EVERY_S = 0.5
TURN_S = 0.2
ALIVE_S = 60.0  # as for the other stations; the loop turns five times a second
SETTLE_S = 1.0  # real; for the gateway to find the port, which it looks for twice a second
UPLINKS_REMEMBERED = 100_000
RSSI_DBM, SNR_DB = -90, 8
NOT_MEASURED = "0,0,0"  # inference time, free and total heap: a host is not a board
ANY_SENSOR = trigger.Limits(-32768, 32767, 0, 32767)  # recordings come from better sensors than the board's


def run(settings: Settings) -> int:
    """Run the nodes until the recording or EDGE_DURATION_S is over, keep the ports open until SIGTERM; 0.

    SIGUSR1 unplugs the receiver, SIGUSR2 plugs it in again.

    Raises:
        WorldError: The status port is taken.
    """
    world = _World(settings)
    page = status.serve("edge", settings.edge.status_port, world.alive, world.ready)
    try:
        return asyncio.run(world.run())
    finally:
        if page is not None:
            page.shutdown()
            page.server_close()


class _Air:
    """The radio, the receiver on its serial port, and the record of what the gateway acknowledged."""

    def __init__(self, edge: Edge, keys: dict[int, NodeKey]) -> None:
        self._radio = Radio(edge.loss, random.Random(edge.seed).random)  # noqa: S311 - a simulation, repeatable
        self._keys = keys
        self._port = SimulatedPort(edge.receiver_link, self._heard_gateway)
        self._reader = stream.Reader()
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}  # by (node, epoch, frame) as they stand in the bytes
        self._gateway_answers = True
        self._record = edge.record_file.open("a", buffering=1, encoding="ascii") if edge.record_file else None
        self._uplinks: dict[bytes, tuple[Uplink, int]] = {}  # what was sent lately, with its sample's instant
        self._settings: dict[tuple[int, int], NodeSettings] = {}  # what the gateway told a node, by generation
        self.accepted: set[tuple[int, int, int]] = set()
        self.pictures: dict[int, Picture] = {}  # what the gateway holds, as a function of what it acknowledged

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

    async def exchange(self, frame: bytes, now_ms: int) -> bytes | None:
        """Carry one frame to the gateway and its answer back; None when either was lost or came too late."""
        mark = frame[1:9]  # node, epoch and frame number
        uplink = decode_uplink(frame, lambda node: self._keys[node].key)
        if isinstance(uplink, Uplink):
            self._uplinks.setdefault(mark, (uplink, now_ms - 1000 * uplink.age_s))  # a repetition has the old age
            if len(self._uplinks) > UPLINKS_REMEMBERED:
                del self._uplinks[next(iter(self._uplinks))]
        if not self._radio.carries() or not self._port.is_plugged:
            return None
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[mark] = answer
        self._port.write(stream.encode_heard(RSSI_DBM, SNR_DB, frame))
        try:
            async with asyncio.timeout(REPLY_WAIT_S if self._gateway_answers else SILENT_WAIT_S):
                data = await answer
        except TimeoutError:
            self._gateway_answers = False
            return None
        finally:
            self._waiting.pop(mark, None)
        return data if self._radio.carries() else None

    def _heard_gateway(self, chunk: bytes) -> None:
        for found in self._reader.feed(chunk):
            if isinstance(found, stream.Frame) and found.type == stream.DOWNLINK:
                self._acknowledged(found.content)

    def _acknowledged(self, data: bytes) -> None:
        mark = data[1:9]
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
        if waiting is not None and not waiting.done():
            waiting.set_result(data)

    def _accept(self, uplink: Uplink, sampled_ms: int) -> None:
        identity = (uplink.node, uplink.epoch, uplink.counter)
        if identity not in self.accepted:
            self.accepted.add(identity)
            if self._record is not None:
                self._record.write(f"{uplink.node},{uplink.epoch},{uplink.counter}\n")
        held = self.pictures.get(uplink.node)
        if uplink.flags & KIND != BACKFILL and (held is None or sampled_ms > held.sampled_ms):
            settings = self._settings.get((uplink.node, uplink.generation), PROVISIONED)
            self.pictures[uplink.node] = Picture(
                uplink.temperature_c, uplink.humidity_c, uplink.plan, settings, sampled_ms
            )


class _World:
    """All nodes, their recording, and the account of how they did."""

    def __init__(self, settings: Settings) -> None:
        edge = settings.edge
        self._clock = settings.clock
        self._series = recordings.load(edge.recording)
        self._keys = _provisioned(settings.gateway.node_keys_file, edge.nodes)
        self._air = _Air(edge, self._keys)
        self._log_port = SimulatedPort(edge.log_link)
        self._report_file = edge.report_file
        self._flash = settings.data_dir / "flash"
        self._seed = edge.seed
        self._zero_ms = 0  # elapsed time of the clock at which the nodes' time begins
        self._end_ms = 1000 * (edge.duration_s * self._clock.speed or self._series[0].span_s)
        self._meters: list[AoiiMeter] = []
        self._packets: Counter[str] = Counter()
        self._samples = 0
        self._plan_checks = 0
        self._plan_mismatches = 0
        self._is_over = False
        self._beat_s = time.monotonic()
        self._manager = ServiceManager(self.alive, self.ready)

    def alive(self) -> dict[str, bool]:
        """What must make progress."""
        return {"nodes": time.monotonic() - self._beat_s < ALIVE_S}

    def ready(self) -> dict[str, bool]:
        """What others must be able to open."""
        return {"receiver": self._air.is_plugged, "log": self._log_port.is_plugged}

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        loop.add_signal_handler(signal.SIGUSR1, self._air.unplug)
        loop.add_signal_handler(signal.SIGUSR2, self._air.plug)
        self._air.plug()
        self._log_port.plug()
        # A simulated clock begins at its origin, unless that has passed; a real one has run since the machine started.
        settled_ms = self._clock.elapsed_ms() + round(1000 * SETTLE_S * self._clock.speed)
        self._zero_ms = max(0, settled_ms) if self._clock.start_unix_s is not None else settled_ms
        nodes = asyncio.gather(*(self._live(number) for number in sorted(self._keys)))
        reports = asyncio.create_task(self._keep_reporting())
        turning = asyncio.create_task(self._keep_turning())
        stop = asyncio.create_task(stopped.wait())
        try:
            either: list[asyncio.Future[Any]] = [nodes, stop]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if nodes.done():
                nodes.result()  # a fault in a node ends the run with its traceback
                self._is_over = True
                log.info("nodes have ended", extra={"event": "nodes_ended", "samples": self._samples})
                await stop
        finally:
            for task in (nodes, reports, turning, stop):
                task.cancel()
            await asyncio.gather(nodes, reports, turning, stop, return_exceptions=True)
        self._manager.stopping()
        self._write_report()
        self._air.unplug()
        self._log_port.unplug()
        return 0

    async def _live(self, number: int) -> None:
        """The life of one node, from its first sample to the end of the run."""
        series = self._series[(number - 1) % len(self._series)]
        period_ms = round(1000 * series.interval_s)
        first = (number - 1) * len(series) // len(self._keys)  # each node starts at another hour of the recording
        boot_ms = (number - 1) * period_ms // len(self._keys)  # and samples at another moment of the minute
        key = self._keys[number]
        chance = random.Random(self._seed * 1_000_003 + number).random  # noqa: S311 - a simulation, repeatable
        store = FileStore(self._flash / f"node-{number}.flash")
        learner = Learner(PROVISIONED.beta_t_c, PROVISIONED.beta_h_c)
        node = Node(number, key.epoch, key.key, PROVISIONED, learner, store, chance, limits=ANY_SENSOR)
        meter = AoiiMeter()
        self._meters.append(meter)
        for at_ms, reading_c in _samples(series, first, boot_ms, period_ms):
            await self._alarms(node, at_ms)
            if at_ms >= self._end_ms:
                return
            await self._until(at_ms)
            is_settled = node.is_settled and node.picture is not None
            sends = node.sample(at_ms, reading_c[0] / 100, reading_c[1] / 100)
            if is_settled:
                self._compare(number, node, at_ms)
            await self._perform(node, sends, at_ms)
            self._judge(number, meter, at_ms, reading_c, series.interval_s)
            self._log(number, node, at_ms)

    async def _alarms(self, node: Node, until_ms: int) -> None:
        """Let the node's timers run out, in order, until the next sample."""
        while (deadline_ms := node.deadline_ms()) is not None and deadline_ms < min(until_ms, self._end_ms):
            await self._until(deadline_ms)
            await self._perform(node, node.due(deadline_ms), deadline_ms)

    async def _perform(self, node: Node, sends: list[Send], now_ms: int) -> None:
        for send in sends:
            self._packets[send.kind] += 1
            answer = await self._air.exchange(send.data, now_ms)
            if answer is not None:
                await self._perform(node, node.receive(answer, now_ms + REPLY_AFTER_MS), now_ms + REPLY_AFTER_MS)

    async def _until(self, at_ms: int) -> None:
        """Sleep until an instant of the nodes' world; at once when it has passed."""
        ahead_ms = self._zero_ms + at_ms - self._clock.elapsed_ms()
        await asyncio.sleep(max(0.0, self._clock.real_s(ahead_ms / 1000)))

    def _compare(self, number: int, node: Node, at_ms: int) -> None:
        """A node that knows what the gateway holds must have evaluated the same estimate, to the hundredth."""
        sampled = node.sampled
        if sampled is None:
            return
        self._plan_checks += 1
        if (sampled.estimate_t_c, sampled.estimate_h_c) != self._air.pictures[number].at(at_ms):
            self._plan_mismatches += 1
            log.error("node and gateway evaluate different plans", extra={"event": "plan_mismatch", "node": number})

    def _judge(self, number: int, meter: AoiiMeter, at_ms: int, reading_c: tuple[int, int], interval_s: float) -> None:
        """Right or wrong at this instant, after its packet."""
        held = self._air.pictures.get(number)
        wrong = True
        if held is not None:
            wrong = trigger.is_wrong(*reading_c, held.at(at_ms), held.settings)
        meter.observe(wrong, round(interval_s))
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

    async def _keep_turning(self) -> None:
        """Show that the loop turns, in which all nodes live."""
        while True:
            self._beat_s = time.monotonic()
            self._manager.turn()
            await asyncio.sleep(TURN_S)

    async def _keep_reporting(self) -> None:
        while True:
            self._write_report()
            await asyncio.sleep(REPORT_EVERY_S)

    def _write_report(self) -> None:
        """Replace the report at once, so that a reader never sees half of one."""
        total = AoiiMeter()
        for meter in self._meters:
            total.add(meter)
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
            "plan_checks": self._plan_checks,
            "plan_mismatches": self._plan_mismatches,
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
