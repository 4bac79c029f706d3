"""A node with the old firmware on a port of its own: lines of text, a time reply that must come within a second.

Nothing that it says has an identity, so every reading says something that it never said before, and is known by that.
A reply does not say what it answers. After one that did not come, the node is silent until a late one would have come.
"""

import os
import re
import select
import threading
import time
from pathlib import Path

from faults.recorder import Content, Key, Recorder
from servers import pty_port

NAME = "old"  # for the recorder; the gateway calls it after its port
REPLY_S = 1.0  # the old receiver waits this long
SILENCE_S = 2.0
PAUSE_S = 0.1
SPAN_C = 8000  # temperatures of -30 to 50 °C
STEP_C = 151  # has no common factor with SPAN_C, so the temperatures come round after SPAN_C readings
FIRST_C, DRIEST_C = -3000, 1000


def content_of(number: int) -> Content:
    """What the reading of this number says; no two say the same."""
    return Content(number * STEP_C % SPAN_C + FIRST_C, DRIEST_C + number // SPAN_C)


def key_of(content: Content) -> Key:
    """The reading that says this."""
    within = (content.temperature_c - FIRST_C) * pow(STEP_C, -1, SPAN_C) % SPAN_C
    return Key(NAME, 0, (content.humidity_c - DRIEST_C) * SPAN_C + within)


class OldNode:
    """The node, from `with` to its end; it says nothing before `talk`.

    Args:
        link: Where its receiver's port appears.
        recorder: Is told everything.
    """

    def __init__(self, link: Path, recorder: Recorder) -> None:
        self._link = link
        self._recorder = recorder
        self._number = 0
        self._may_talk = threading.Event()
        self._is_talking = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="old-node", daemon=True)

    def __enter__(self) -> "OldNode":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def talk(self) -> None:
        """Send readings from now on."""
        self._may_talk.set()

    def hush(self) -> None:
        """Begin no new reading."""
        self._may_talk.clear()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._is_talking and not self._may_talk.is_set()

    def _run(self) -> None:
        with pty_port(self._link) as port:
            os.set_blocking(port, False)
            while not self._stopping.wait(PAUSE_S):
                self._is_talking = True
                is_answered = not self._may_talk.is_set() or self._speak(port)
                self._is_talking = False
                if not is_answered:
                    self._stopping.wait(SILENCE_S)

    def _speak(self, port: int) -> bool:
        """Say one more reading; whether it was answered in time."""
        self._number += 1
        said = content_of(self._number)
        key = key_of(said)
        self._recorder.note_sent(key, said)
        _drop_input(port)
        try:
            os.write(port, b"Received: %.2f,%.2f\n" % (said.temperature_c / 100, said.humidity_c / 100))
        except BlockingIOError:  # nobody has read for long, and the cable is full
            return False
        if not _is_answered(port):
            return False
        self._recorder.note_accepted(key)
        return True


def _drop_input(port: int) -> None:
    while select.select([port], [], [], 0)[0]:
        os.read(port, 4096)


def _is_answered(port: int) -> bool:
    """Whether a whole time reply comes in time."""
    heard = b""
    deadline_s = time.monotonic() + REPLY_S
    while not re.fullmatch(rb"\d+\n", heard):
        if not select.select([port], [], [], max(0, deadline_s - time.monotonic()))[0]:
            return False
        heard += os.read(port, 4096)
    return True
