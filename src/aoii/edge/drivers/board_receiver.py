"""The receiver's life on its board: between the radio and the gateway's USB port, all the time.

What passes and in which form is decided by `edge.receiver_bridge`.
"""

from ...core.link import DutyCycleBudget
from ..receiver_bridge import ReceiverBridge

MYPY = False
if MYPY:
    from collections.abc import Callable

    from .board_interfaces import Clock, Port
    from .board_radio import Radio

SEND_LIMIT_MS = 3000  # a packet of 32 bytes takes 1.8 s at SF12


class Station:
    """A receiver.

    Args:
        radio: The radio.
        port: The USB port.
        clock: Time.
        airtime_ms: Of a packet of so many bytes.
        duty_permille: Share of the air that it may use in any hour; an answer beyond that is not sent.
        listens: Whether it must find the channel free before it sends, as in KR920.
    """

    def __init__(
        self,
        radio: "Radio",
        port: "Port",
        clock: "Clock",
        airtime_ms: "Callable[[int], int]",
        duty_permille: int,
        listens: bool,
    ) -> None:
        self.bridge = ReceiverBridge()
        self._radio = radio
        self._port = port
        self._clock = clock
        self._airtime_ms = airtime_ms
        self._budget = DutyCycleBudget(duty_permille)
        self._listens = listens
        self._sending_until_ms: int | None = None

    def step(self) -> bool:
        """Move what there is to move; whether there was anything."""
        now_ms = self._clock.now_ms()
        chunk = self._port.read()
        if chunk:
            self.bridge.accept_usb_bytes(chunk, now_ms)
        if self._sending_until_ms is not None:
            return self._finish(now_ms)
        packet = self._radio.poll()
        if packet is not None:
            said = self.bridge.accept_radio_packet(packet.data, packet.rssi_dbm, packet.snr_db, now_ms)
            if said:
                self._port.write(said)
        data = self.bridge.next_packet(now_ms)
        if data and self._may_send(len(data), now_ms):
            self._radio.begin(data)
            self._sending_until_ms = now_ms + SEND_LIMIT_MS
        return bool(chunk or packet or data)

    def _may_send(self, size: int, now_ms: int) -> bool:
        airtime_ms = self._airtime_ms(size)
        if self._budget.ready_ms(airtime_ms, now_ms) > now_ms or (self._listens and not self._radio.is_free()):
            return False
        self._budget.spend(airtime_ms, now_ms)
        return True

    def _finish(self, now_ms: int) -> bool:
        """While a packet goes out nothing can be heard; whether it is out."""
        is_sent = self._radio.is_sent()
        if not is_sent:
            if self._sending_until_ms is None or now_ms <= self._sending_until_ms:
                return False
            self._radio.start()
        self._sending_until_ms = None
        said = self.bridge.confirm_sent()
        if said and is_sent:
            self._port.write(said)
        return True
