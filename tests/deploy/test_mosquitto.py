"""The shipped Mosquitto configuration in daily use: what it does not write into its log."""

from pathlib import Path

from aoii.broker.client import Client, Subscription
from secure_broker import SecureBroker
from servers import until


def test_saving_every_second_leaves_nothing_in_the_log(tmp_path: Path) -> None:
    with SecureBroker(tmp_path / "broker") as broker:
        saved = broker.folder / "mosquitto.db"
        gateway = Client(broker.reached_by("gateway"), "a gateway")
        server = Client(
            broker.reached_by("server"), "a server", subscriptions=[Subscription("aoii/readings", 1)],
            session_expiry_s=600,
        )  # fmt: skip
        for client in (gateway, server):
            client.start()
            assert client.wait_ready(30)
        before = broker.log().splitlines()

        for _ in range(3):
            last_ns = saved.stat().st_mtime_ns if saved.exists() else 0
            gateway.publish("aoii/readings", b"{}", 1)
            until(lambda last_ns=last_ns: saved.exists() and saved.stat().st_mtime_ns != last_ns)  # type: ignore[misc]
        said = broker.log().splitlines()[len(before) :]
        for client in (gateway, server):
            client.stop()

    assert [line for line in before if "a gateway" in line], "who connects is still said"
    assert said == []
