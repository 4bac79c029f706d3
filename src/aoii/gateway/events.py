"""What the deciding files of the gateway hand to each other: when something was heard, and what it says."""

from dataclasses import dataclass

from aoii.broker.messages import Identity, Kind


@dataclass(frozen=True)
class Instant:
    """A moment on the gateway's clocks.

    Attributes:
        unix_ms: Wall clock, milliseconds since 1970; it may jump.
        is_synced: Whether the wall clock is believed.
        elapsed_ms: Never jumps; means something only within one `session` of the gateway.
        session: A number that this run of the gateway drew at its start.
    """

    unix_ms: int
    is_synced: bool
    elapsed_ms: int
    session: int


@dataclass(frozen=True)
class Event:
    """A reading that was heard.

    Attributes:
        identity: Which reading it is.
        kind: Why the node sent it.
        actual_t, actual_h: The reading, °C and %RH.
        believed: What the gateway believed of this node for the instant of the sample, °C and %RH; None: nothing yet.
        unix_ms: When the sample was taken, by the gateway's wall clock; None: not even the node knows.
        clock_synced: Whether that clock was believed, and the node knew how old its sample was.
        delay_ms: Gateway clock minus node clock, for nodes that send theirs and when it is plausible.
        held_ms: For how long, at least, the gateway went on believing that after the sample; None: nobody knows.
    """

    identity: Identity
    kind: Kind
    actual_t: float
    actual_h: float
    believed: tuple[float, float] | None
    unix_ms: int | None
    clock_synced: bool
    delay_ms: int | None = None
    held_ms: int | None = None


def since_ms(now: Instant, then_unix_ms: int, then_synced: bool, then_elapsed_ms: int, then_session: int) -> int | None:
    """Milliseconds since an instant that was kept, 0 or more; across a restart by the wall clock, if it was believed.

    Returns:
        None when nobody can know: the instant is of an earlier session, and the wall clock was not, or ran backwards.
    """
    if now.session == then_session:
        return max(0, now.elapsed_ms - then_elapsed_ms)
    if now.is_synced and then_synced and now.unix_ms >= then_unix_ms:
        return now.unix_ms - then_unix_ms
    return None
