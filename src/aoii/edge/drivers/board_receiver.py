"""The receiver on its board: moves packets between the radio and the gateway's USB port, and waits for neither.

What passes, and in which form, is decided by `edge.receiver_bridge`.
"""

from ...core.duty_cycle import DutyCycleBudget
from ..receiver_bridge import ReceiverBridge

MYPY = False
if MYPY:
    from collections.abc import Callable

    from .board_interfaces import Clock, Port
    from .board_radio import Radio

SEND_LIMIT_MS = 3000  # a packet of 32 bytes takes 1.8 s at SF12


class BoardReceiver:
    """A receiver.

    Args:
        radio: The radio.
        port: The USB port.
        clock: Time.
        airtime_ms: Airtime of a packet by its size in bytes.
        duty_permille: Share of the air that it may use in any hour, 1..1000; answers beyond that are not sent.
        listens: Whether it listens before it talks, as in KR920.

    Attributes:
        bridge: Decides what passes.
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
        """Move what is there; return False when the caller may pause before the next step.

        Raises:
            UnavailableError: The radio did not confirm a packet, and does not answer when it is restarted.
        """
        now_ms = self._clock.now_ms()
        chunk = self._port.read()
        if chunk:
            self.bridge.accept_usb_bytes(chunk, now_ms)
        if self._sending_until_ms is not None:
            return self._finish(now_ms)
        packet = self._radio.poll()
        if packet is not None:
            report = self.bridge.accept_radio_packet(packet.data, packet.rssi_dbm, packet.snr_db, now_ms)
            if report:
                self._port.write(report)
        data = self.bridge.next_packet(now_ms)
        if data and self._may_send(len(data), now_ms):
            self._radio.start_sending(data)
            self._sending_until_ms = now_ms + SEND_LIMIT_MS
        return bool(chunk or packet or data)

    def _may_send(self, size: int, now_ms: int) -> bool:
        airtime_ms = self._airtime_ms(size)
        if self._budget.ready_ms(airtime_ms, now_ms) > now_ms or (self._listens and not self._radio.is_free()):
            return False
        self._budget.spend(airtime_ms, now_ms)
        return True

    def _finish(self, now_ms: int) -> bool:
        """Return whether the packet being sent has ended; the radio cannot receive meanwhile.

        After SEND_LIMIT_MS it counts as ended, and the radio is restarted.
        """
        is_sent = self._radio.is_sent()
        if not is_sent:
            if self._sending_until_ms is None or now_ms <= self._sending_until_ms:
                return False
            self._radio.start()
        self._sending_until_ms = None
        report = self.bridge.confirm_sent()
        if report and is_sent:
            self._port.write(report)
        return True
