"""Keeps what a gateway knows of its nodes' silence: takes what the receivers hear, and carries it over restarts.

What it means is decided in `liveness`. Safe to share between threads.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from aoii.gateway.drivers import liveness_file
from aoii.gateway.drivers.liveness_file import Remembered
from aoii.gateway.liveness import Judgement, NodesLiveness
from aoii.runtime.clock import Clock
from aoii.runtime.failure_log import FailureLog

log = logging.getLogger(__name__)

SAVE_EVERY_MS = 600_000
ANY = ""  # the name of a clock that runs while any receiver listens: of nodes of which it is not known who heard them


class Listening:
    """The silences of the nodes of one gateway.

    Args:
        path: The file that carries them over restarts.
        clock: The clock of the gateway and its nodes; simulated in the demo.
        known: The nodes that the gateway knows from earlier runs. Those that the file lacks count as heard now.
    """

    def __init__(self, path: Path, clock: Clock, known: Iterable[str]) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = FailureLog(log, "the nodes' silences cannot be stored", "liveness_file_failed", lasts_s=0)
        self._open: set[str] = set()
        remembered = liveness_file.read(path)
        self._nodes = NodesLiveness(remembered.listened_ms, remembered.heard)
        now_ms = clock.elapsed_ms()
        if not remembered.is_complete:  # it ended in the midst: what it heard last is missing
            self._nodes.pardon()
        for node in set(known) - remembered.heard.keys():
            self._nodes.record(node, ANY, 0, now_ms)
        self._saved_ms = now_ms - SAVE_EVERY_MS  # at once, so that from now on the file says that it is incomplete

    def set_listening(self, receiver: str, is_listening: bool) -> None:
        """Note that a receiver listens from now on, or does not."""
        now_ms = self._clock.elapsed_ms()
        with self._lock:
            (self._open.add if is_listening else self._open.discard)(receiver)
            self._nodes.set_listening(receiver, is_listening, now_ms)
            self._nodes.set_listening(ANY, bool(self._open), now_ms)

    def record(
        self, node: str, receiver: str, heartbeat_s: int | None, unix_ms: int | None, *, is_faulty: bool
    ) -> None:
        """Note that a receiver has heard a node; arguments as for `NodesLiveness.record`."""
        with self._lock:
            self._nodes.record(node, receiver, heartbeat_s, self._clock.elapsed_ms(), unix_ms, is_faulty=is_faulty)

    def faulty(self) -> list[str]:
        """The nodes whose sensors did not measure when they were heard last."""
        with self._lock:
            return [node for node, one in self._nodes.heard.items() if one.is_faulty]

    def judge(self, node: str) -> Judgement | None:
        """What is known of a node; None if nobody has heard it yet."""
        with self._lock:
            return self._nodes.judge(node, self._clock.elapsed_ms())

    def retain(self, belongs_here: Callable[[str], bool]) -> None:
        """Forget the nodes that do not belong here any more."""
        with self._lock:
            self._nodes.retain(belongs_here)

    def save_due(self) -> None:
        """Store everything, if it is time."""
        now_ms = self._clock.elapsed_ms()
        if now_ms - self._saved_ms >= SAVE_EVERY_MS:
            self._saved_ms = now_ms
            self._save(is_complete=False)

    def close(self) -> None:
        """Store everything for the next run; nothing is heard any more."""
        self._save(is_complete=True)

    def _save(self, is_complete: bool) -> None:
        with self._lock:
            remembered = Remembered(is_complete, self._nodes.listened_ms(self._clock.elapsed_ms()), self._nodes.heard)
        try:
            liveness_file.write(self._path, remembered)
        except OSError as error:  # it is a convenience: readings are stored elsewhere
            self._failures.record_failure(str(error))
        else:
            self._failures.record_success()
