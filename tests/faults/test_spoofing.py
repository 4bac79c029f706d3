"""The forger itself: it tries every kind, counts every try, and notices a gateway or a node that lets one pass."""

import random
from pathlib import Path

import pytest

from aoii.core import frames
from aoii.gateway import node_state
from faults.spoofing import Breach, attack

TRIES = 3000


def test_every_kind_of_forgery_is_tried_and_refused_for_its_reason(tmp_path: Path) -> None:
    account = attack(tmp_path, TRIES, random.Random(1))

    assert account.tries.total() == TRIES
    assert len(account.tries) == 14 + 9
    assert min(account.tries.values()) > TRIES / 100
    assert {"length", "version", "unknown_node", "mac", "epoch", "replay", "own", "old"} <= set(account.reasons)
    assert not {"first", "witness"} & set(account.reasons)  # a replay looks like no gateway
    assert account.repeated == account.tries["a late frame"]


def test_a_gateway_that_looks_at_no_code_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_same", lambda one, other: True)

    with pytest.raises(Breach, match=r"a forgery was answered|has changed a node"):
        attack(tmp_path, TRIES, random.Random(1))


def test_a_gateway_that_forgets_which_frames_it_had_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_state, "REPLAY_WINDOW", 10_000)

    with pytest.raises(Breach, match="a forgery was answered"):
        attack(tmp_path, TRIES, random.Random(1))


def test_a_node_that_takes_another_epochs_acknowledgement_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = frames._ack
    monkeypatch.setattr(
        frames, "_ack", lambda body: ack._replace(epoch=7) if isinstance(ack := real(body), frames.Ack) else ack
    )

    with pytest.raises(Breach, match="has changed a node"):
        attack(tmp_path, TRIES, random.Random(1))
