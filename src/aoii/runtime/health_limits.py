"""When the page warns, the doctor complains and an alert fires: every limit that these share, once.

The alert rules in deploy/prometheus/rules are text; a test compares each number in them with this file. Where the page
or the doctor speaks earlier than the alert, there are two limits and the names say whose each is.
"""

# --- silence ----------------------------------------------------------------------------------------------------------
SILENCE_S = 600  # operators of the older installation have this alert: nothing received for 600 s
HEARTBEAT_GRACE_S = 120  # a heartbeat may be lost and sent again, and Prometheus looks every 15 s
PAGE_SILENCE_GRACE_S = 600  # on top of a heartbeat; the page judges past hours too, and those have gaps
PAGE_SILENCE_WITHOUT_HEARTBEAT_S = 86_400.0  # a node without heartbeats may be silent for long while nothing changes
AOII_HIGH_S = 600  # an estimate that stays wrong for as long as a whole silence

# --- outbox -----------------------------------------------------------------------------------------------------------
PAGE_OUTBOX_GROWING_AGE_S = 5.0  # younger readings are on their way
PAGE_COMMIT_SLOW_S = 10.0  # since the last acknowledgement; they usually take milliseconds
PAGE_OUTBOX_OLD_S = 30.0  # the outbox empties within a second of the database's answer; whoever looks sees it early
OUTBOX_OLD_S = 300  # a restart of broker, server or database ends sooner and wakes nobody
OUTBOX_GROWING_READINGS = 100  # fewer are a burst after a short interruption
OUTBOX_FULL_SHARE = 0.8  # of its limit

# --- the machine ------------------------------------------------------------------------------------------------------
CLOCK_OFFSET_S = 30  # far above the time on the way, which the measurement includes
DISK_LOW_BYTES = 500_000_000
DISK_FORECAST_S = 86_400  # the disk fills up within a day at the rate of the last hour,
DISK_FORECAST_FREE_SHARE = 0.5  # and no more than this share of it is free
EARLY_CERTIFICATE_DAYS = 30  # `aoii doctor` and `aoii certs show`: whoever looks anyway can renew it early
CERTIFICATE_DAYS = 21
DAY_S = 86_400

# --- estimates --------------------------------------------------------------------------------------------------------
ERROR_HIGH_FACTOR = 2  # of the threshold: the average error of an hour is below it while node and gateway agree


def silence_limit_s(heartbeat_s: float | None) -> float:
    """How long a node may be silent, in seconds; `heartbeat_s` is None or 0 for a node without heartbeats."""
    return max(SILENCE_S, heartbeat_s + HEARTBEAT_GRACE_S) if heartbeat_s else SILENCE_S
