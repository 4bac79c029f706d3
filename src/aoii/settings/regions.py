"""Regions: the radio settings that boards get where RADIO_REGION says so. Pure.

What is lawful depends on antenna and use as well: these are the values from which to begin, with where they come from.
"""

from typing import NamedTuple


class Region(NamedTuple):
    """What the rules of a region decide about a board's radio.

    Attributes:
        frequency_mhz: Of the one channel that nodes and receivers share.
        power_dbm: At the antenna pin, 2..17.
        duty_permille: Largest share of any hour on the air, 1..1000; 1000: no limit.
        listens: Whether a board listens before it talks.
    """

    frequency_mhz: float
    power_dbm: int
    duty_permille: int
    listens: bool


OLDER = "older"
REGIONS = {
    OLDER: Region(433.0, 14, 10, False),  # what nodes of the older installation use, and boards without a region
    "EU433": Region(433.175, 10, 10, False),  # ETSI EN 300 220: 10 mW e.r.p.; channel of LoRaWAN RP002
    "EU868": Region(868.1, 14, 10, False),  # ETSI EN 300 220: 25 mW e.r.p., 1 %; channel of LoRaWAN RP002
    "KR920": Region(922.1, 14, 1000, True),  # LoRaWAN RP002: 14 dBm from 922.1 MHz on, listen before talk
    # FCC 15.249: a channel that never changes may have 50 mV/m at 3 m, -1.2 dBm e.i.r.p.; the chip's least is 2 dBm.
    "US915": Region(915.0, 2, 1000, False),
}
