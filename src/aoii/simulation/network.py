"""The simulated network: nodes, the receiver, the radio between them, and each event that passes among these.

The nodes run the code of the board; only what surrounds them is simulated. Their time is exact: a sample, a retry, a
packet and an acknowledgement happen at their nominal instants and in that order, however late this process gets to
them. So a busy machine changes neither what the nodes decide nor what the radio does.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aoii.core import trigger
from aoii.core.aoii import AoiiMeter
from aoii.core.forecast import PROVISIONED
from aoii.core.learner import Learner
from aoii.core.link import Send
from aoii.core.link_timing import TIMING
from aoii.edge.drivers.board_flash import Files, FlashStore
from aoii.edge.node import Node
from aoii.security.node_keys import NodeKey
from aoii.settings import Edge
from aoii.simulation import packet_traces, recordings
from aoii.simulation.agenda import Agenda
from aoii.simulation.radio import Radio, Reception, Transmission
from aoii.simulation.receiver import PendingReply, Receiver

log = logging.getLogger(__name__)

NOISE_MS = 10**9  # so large that no node estimates a drift: its own clock is exact, a busy gateway's answer is late
REPLY_AFTER_MS = 50  # from the end of a packet to the beginning of its acknowledgement
JUDGED_AFTER_MS = 600  # after a sample: 503 ms for its packet and the acknowledgement, and some to spare
ANY_SENSOR = trigger.Limits(-32768, 32767, 0, 32767)  # recordings come from better sensors than the board's


@dataclass
class SimulatedNode:
    """A node and what surrounds it.

    Attributes:
        number: Number of the node.
        node: What runs on the board.
        samples: Its coming samples.
        interval_s: Sampling interval, s.
        meter: Age of incorrect information at the gateway.
        timer_ms: When the node's timer goes off; None: it is not set.
        has_power: Whether it runs; without power its samples pass, and its estimate is judged all the same.
    """

    number: int
    node: Node
    samples: Iterator[recordings.Sample]
    interval_s: float
    meter: AoiiMeter = field(default_factory=AoiiMeter)
    timer_ms: int | None = None
    has_power: bool = True


class Network:
    """All simulated nodes, and everything that passes between them and the receiver.

    Args:
        edge: What to simulate.
        keys: Keys of the nodes, by number.
        flash: Folder of the nodes' flash files.
        receiver: Forwards packets to the gateway.
        on_sample: Called after each sample with the node's number, the node, and the instant in ms.

    Attributes:
        agenda: What happens next.
        radio: The simulated radio.
        span_s: Length of the first series of the recording, s.
        interval_s: Its sampling interval, s.
        samples: Samples of all nodes that have been judged.
        checks: Comparisons of the estimates at both ends.
        mismatches: Comparisons that found different estimates.

    Raises:
        InputError: The recording or the packet trace cannot be used.
    """

    def __init__(
        self,
        edge: Edge,
        keys: Mapping[int, NodeKey],
        flash: Path,
        receiver: Receiver,
        on_sample: Callable[[int, Node, int], None],
    ) -> None:
        self._edge, self._keys, self._receiver, self._on_sample = edge, keys, receiver, on_sample
        flash.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._flash = Files(str(flash))
        self._series = recordings.parse(edge.recording, _log_note)
        trace = None if edge.channel.trace is None else packet_traces.parse(edge.channel.trace)
        self.agenda = Agenda()
        self.radio = Radio(
            edge.channel,
            random.Random(edge.seed).random,  # noqa: S311 - a simulation, repeatable
            None if trace is None else lambda node: packet_traces.of_node(trace, str(node)),
        )
        self.span_s, self.interval_s = self._series[0].span_s, self._series[0].interval_s
        listens = edge.region == "KR920"
        duty_permille = 1000 if listens else TIMING.duty_permille  # listening before talking replaces the duty cycle
        self._timing = TIMING._replace(noise_ms=NOISE_MS, listens=listens, duty_permille=duty_permille)
        self._nodes: list[SimulatedNode] = []
        self._packets: Counter[str] = Counter()
        self.samples = self.checks = self.mismatches = 0

    def boot(self) -> None:
        """Start every node."""
        for number in sorted(self._keys):
            simulated = self.boot_node(number)
            self._nodes.append(simulated)
            self._schedule_sample(simulated)

    def boot_node(self, number: int) -> SimulatedNode:
        """Make one node; it takes no samples yet."""
        series = self._series[(number - 1) % len(self._series)]
        period_ms = round(1000 * series.interval_s)
        # Each node starts at another row of the recording and samples at another moment of its period. Where packets
        # may collide, that moment is random, because nodes in the field are not in step.
        first = (number - 1) * len(series) // len(self._keys)
        boot_ms = (number - 1) * period_ms // len(self._keys)
        if self.radio.may_collide:
            boot_ms = random.Random(f"{self._edge.seed}/{number}").randrange(period_ms)  # noqa: S311 - a simulation
        samples = recordings.replay_samples(series, first, boot_ms, period_ms)
        return SimulatedNode(number, self._make_node(number), samples, series.interval_s)

    def _make_node(self, number: int) -> Node:
        key = self._keys[number]
        learner = Learner(PROVISIONED.beta_t_c, PROVISIONED.beta_h_c)
        store = FlashStore(self._flash, f"node-{number}.flash")
        draw = random.Random(self._edge.seed * 1_000_003 + number).random  # noqa: S311 - a simulation, repeatable
        return Node(
            number, key.epoch, key.key, PROVISIONED, learner, store, draw, self._timing, ANY_SENSOR, self._is_busy
        )

    def cut_power(self, number: int) -> None:
        """Stop a node at once, as when its battery is taken out; what its flash holds is kept."""
        for simulated in self._nodes:
            if simulated.number == number:
                simulated.has_power, simulated.timer_ms = False, None

    def restore_power(self, number: int) -> None:
        """Start a node anew from its flash."""
        for simulated in self._nodes:
            if simulated.number == number and not simulated.has_power:
                simulated.node, simulated.has_power = self._make_node(number), True

    def _is_busy(self) -> bool:
        """Whether a node that listens now detects a packet."""
        return self.radio.is_busy(self.agenda.now_ms)

    def report(self) -> dict[str, int | float]:
        """Counts so far, as `aoii demo` reads them."""
        total = AoiiMeter()
        for simulated in self._nodes:
            total.merge(simulated.meter)
        return {
            "samples": self.samples,
            "events": self._packets["event"],
            "heartbeats": self._packets["heartbeat"],
            "retries": self._packets["retry"] + self._packets["backfill"],
            "instants": total.instants,
            "wrong_instants": total.wrong,
            "aoii_mean_s": total.mean_s(),
            "aoii_p99_s": total.p99_s(),
            "estimate_checks": self.checks,
            "estimate_mismatches": self.mismatches,
            **{f"radio_{name}": count for name, count in self.radio.counts.items()},
        }

    def _schedule_sample(self, simulated: SimulatedNode) -> None:
        at_ms, reading_c = next(simulated.samples)
        self.agenda.schedule(at_ms, lambda now_ms: self._sample(simulated, now_ms, reading_c))

    def _sample(self, simulated: SimulatedNode, now_ms: int, reading_c: tuple[int, int]) -> None:
        if not simulated.has_power:
            self.agenda.schedule(now_ms + JUDGED_AFTER_MS, lambda _: self._judge(simulated, now_ms, reading_c))
            self._schedule_sample(simulated)
            return
        node = simulated.node
        knows_gateway = node.is_acknowledged and node.forecast is not None
        sends = node.sample(now_ms, reading_c[0] / 100, reading_c[1] / 100)
        if knows_gateway:
            self._compare(simulated, now_ms)
        self._on_sample(simulated.number, node, now_ms)
        self._transmit(simulated, sends, now_ms)
        self.agenda.schedule(now_ms + JUDGED_AFTER_MS, lambda _: self._judge(simulated, now_ms, reading_c))
        self._schedule_sample(simulated)

    def _compare(self, simulated: SimulatedNode, now_ms: int) -> None:
        """Count and check: a node that knows the gateway's forecast must have the same estimate, to the hundredth."""
        sampled = simulated.node.sampled
        if sampled is None:
            return
        self.checks += 1
        if (sampled.estimate_t_c, sampled.estimate_h_c) != self._receiver.forecasts[simulated.number].at(now_ms):
            self.mismatches += 1
            fields = {"event": "estimate_mismatch", "node": simulated.number}
            log.error("node and gateway hold different estimates", extra=fields)

    def _judge(self, simulated: SimulatedNode, sampled_ms: int, reading_c: tuple[int, int]) -> None:
        """Count a sample as correct or wrong, after its packet; it is wrong while the gateway holds no forecast."""
        held = self._receiver.forecasts.get(simulated.number)
        wrong = held is None or trigger.is_wrong(*reading_c, held.at(sampled_ms), held.settings)
        simulated.meter.observe(wrong, round(simulated.interval_s))
        self.samples += 1

    def _transmit(self, simulated: SimulatedNode, sends: list[Send], now_ms: int) -> None:
        """Put packets on the air, and set the node's timer again: every event at a node ends here."""
        for send in sends:
            self._packets[send.kind] += 1
            self._schedule_end(simulated, self.radio.transmit(simulated.number, True, now_ms, send.data))
        deadline_ms = simulated.node.deadline_ms()
        if deadline_ms is not None and deadline_ms != simulated.timer_ms:
            self.agenda.schedule(max(now_ms, deadline_ms), lambda now_ms: self._timer(simulated, deadline_ms, now_ms))
        simulated.timer_ms = deadline_ms

    def _timer(self, simulated: SimulatedNode, deadline_ms: int, now_ms: int) -> None:
        if simulated.timer_ms == deadline_ms:  # otherwise it has been set again since
            simulated.timer_ms = None
            self._transmit(simulated, simulated.node.due(now_ms), now_ms)

    def _schedule_end(self, simulated: SimulatedNode, transmission: Transmission) -> None:
        self.agenda.schedule(transmission.end_ms, lambda _: self._schedule_arrivals(simulated, transmission))

    def _schedule_arrivals(self, simulated: SimulatedNode, transmission: Transmission) -> None:
        for reception in self.radio.arrivals(transmission):
            self._schedule_reception(simulated, reception)

    def _schedule_reception(self, simulated: SimulatedNode, reception: Reception) -> None:
        arrive = self._arrive_at_receiver if reception.transmission.is_up else self._arrive_at_node
        data = reception.transmission.data
        self.agenda.schedule(reception.at_ms, lambda now_ms: arrive(simulated, data, now_ms))

    def _arrive_at_receiver(self, simulated: SimulatedNode, frame: bytes, now_ms: int) -> None:
        pending = self._receiver.forward(frame, now_ms)
        if pending is not None:
            self.agenda.schedule(now_ms + REPLY_AFTER_MS, lambda now_ms: self._reply(simulated, pending, now_ms))

    async def _reply(self, simulated: SimulatedNode, pending: PendingReply, now_ms: int) -> None:
        """Wait for the real gateway; no time passes in the nodes' world meanwhile."""
        data = await self._receiver.reply(pending)
        if data is not None:
            self._schedule_end(simulated, self.radio.transmit(simulated.number, False, now_ms, data))

    def _arrive_at_node(self, simulated: SimulatedNode, data: bytes, now_ms: int) -> None:
        if simulated.has_power:
            self._transmit(simulated, simulated.node.receive(data, now_ms), now_ms)


def _log_note(note: str) -> None:
    log.warning("recording not read as it stands", extra={"event": "recording_note", "note": note})
