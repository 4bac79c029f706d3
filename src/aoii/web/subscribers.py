"""What one open page has seen, and what is new for it: of the fleet, of one node, or of the way of the data.

A follower asks the live view and keeps nothing that grows. Its events are a `snapshot`, with everything, and then
`news`. Every event that comes once a second carries the state of the whole: who is away, how many nodes are in which
state, and how the delivery is, so that no page hides what another would show.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

from aoii.web import estimate_accuracy
from aoii.web.fleet import STATES, Fleet, News, Summary
from aoii.web.live import SUMMARY_MAX_AGE_S, Live

NOTHING = News([], [], [])

Event = tuple[str, dict[str, object]]


class Follower(Protocol):
    """One open page."""

    def look(self) -> Event | None:
        """The next event for the page: `snapshot` or `news` and its content; None when nothing is new."""
        ...


class NodeFollower:
    """A page that shows one node.

    Args:
        live: The live view.
        node: The node that the page shows; None or an unknown one: the first.
        span_s: Seconds of event time that it shows.
    """

    def __init__(self, live: Live, node: str | None, span_s: int) -> None:
        self._live = live
        self._wanted = node
        self._node: str | None = None
        self._span_s = span_s
        self._fleet: Fleet | None = None
        self._version = -1
        self._summary: Summary | None = None
        self._told_at = 0.0

    def look(self) -> Event | None:
        """As for `Follower`."""
        with self._live.lock:
            fleet = self._live.fleet
            node = self._choice(fleet)
            news = None
            if fleet is self._fleet and node == self._node:
                news = fleet.news(node, self._version) if node is not None else NOTHING
            begins = news is None
            if news is None:
                news = fleet.points(node, self._span_s) if node is not None else NOTHING
                self._fleet, self._node, self._summary = fleet, node, None
            self._version = fleet.version
        due = time.monotonic() - self._told_at > SUMMARY_MAX_AGE_S
        if not begins and not due and not any(news):
            return None
        content: dict[str, object] = {}
        if begins:
            content |= self._frame()
        if begins or due:
            self._told_at = time.monotonic()
            content |= _state(self._live) | self._news_of_summary()
        for name, points in news._asdict().items():
            if points or begins:
                content[name] = short(points)
        return ("snapshot" if begins else "news"), content

    def _choice(self, fleet: Fleet) -> str | None:
        """The node to show now: the wanted one as soon as it is known, else the one that is shown, else the first."""
        if self._wanted in fleet:
            return self._wanted
        names = fleet.names()
        return self._node if self._node in fleet else names[0] if names else None

    def _frame(self) -> dict[str, object]:
        """What does not change while the page is open."""
        return {"view": "node", "node": self._node, "span_s": self._span_s} | frame(self._live)

    def _news_of_summary(self) -> dict[str, object]:
        if self._node is None:
            return {}
        names = self._live.names()
        place = names.index(self._node) if self._node in names else 0
        content: dict[str, object] = {
            "previous": names[place - 1] if place else None,
            "next": names[place + 1] if place + 1 < len(names) else None,
        }
        summary = self._live.summary(self._node, self._span_s)
        if summary is not None and summary is not self._summary:
            self._summary = summary
            content["summary"] = asdict(summary)
        return content


class FleetFollower:
    """A page that shows all nodes."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._fleet: Fleet | None = None
        self._sent: dict[str, Summary] = {}
        self._told_at = 0.0

    def look(self) -> Event | None:
        """As for `Follower`."""
        with self._live.lock:
            fleet = self._live.fleet
        begins = fleet is not self._fleet
        if not begins and time.monotonic() - self._told_at <= SUMMARY_MAX_AGE_S:
            return None
        content: dict[str, object] = {}
        if begins:
            self._fleet = fleet
            self._sent.clear()
            content |= {"view": "fleet"} | frame(self._live)
        self._told_at = time.monotonic()
        new = [card for card in self._live.cards() if self._sent.get(card.node) != card]
        self._sent |= {card.node: card for card in new}
        if new or begins:
            content["nodes"] = [_card(card) for card in new]
        return ("snapshot" if begins else "news"), content | _state(self._live)


class DeliveryFollower:
    """A page that shows the way of the data."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._begins = True
        self._told_at = 0.0

    def look(self) -> Event | None:
        """As for `Follower`."""
        begins, self._begins = self._begins, False
        if not begins and time.monotonic() - self._told_at <= SUMMARY_MAX_AGE_S:
            return None
        self._told_at = time.monotonic()
        content = ({"view": "delivery"} | frame(self._live) if begins else {}) | delivery(self._live)
        return ("snapshot" if begins else "news"), content | _state(self._live)


def delivery(live: Live) -> dict[str, object]:
    """The delivery as JSON."""
    return live.delivery().as_json()


def frame(live: Live) -> dict[str, object]:
    """The settings that give the points their meaning."""
    rules = live.rules
    return {
        "beta_temp": rules.beta_temp,
        "beta_hum": rules.beta_hum,
        "period_s": rules.period_s,
        "silent_after_s": rules.silent_after_s,
        "simulated": live.simulated,
        "speed": live.speed,
        "coarse": estimate_accuracy.is_coarse(rules),
    }


def short(points: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Points as JSON: numbers in hundredths are enough for a line."""

    def plain(point: tuple[object, ...]) -> list[object]:
        values = (value for value in point if not isinstance(value, tuple | bool))
        return [round(value, 2) if isinstance(value, float) else value for value in values]

    return [plain(point) for point in points]


def _state(live: Live) -> dict[str, object]:
    states = Counter(card.states[0] for card in live.cards())
    state, where = live.delivery().worst()
    return {
        "now_ms": live.now_ms(),
        "database_away": live.database_away,
        "broker_up": live.broker_up,
        "more_nodes": live.fleet.left_out > 0,
        "states": {name: states[name] for name in STATES if states[name]},
        "delivery": {"state": state, "hops": where},
    }


def _card(summary: Summary) -> dict[str, object]:
    """What a card shows; the chart's own details stay away."""
    content = asdict(summary)
    del content["wrong_spans"]
    return content
