"""The metric of the certificates' ends."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aoii.runtime import certificate_expiry, metrics
from aoii.security import authority
from aoii.security.tls import Tls


def ends(peer: str, certificate: str) -> float:
    return metrics.value(metrics.CERTIFICATE_EXPIRY, peer=peer, certificate=certificate)


def test_each_certificate_of_a_connection_is_told_by_whose_it_is(tmp_path: Path) -> None:
    made = authority.make_authority(tmp_path)
    ours = authority.make_client(tmp_path, "gateway")
    theirs = datetime(2030, 1, 1, tzinfo=UTC)

    certificate_expiry.register("test-all", Tls(made.certificate, ours.certificate, ours.key, "X"), lambda: theirs)

    assert ends("test-all", "authority") == made.expires.timestamp()
    assert ends("test-all", "ours") == ours.expires.timestamp()
    assert ends("test-all", "theirs") == theirs.timestamp()


def test_a_renewed_file_is_noticed_and_an_unreadable_one_is_no_number(tmp_path: Path) -> None:
    made = authority.make_authority(tmp_path)
    certificate_expiry.register("test-renewed", Tls(made.certificate, None, None, "X"))
    before = ends("test-renewed", "authority")

    made.certificate.unlink()
    missing = ends("test-renewed", "authority")
    made.key.unlink()
    renewed = authority.make_authority(tmp_path, days=10, now=datetime.now(UTC) + timedelta(days=1))

    assert before == made.expires.timestamp()
    assert math.isnan(missing)
    assert ends("test-renewed", "authority") == renewed.expires.timestamp()


def test_without_tls_nothing_is_told() -> None:
    certificate_expiry.register("test-none", None, lambda: None)

    told = {sample.labels.get("peer") for metric in metrics.CERTIFICATE_EXPIRY.collect() for sample in metric.samples}
    assert "test-none" not in told


def test_a_peer_that_has_shown_nothing_yet_is_no_number(tmp_path: Path) -> None:
    made = authority.make_authority(tmp_path)

    certificate_expiry.register("test-shy", Tls(made.certificate, None, None, "X"), lambda: None)

    assert math.isnan(ends("test-shy", "theirs"))
