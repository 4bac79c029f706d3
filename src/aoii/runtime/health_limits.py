"""The limits at which the web page warns, `aoii doctor` complains and an alert fires, each declared once.

The alert rules in deploy/prometheus/rules are text; a test compares each number in them with this file. Where the page
or the doctor warns earlier than the alert, there are two limits, and their names say whose each is.
"""

# --- silence ----------------------------------------------------------------------------------------------------------
SILENCE_S = 600  # the older installation has an alert when nothing was received for 600 s
HEARTBEAT_GRACE_S = 120  # a heartbeat may be lost and sent again, and Prometheus looks every 15 s
PAGE_SILENCE_GRACE_S = 600  # added to the heartbeat interval; the page also judges past hours, and those have gaps
PAGE_SILENCE_WITHOUT_HEARTBEAT_S = 86_400.0  # a node without heartbeats may be silent for long while nothing changes
AOII_HIGH_S = 600  # as SILENCE_S: an estimate may stay wrong no longer than a node may be silent

# --- nodes ------------------------------------------------------------------------------------------------------------
WAITING_READINGS = 63  # half of a node's ring; also the most that one restart skips, so that one raises no alert

# --- gateways ---------------------------------------------------------------------------------------------------------
NEIGHBOUR_SIGNS = 3  # in six hours, in which a calm node sends six packets; one may be a gateway that has just joined

# --- broker -----------------------------------------------------------------------------------------------------------
SHORT_CONNECTIONS = 3  # that the broker has ended in a row, each soon; one or two may be restarts of the broker

# --- outbox -----------------------------------------------------------------------------------------------------------
PAGE_OUTBOX_GROWING_AGE_S = 5.0  # of the oldest reading; younger ones are simply on their way
PAGE_COMMIT_SLOW_S = 10.0  # of the oldest reading while no acknowledgement comes; one usually takes milliseconds
PAGE_OUTBOX_OLD_S = 30.0  # of the oldest reading; the outbox usually empties within a second, so the page warns early
COMMIT_ACK_DEADLINE_S = 60  # of the oldest reading, at the gateway; a server gives up on a database after half of it
OUTBOX_OLD_S = 300  # of the oldest reading; a restart of broker, server or database is over sooner and wakes nobody
OUTBOX_GROWING_READINGS = 100  # fewer may be the burst after a short interruption
OUTBOX_FULL_SHARE = 0.8  # of its limit
FULL_SOON_S = 86_400  # until outbox, dead letters or disk are full: a person who looks today is in time
PAGE_AHEAD_S = (
    7 * 86_400
)  # page and doctor name a time to full up to here; what is further off changes with the weather

# --- the machine ------------------------------------------------------------------------------------------------------
CLOCK_OFFSET_S = 30  # the measurement includes the time on the way, which is far shorter
DISK_LOW_BYTES = 500_000_000
DISK_FORECAST_S = 86_400  # the disk fills up within a day at the rate of the last hour,
DISK_FORECAST_FREE_SHARE = 0.5  # and no more than this share of it is free
EARLY_CERTIFICATE_DAYS = 30  # `aoii doctor` and `aoii certs show`: who looks anyway can renew early
CERTIFICATE_DAYS = 21
BACKUP_LATE_FACTOR = 1.1  # times the interval: a daily backup that takes an hour is 25 h old when the next is ready
AUDIT_LOOK_LATE_S = 3600  # since the audit looked at the tables, which it does every ten minutes
AUDIT_ANSWER_LATE_S = 7800  # since a gateway answered; it is asked hourly, and one question may be lost
DAY_S = 86_400

# --- estimates --------------------------------------------------------------------------------------------------------
ERROR_HIGH_FACTOR = 2  # times the threshold; while node and gateway agree, the average error of an hour is lower


def silence_limit_s(heartbeat_s: float | None) -> float:
    """How long a node may be silent, in seconds; `heartbeat_s` is None or 0 for a node without heartbeats."""
    return max(SILENCE_S, heartbeat_s + HEARTBEAT_GRACE_S) if heartbeat_s else SILENCE_S
