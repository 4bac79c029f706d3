"""Values that the gateway's files share: an instant on its clocks, an accepted reading, and its item in the outbox."""

from dataclasses import dataclass

from aoii.broker.messages import Identity, Kind

OLD_NODE_MARK = "/"  # in the name of every old node, and of none of ours


@dataclass(frozen=True)
class Instant:
    """A moment on the gateway's clocks.

    Attributes:
        unix_ms: Wall clock, milliseconds since 1970; it may jump.
        is_synced: Whether the wall clock can be relied on.
        elapsed_ms: Never jumps; comparable only within one `session`.
        session: Random number of this run of the gateway.
    """

    unix_ms: int
    is_synced: bool
    elapsed_ms: int
    session: int

    @property
    def synced_unix_ms(self) -> int | None:
        """The wall clock; None if it cannot be relied on."""
        return self.unix_ms if self.is_synced else None


@dataclass(frozen=True)
class AcceptedReading:
    """A reading that the gateway accepts; `intake` makes an `RX` message of it.

    Attributes:
        identity: Which reading it is.
        kind: Why the node sent it.
        actual_t: The reading's temperature, °C.
        actual_h: The reading's humidity, %RH.
        estimate: The gateway's estimate for the instant of the sample, °C and %RH; None before the first forecast, and
            when the instant is unknown.
        unix_ms: When the sample was taken, by the gateway's wall clock; None if the node does not know how old it is.
        clock_synced: Whether that clock could be relied on, and the node knew the age of its sample.
        delay_ms: Gateway clock minus node clock; None if the node sends no clock, or the difference is not plausible.
        held_ms: For how long, at least, the gateway went on with the forecast of `estimate` after the sample; None if
            unknown.
    """

    identity: Identity
    kind: Kind
    actual_t: float
    actual_h: float
    estimate: tuple[float, float] | None
    unix_ms: int | None
    clock_synced: bool
    delay_ms: int | None = None
    held_ms: int | None = None


def since_ms(now: Instant, then_unix_ms: int, then_synced: bool, then_elapsed_ms: int, then_session: int) -> int | None:
    """Milliseconds since a stored instant, 0 or more.

    Within a session the elapsed clock measures them; after a restart of the gateway only the wall clock can.

    Returns:
        None if unknown: the instant is of an earlier session, and the wall clock was not synced at both ends or ran
        backwards.
    """
    if now.session == then_session:
        return max(0, now.elapsed_ms - then_elapsed_ms)
    if now.is_synced and then_synced and now.unix_ms >= then_unix_ms:
        return now.unix_ms - then_unix_ms
    return None


@dataclass(frozen=True, slots=True)
class Item:
    """An accepted reading as it stands in the file.

    Attributes:
        seq: Order of acceptance, > 0, unique in one file.
        identity: Node, epoch and counter.
        qos: MQTT quality of service; 1 when the estimate was wrong or there was none.
        payload: The `RX` message, byte for byte.
        accepted_ms: When it was accepted by the machine's clock, Unix milliseconds; for gauges, never for order.
    """

    seq: int
    identity: Identity
    qos: int
    payload: bytes
    accepted_ms: int
