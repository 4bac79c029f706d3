"""A simulated receiver on the gateway's serial port, and its record of what the gateway acknowledged.

Neither gateway nor server writes that record, and no fault touches it, so it shows what must be in the database in the
end.
"""

import asyncio
import logging
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from aoii.core import stream
from aoii.core.forecast import PROVISIONED, Forecast, NodeSettings
from aoii.core.frames import BACKFILL, KIND, Rejected, Uplink, decode_ack, decode_uplink
from aoii.edge.drivers.host import SimulatedPort
from aoii.security.node_keys import NodeKey

log = logging.getLogger(__name__)

REPLY_WAIT_S = 5.0  # of real time; a busy machine may be slow, and in the nodes' world no time passes meanwhile
SILENT_WAIT_S = 0.05  # of real time; used after a reply that did not come, until the gateway answers again
UPLINKS_REMEMBERED = 100_000
RSSI_DBM, SNR_DB = -90, 8  # of every packet: the simulated radio decides what arrives, not how well


@dataclass(eq=False)
class PendingReply:
    """A reply that the gateway owes to a frame.

    Attributes:
        frame_id: See `_frame_id`.
        data: The reply, when it comes.
        deadline_s: When to give up, on the clock of the event loop.
    """

    frame_id: bytes
    data: "asyncio.Future[bytes]"
    deadline_s: float


class Receiver:
    """A receiver that passes frames to the gateway and returns its replies.

    Args:
        link: Path at which the gateway opens the serial port.
        record: CSV file `node,epoch,counter` of all readings that the gateway acknowledged; None: none.
        keys: Keys of the nodes, by number.

    Attributes:
        forecasts: The gateway's forecast of each node, made from what the gateway acknowledged.
    """

    def __init__(self, link: Path, record: Path | None, keys: dict[int, NodeKey]) -> None:
        self._keys = keys
        self._port = SimulatedPort(link, self._read)
        self._reader = stream.Reader()
        self._pending: defaultdict[bytes, deque[PendingReply]] = defaultdict(deque)  # by frame, oldest first
        self._gateway_replies = True
        self._record = record.open("a", buffering=1, encoding="ascii") if record else None
        self._uplinks: dict[bytes, tuple[Uplink, int]] = {}  # by frame, with the instant of the sample
        self._settings: dict[tuple[int, int], NodeSettings] = {}  # by node and generation
        self._newest_frame: dict[int, int] = {}  # by node, of those that were acknowledged
        self._accepted: set[tuple[int, int, int]] = set()
        self.forecasts: dict[int, Forecast] = {}

    @property
    def is_plugged(self) -> bool:
        """Whether the gateway can open the port."""
        return self._port.is_plugged

    def plug(self) -> None:
        """Make the receiver appear."""
        self._port.plug()

    def unplug(self) -> None:
        """Take the receiver away; half a line or frame from the gateway is lost."""
        self._port.unplug()
        self._reader = stream.Reader()

    def forward(self, frame: bytes, now_ms: int) -> PendingReply | None:
        """Pass a frame from the air to the gateway; return the reply that it owes, None when unplugged."""
        if not self._port.is_plugged:
            return None
        frame_id = _frame_id(frame)
        uplink = decode_uplink(frame, lambda node: self._keys[node].key)
        if isinstance(uplink, Uplink):
            self._uplinks.setdefault(frame_id, (uplink, now_ms - 1000 * uplink.age_s))
            if len(self._uplinks) > UPLINKS_REMEMBERED:
                del self._uplinks[next(iter(self._uplinks))]
        loop = asyncio.get_running_loop()
        wait_s = REPLY_WAIT_S if self._gateway_replies else SILENT_WAIT_S
        pending = PendingReply(frame_id, loop.create_future(), loop.time() + wait_s)
        self._pending[frame_id].append(pending)
        self._port.write(stream.encode_usb_uplink(RSSI_DBM, SNR_DB, frame))
        return pending

    async def reply(self, pending: PendingReply) -> bytes | None:
        """The gateway's reply; None when it does not come in time."""
        try:
            async with asyncio.timeout_at(pending.deadline_s):
                return await pending.data
        except TimeoutError:
            self._gateway_replies = False
            return None
        finally:
            others = self._pending[pending.frame_id]
            if pending in others:
                others.remove(pending)
            if not others:
                del self._pending[pending.frame_id]

    def _read(self, chunk: bytes) -> None:
        for found in self._reader.feed(chunk):
            if isinstance(found, stream.Frame) and found.type == stream.DOWNLINK:
                self._take_ack(found.content)

    def _take_ack(self, data: bytes) -> None:
        frame_id = _frame_id(data)
        if frame_id not in self._uplinks:
            return
        uplink, sampled_ms = self._uplinks[frame_id]
        ack = decode_ack(data, uplink.node, uplink.epoch, self._keys[uplink.node].key)
        if isinstance(ack, Rejected):
            log.error("gateway sent a bad acknowledgement", extra={"event": "bad_ack", "reason": ack.detail})
            return
        self._gateway_replies = True
        if ack.settings is not None:
            self._settings[uplink.node, ack.generation & 7] = ack.settings
        self._record_accepted(uplink)
        self._update_forecast(uplink, sampled_ms)
        if pending := self._pending.get(frame_id):
            oldest = pending.popleft()
            if not oldest.data.done():
                oldest.data.set_result(data)

    def _record_accepted(self, uplink: Uplink) -> None:
        identity = (uplink.node, uplink.epoch, uplink.counter)
        if identity not in self._accepted:
            self._accepted.add(identity)
            if self._record is not None:
                self._record.write(f"{uplink.node},{uplink.epoch},{uplink.counter}\n")

    def _update_forecast(self, uplink: Uplink, sampled_ms: int) -> None:
        if uplink.frame <= self._newest_frame.get(uplink.node, -1):  # repeated, or late
            return
        self._newest_frame[uplink.node] = uplink.frame
        if uplink.flags & KIND != BACKFILL:
            settings = self._settings.get((uplink.node, uplink.generation), PROVISIONED)
            self.forecasts[uplink.node] = Forecast(
                uplink.temperature_c, uplink.humidity_c, uplink.trend, settings, sampled_ms
            )


def _frame_id(data: bytes) -> bytes:
    """Node, epoch and frame number, as they stand in the bytes of a frame and of its acknowledgement."""
    return data[1:9]
