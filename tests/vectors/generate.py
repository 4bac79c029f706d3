"""Writes the golden vectors: `python tests/vectors/generate.py`, by hand, when the wire format is meant to change.

What can be computed without our code is: authentication codes by `hmac`, fields by hand, estimates in exact
fractions. Link scripts and the life of a node are recorded from CPython; they hold both interpreters to the same
behaviour.
"""

import hashlib
import hmac
import json
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from aoii.core import frames, link  # noqa: E402
from aoii.core.frames import NodeSettings  # noqa: E402
from aoii.core.learner import Learner  # noqa: E402
from aoii.core.store import RamStore  # noqa: E402
from aoii.simulation import recordings  # noqa: E402
from vectors import replay  # noqa: E402 - found by the line above

Case = dict[str, Any]
KEY = bytes(range(16))
NUMBERS = replay.Chance(2016)


def signed(direction: bytes, body: bytes, key: bytes = KEY) -> str:
    return (body + hmac.new(key, direction + body, hashlib.sha256).digest()[:6]).hex()


def trend_cases() -> list[Case]:
    """Exact fractions, except for the documented rounding of the table of the trend."""
    table = [Fraction(0)]
    for _ in range(3000):
        table.append(1 + Fraction(int(table[-1] * 65536) * 98 // 100, 65536))
    cases = []
    byte = NUMBERS.byte
    steps = [0, 1, 2, 3, 7, 8, 16, 60, 300, 577, 578, 579, 1440, 3000]
    for number in range(300):
        reading_c, epsilon_c = byte() * 40 - 4000, byte() * (1 if number % 3 else 40) + 1
        level, slope, damping = byte() - 128, byte() - 128, byte() % 2
        k = steps[number % len(steps)]
        exact = reading_c + Fraction(level * epsilon_c, 16)
        if damping:
            exact += Fraction(slope * epsilon_c, 128) * table[k]
        estimate_c = (exact + Fraction(1, 2)).__floor__()
        cases.append({"arguments": [reading_c, level, slope, damping, epsilon_c, k], "estimate_c": estimate_c})
    return cases


UPLINKS: list[tuple[str, list[int], list[int], list[int]]] = [
    # name; node, epoch, frame, counter, age, temperature, humidity; trend; flags, generation, battery
    ("first contact", [7, 1, 1, 1, 0, 2135, 4520], [0, 0, 0, 0, 0], [1, 0, 0]),
    ("event with a trend below zero", [7, 1, 258, 200, 0, -512, 8801], [-3, 12, 4, -9, 1], [1, 3, 140]),
    ("heartbeat, low battery", [7, 1, 259, 201, 0, 2140, 4490], [0, 5, 0, -2, 1], [2 | 16, 3, 118]),
    ("backfill of yesterday, sensor fault", [7, 1, 260, 90, 90_061, 1999, 5000], [0, 0, 0, 0, 0], [4 | 8, 3, 0]),
    (
        "everything at its largest",
        [7, 0xFFFF, 2**32 - 1, 2**32 - 1, 2**24 - 1, 32767, 65535],
        [127] * 4 + [1],
        [25, 7, 255],
    ),
    ("everything at its smallest", [7, 0, 0, 0, 0, -32768, 0], [-128] * 4 + [0], [1, 0, 0]),
]
ANSWERS: list[tuple[str, list[int], int, list[int]]] = [
    # name; as above; answers; as above
    (
        "asked for 95: nothing from 91 to 95 is held or was acknowledged",
        [7, 1, 261, 90, 9000, 1999, 5000],
        95,
        [4, 3, 0],
    ),
    ("asked for 20: the oldest held is 90, more is not known", [7, 1, 262, 90, 9060, 1999, 5000], -20, [4, 3, 0]),
]


def uplink_cases() -> list[Case]:
    cases: list[Case] = []
    for name, numbers, shared, rest in UPLINKS + ANSWERS:
        trend = [0] * 5 if isinstance(shared, int) else shared
        four = struct.pack("<i", shared) if isinstance(shared, int) else struct.pack("<4b", *trend[:4])
        node, epoch, frame, counter, age_s, temperature_c, humidity_c = numbers
        flags, generation, battery = rest
        body = bytes((0x10 | trend[4],)) + struct.pack("<HHII", node, epoch, frame, counter)
        body += age_s.to_bytes(3, "little") + struct.pack("<hH", temperature_c, humidity_c) + four
        body += bytes((flags | generation << 5, battery))
        names = ("node", "epoch", "frame", "counter", "age_s", "temperature_c", "humidity_c")
        fields: Case = dict(zip(names, numbers, strict=True))
        fields |= {"trend": trend, "flags": flags, "generation": generation, "battery": battery}
        fields |= {"answers": shared} if isinstance(shared, int) else {}
        cases.append({"name": name, "key": KEY.hex(), "fields": fields, "bytes": signed(b"U", body)})
    good = bytes.fromhex(cases[0]["bytes"])
    for reason, data in (
        ("length", good[:-1].hex()),
        ("length", ""),
        ("version", (b"\x20" + good[1:]).hex()),
        ("unknown_node", (good[:1] + b"\x08" + good[2:]).hex()),
        ("mac", (good[:16] + b"\x58" + good[17:]).hex()),
        ("mac", signed(b"D", good[:26])),
        ("mac", signed(b"U", good[:26], bytes(16))),
        ("trend", signed(b"U", b"\x12" + good[1:26])),
        ("flags", signed(b"U", good[:24] + b"\x03" + good[25:26])),
    ):
        cases.append({"name": f"refused: {reason}", "key": KEY.hex(), "bytes": data, "reason": reason})
    return cases


ACKS: list[tuple[str, list[int], list[int] | None]] = [
    # name; node, epoch, frame, unix_s, unix_ms, generation and again; settings
    ("acknowledged", [7, 1, 258, 1_451_606_400, 123, 3, 0], None),
    ("acknowledged, with settings", [7, 1, 1, 1_451_606_400, 999, 3, 0], [50, 300, 60, 3600, 600, 2]),
    ("a gateway without time", [7, 1, 2**32 - 1, 0, 0, 7, 31], None),
    ("asks for the reading five numbers before", [7, 1, 258, 1_451_606_400, 123, 3, 5], None),
]


def ack_cases() -> list[Case]:
    cases: list[Case] = []
    for name, numbers, settings in ACKS:
        body = b"\x11" + struct.pack("<HHIIHB", *numbers[:5], numbers[5] | numbers[6] << 3)
        if settings is not None:
            body += struct.pack("<5HB", *settings)
        names = ("node", "epoch", "frame", "unix_s", "unix_ms", "generation")
        fields: Case = dict(zip(names, numbers[:6], strict=True)) | {"settings": settings}
        fields |= {"again": numbers[6]} if numbers[6] else {}
        cases.append({"name": name, "key": KEY.hex(), "fields": fields, "bytes": signed(b"D", body)})
    good = bytes.fromhex(cases[0]["bytes"])
    whole = bytes.fromhex(cases[1]["bytes"])
    for reason, data in (
        ("length", good[:-1].hex()),
        ("version", (b"\x10" + good[1:]).hex()),
        ("node", (good[:1] + b"\x08" + good[2:]).hex()),
        ("mac", (good[:5] + b"\x03" + good[6:]).hex()),
        ("mac", signed(b"U", good[:16])),
        ("epoch", signed(b"D", good[:3] + b"\x02" + good[4:16])),
        ("range", signed(b"D", good[:13] + b"\xe8\x03" + good[15:16])),
        ("range", signed(b"D", whole[:20] + b"\0\0" + whole[22:27])),
        ("range", signed(b"D", whole[:26] + b"\0")),
        ("length", signed(b"D", whole[:24])),
    ):
        cases.append({"name": f"refused: {reason}", "key": KEY.hex(), "bytes": data, "reason": reason})
    return cases


def cobs(data: bytes) -> bytes:
    """From the definition: each zero becomes the distance to the next, with one more zero before the first byte."""
    out = bytearray(b"\0" + data + b"\0")
    last = len(out) - 1
    for at in range(last - 1, -1, -1):
        if out[at] == 0:
            out[at], last = last - at, at
    return bytes(out[:-1])


def usb(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return b"\0" + cobs(body + crc32(body).to_bytes(4, "little")) + b"\0"


def stream_cases(uplink: bytes, ack: bytes) -> list[Case]:
    uplink_frame = usb(b"U", struct.pack("<bb", -91, 8) + uplink)
    up = ["frame", "U", (struct.pack("<bb", -91, 8) + uplink).hex()]
    line = b"Received: 1234567,21.35,45.20\r\n"
    read = ["line", "Received: 1234567,21.35,45.20"]
    broken = uplink_frame[:9] + bytes((uplink_frame[9] ^ 1,)) + uplink_frame[10:]
    cases: list[Case] = [
        {"name": "an uplink", "bytes": uplink_frame.hex(), "notes": [up], "sent": ["U", up[2]]},
        {
            "name": "a downlink",
            "bytes": usb(b"D", ack).hex(),
            "notes": [["frame", "D", ack.hex()]],
            "sent": ["D", ack.hex()],
        },
    ]
    for name, data, notes in (
        ("an old line", line, [read]),
        (
            "lines and frames",
            line + uplink_frame + uplink_frame + b"Sync sent: 1\r\n" + uplink_frame,
            [read, up, up, ["line", "Sync sent: 1"], up],
        ),
        ("a frame with one bit flipped, then a good one", broken + uplink_frame, [["damaged", "crc"], up]),
        ("a frame without its first zero", uplink_frame[1:] + uplink_frame, [up, up]),
        ("a frame without its last zero", uplink_frame[:-1] + uplink_frame, [up, up]),
        ("a single zero before a line", b"\0" + line, [read]),
        ("a line cut by a frame", b"Receiv" + uplink_frame + line, [["damaged", "cut"], up, read]),
        ("a line that is no text", b"\xff\xfe\n" + line, [["damaged", "encoding"], read]),
        ("an endless line", b"-" * 257 + b"\n" + line, [["damaged", "long"], read]),
        ("an endless frame", b"\0" + b"\xff" * 97 + uplink_frame, [["damaged", "long"], up]),
        ("lengths that do not fit", b"\0\xff\x80\x81\0" + uplink_frame, [["damaged", "cobs"], up]),
        ("empty lines and double zeros", b"\n\r\n\0\0\0" + uplink_frame, [up]),
        ("a tail", line + uplink_frame[:-1], [read]),
    ):
        cases.append({"name": name, "bytes": data.hex(), "notes": notes})
    return cases


def ack_for(data: str, at_ms: int, settings: list[int] | None = None) -> str:
    uplink = bytes.fromhex(data)
    body = b"\x11" + uplink[1:9] + struct.pack("<IHB", 1_451_606_400 + at_ms // 1000, at_ms % 1000, 3)
    return signed(b"D", body + (struct.pack("<5HB", *settings) if settings else b""))


def link_cases() -> list[Case]:
    """Scripts recorded from this interpreter; the steps are chosen here, what they lead to is recorded."""
    return [
        script("acknowledged at once", ["submit", "ack"]),
        script("the acknowledgement is lost twice", ["submit", "due", "due", "due", "due", "ack", "ack"]),
        script("a newer reading, then backfill", ["submit", "due", "submit", "ack", "due", "due", "ack", "due", "ack"]),
        script("a long silence", ["submit"] + ["due"] * 30 + ["ack"]),
        script("a late acknowledgement of what was set aside", ["submit", "submit", "old ack", "ack"]),
        script("settings, then noise", ["submit", "settings", "noise", "submit", "noise", "ack"]),
        script("a heartbeat makes way", ["heartbeat", "due", "submit", "ack", "old ack"]),
    ]


def script(name: str, words: list[str]) -> Case:
    settings, seed = [50, 300, 60, 3600, 600, 1], len(words)
    machine = link.Link(7, 1, KEY, NodeSettings(*settings), RamStore(), replay.Chance(seed).random)
    now_ms, sent, steps = 0, [""], []
    for number, word in enumerate(words):
        step: Case = {"at_ms": now_ms, "do": word}
        if word in ("submit", "heartbeat"):
            kind = frames.EVENT if word == "submit" else frames.HEARTBEAT
            step |= {
                "do": "submit",
                "kind": kind,
                "reading": [2000 + number, 5000 - number, [number, -number, 1, 2, 1]],
            }
        elif word == "due":
            step["at_ms"] = now_ms = machine.deadline_ms() or now_ms
        else:
            told = [40, 250, 30, 600, 0, 1] if word == "settings" else None
            data = {"noise": "00" * 22, "old ack": ack_for(sent[0] or sent[-1], now_ms)}.get(word)
            now_ms += 700
            step |= {"at_ms": now_ms, "do": "receive", "bytes": data or ack_for(sent[-1], now_ms, told)}
        step["then"] = replay.do_link(machine, step)
        sent = [data for data in sent if data] + [data for _, data in step["then"]["sends"]] or [""]
        steps.append(step)
        now_ms += 100
    return {"name": name, "settings": settings, "seed": seed, "steps": steps}


def node_cases() -> list[Case]:
    cases = []
    for seed, loss in ((1, 0), (2, 26), (3, 77), (4, 150), (5, 26), (6, 150)):
        sleeps = seed > 4
        samples = 20 if sleeps else 60
        life = replay.Life(seed, loss)  # awake: sleeping must not change what is recorded
        life.go_on(samples)
        case: Case = {"name": f"seed {seed}", "seed": seed, "samples": samples, "loss": loss, "sleeps": sleeps}
        cases.append(case | {"digest": life.digest()})
    return cases


def learner_case() -> Case:
    """Four hours of the shipped day, with a short and a long gap, and no clock at the end; recorded from CPython."""
    (day,) = recordings.parse()
    gaps = {100: 3, 160: 40}
    samples: list[tuple[int, int, int, int | None]] = [
        (day.temperature_c[i], day.humidity_c[i], gaps.get(i - 900, 1), 60_000 * i if i < 1120 else None)
        for i in range(900, 1140)
    ]
    learner = Learner(50, 300)
    trends = []
    for sample in samples:
        learner.observe(*sample)
        trends.append(list(learner.trend()))
    state = hashlib.sha256(learner.dump()).hexdigest()
    return {"epsilon_c": [50, 300], "samples": samples, "trends": trends, "state": state}


def main() -> None:
    uplinks, acks = uplink_cases(), ack_cases()
    vectors = {
        "trend": trend_cases(),
        "uplinks": uplinks,
        "acks": acks,
        "stream": stream_cases(bytes.fromhex(uplinks[1]["bytes"]), bytes.fromhex(acks[0]["bytes"])),
        "link": link_cases(),
        "node": node_cases(),
    }
    for name, cases in vectors.items():
        lines = ",\n".join(json.dumps(case) for case in cases)
        (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(f"{name}: {len(cases)} cases")
    case = learner_case()
    (HERE / "learner.json").write_text(json.dumps(case) + "\n", encoding="utf-8")
    print(f"learner: {len(case['samples'])} samples")


if __name__ == "__main__":
    main()
