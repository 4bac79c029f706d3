"""How many messages a real broker drops, as a metric."""

from pathlib import Path

from aoii.broker.client import Client, Subscription
from aoii.broker.messages import READINGS_TOPIC
from aoii.runtime import metrics
from aoii.server.broker_watch import BrokerWatch
from aoii.settings import Mqtt
from servers import Mosquitto, until


def test_a_broker_of_which_no_number_has_changed_for_a_minute_still_tells(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/broker/uptime\n")  # all that is heard of such a broker
    with Mosquitto(tmp_path, extra=f"acl_file {acl}\nsys_interval 1") as broker:
        metrics.BROKER_SYS_UP.set(0)
        watch = BrokerWatch(Mqtt("127.0.0.1", broker.port, None, None), "watch")
        watch.start()
        try:
            until(lambda: metrics.value(metrics.BROKER_SYS_UP) == 1, what="what the broker says of itself")
        finally:
            watch.stop(1.0)


def test_what_the_broker_has_dropped_is_told(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, extra="max_queued_messages 5\nsys_interval 1") as broker:
        mqtt = Mqtt("127.0.0.1", broker.port, None, None, namespace="watched")
        away = Client(mqtt, "away", subscriptions=[Subscription(READINGS_TOPIC, 1)], session_expiry_s=600)
        away.start()
        assert away.wait_ready(15)
        away.stop()
        watch = BrokerWatch(mqtt, "watch")
        watch.start()
        sender = Client(mqtt, "sender")
        sender.start()
        try:
            until(lambda: metrics.value(metrics.BROKER_SYS_UP) == 1, 30, "what the broker says of itself")
            assert sender.wait_ready(15)
            before = metrics.value(metrics.BROKER_DROPPED)

            assert all(sender.publish(READINGS_TOPIC, b"%d" % number, 1) for number in range(25))

            until(lambda: metrics.value(metrics.BROKER_DROPPED) >= before + 20, 30, "that it has dropped 20")
            broker.kill()
            until(lambda: metrics.value(metrics.BROKER_SYS_UP) == 0, 30, "that it says nothing any more")
        finally:
            sender.stop()
            watch.stop(1.0)
