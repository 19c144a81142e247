"""The path from an agent to a person's receipt, tested on schedule."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.notify.proof import PROOF, Proofs, load_proofs
from gateway.notify.settings import NotifySettings
from gateway.notify.texts import Writer
from tests.gateway.notify.station import START_MS, Desk, Titles, notify

PERIOD_S, TIMEOUT_S = 100.0, 10.0
ONLINE = [("s", "edge1")]
AGENT, SCREEN, HOOK = "agent/s/edge1", "channel/wang/screen", "channel/wang/hook"
HOOK_CHANNEL = {"kind": "webhook", "id": "hook", "url": "https://x.example/", "secret_file": "s"}


def settings(*channels: dict[str, Any]) -> NotifySettings:
    people = [{"id": "wang", "name": "w", "channels": list(channels or ({"kind": "screen"},))}]
    chains = [{"id": "duty", "steps": [{"after_s": 0, "people": ["wang"]}]}]
    return notify(people=people, chains=chains, proof={"period_s": PERIOD_S, "timeout_s": TIMEOUT_S})


class Path:
    """Proofs on a ledger; what is whole answers at once."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.tokens = (f"token-{n}" for n in itertools.count())
        self.broken: set[str] = set()
        self.online = ONLINE
        self.asked: list[float] = []
        self.start()

    def start(self) -> None:
        """Another gateway on the same ledger."""
        titles = Titles()
        writer = Writer(lambda: titles, "Asia/Shanghai")
        self.proofs = Proofs(self.desk.settings, self.desk.planner, writer, lambda: next(self.tokens))
        self.proofs.restore(load_proofs(self.desk.ledger), self.desk.now_ms)

    def turn(self) -> None:
        self.proofs.advance(self.desk.now_ms, self.online)
        changes = self.proofs.take()
        changes.write(self.desk.ledger)
        for site, agent, request in changes.requests:
            self.asked.append((self.desk.now_ms - START_MS) / 1000)
            assert request.kind == PROOF.replace("proof", "prove")
            if "answer" not in self.broken:
                now_ms = self.desk.now_ms
                self.proofs.answered(site, agent, request.token, now_ms, now_ms, now_ms)
        plans = self.desk.turn()
        for notice in plans.notices:
            way = f"{notice.person}/{notice.channel}"
            if "send" not in self.broken:
                self.proofs.receipt(notice.token, way, "sent", self.desk.now_ms)
            if "receipt" not in self.broken and notice.channel == "screen":
                self.proofs.receipt(notice.token, "screen", "painted", self.desk.now_ms)
        self.proofs.take().write(self.desk.ledger)

    def at(self, seconds: float) -> Path:
        """Go to that time a second at a time."""
        while self.desk.now_ms < START_MS + seconds * 1000:
            self.desk.now_ms += 1000
            self.turn()
        return self

    @property
    def hops(self) -> dict[tuple[str, str], str]:
        return self.proofs.hops()


@contextmanager
def path(*channels: dict[str, Any]) -> Iterator[Path]:
    with Desk(settings(*channels)) as desk:
        yield Path(desk)


GOOD = {("s", "agent-edge1"): "ok", ("system", "gateway"): "ok"}


def test_every_hop_is_timed_and_proven_when_the_path_is_whole() -> None:
    """Agent and screen are proven within the first quarter of a period, then every period."""
    with path() as way:
        way.at(30)
        assert way.hops == GOOD
        rows = {row["target"]: row for row in way.proofs.view()}
        assert rows[AGENT]["judged_ms"] is not None
        assert rows[SCREEN]["via"] == AGENT
        assert None not in (rows[SCREEN]["sent_ms"], rows[SCREEN]["receipt_ms"], rows[SCREEN]["proven_ms"])
        assert "token" not in rows[SCREEN]
        way.at(500)
        assert way.asked == [10.0, 110.0, 210.0, 310.0, 410.0]


@pytest.mark.parametrize(
    ("hop", "where"),
    [("answer", ("s", "agent-edge1")), ("send", ("system", "gateway")), ("receipt", ("system", "gateway"))],
)
def test_the_hop_is_named_within_two_periods_when_it_breaks_and_gone_when_it_is_mended(
    hop: str, where: tuple[str, str]
) -> None:
    """Broken after it was proven; one miss alone says nothing, the second one does."""
    with path() as way:
        way.at(30)
        way.broken = {"receipt", hop} if hop == "send" else {hop}
        way.at(30 + 2 * PERIOD_S)
        assert way.hops[where] == hop
        assert [at for at, value in way.hops.items() if value != "ok"] == [where]
        way.broken = set()
        way.at(30 + 3 * PERIOD_S)
        assert way.hops == GOOD


def test_one_lost_message_raises_nothing_when_the_second_try_arrives() -> None:
    """Each test is done once more before it counts."""
    with path() as way:
        way.at(30)
        way.broken = {"answer"}
        way.at(111)
        way.broken = set()
        way.at(125)
        assert way.hops == GOOD


def test_the_agent_is_asked_again_when_a_request_was_lost_on_its_way_down() -> None:
    """Four times within the limit, and at once by a gateway that was restarted; the way up is not to blame."""
    with path() as way:
        way.broken = {"answer"}
        way.at(16)
        assert way.asked == [10.0, 13.0, 16.0]
        way.start()
        way.broken = set()
        way.at(25)
        assert way.asked[3:] == [17.0]
        assert way.hops["s", "agent-edge1"] == "ok"
        assert {row["tries"] for row in way.proofs.view() if row["target"] == AGENT} == {1}


def test_a_screen_counts_only_when_its_receipt_came() -> None:
    """That the feed took it proves nothing about a person."""
    with path() as way:
        way.broken = {"receipt"}
        way.at(60)
        assert way.hops == {("s", "agent-edge1"): "ok", ("system", "gateway"): "receipt"}


def test_a_way_without_receipts_is_proven_when_its_service_took_the_message() -> None:
    """A webhook that was not told to ask for the receipt."""
    with path(HOOK_CHANNEL) as way:
        way.at(60)
        assert way.hops == GOOD


def test_a_webhook_that_must_confirm_is_not_proven_when_it_only_takes_the_message() -> None:
    """With `receipt: true` a 200 is not enough."""
    with path(HOOK_CHANNEL | {"receipt": True}) as way:
        way.at(60)
        assert way.hops["system", "gateway"] == "receipt"


def test_a_receipt_of_another_token_proves_nothing_when_somebody_guesses() -> None:
    """Not for the way, not for the screens."""
    with path() as way:
        way.broken = {"receipt"}
        way.at(11)
        assert not way.proofs.receipt("guess", "screen", "painted", way.desk.now_ms)
        assert not way.proofs.receipt("guess", "wang/screen", "painted", way.desk.now_ms)
        assert not way.proofs.receipt("token-0", "screen", "painted", way.desk.now_ms)


def test_a_late_answer_proves_nothing_when_its_test_is_over() -> None:
    """A backlog that comes after the time limit is no proof of now."""
    with path() as way:
        way.broken = {"answer"}
        way.at(60)
        now_ms = way.desk.now_ms
        way.proofs.answered("s", "edge1", "token-0", now_ms, now_ms, now_ms)
        assert way.hops["s", "agent-edge1"] == "answer"


def test_an_agent_that_is_away_is_left_out_when_it_is_due() -> None:
    """Its loss has an alarm of its own; the ways are still tested, on their own."""
    with path() as way:
        way.online = []
        way.at(200)
        assert way.asked == []
        assert way.hops == {("system", "gateway"): "ok"}


def test_the_schedule_goes_on_when_the_gateway_starts_again() -> None:
    """No test at every start, and what failed stays failed until it is proven."""
    with path() as way:
        way.at(30)
        way.start()
        way.at(60)
        assert way.asked == [10.0]
        way.broken = {"answer"}
        way.at(200)
        assert way.hops["s", "agent-edge1"] == "answer"
        way.start()
        assert way.hops["s", "agent-edge1"] == "answer"


def test_an_open_test_ends_when_the_gateway_starts_again_in_the_middle() -> None:
    """Its time limit is a time and not a timer."""
    with path() as way:
        way.broken = {"answer"}
        way.at(15)
        way.start()
        way.at(60)
        assert way.hops["s", "agent-edge1"] == "answer"


def test_a_person_is_not_tested_when_it_is_quiet_for_them() -> None:
    """06:13 in Shanghai."""
    person = {"id": "wang", "name": "w", "channels": [HOOK_CHANNEL], "quiet_hours": [{"from": "22:00", "to": "07:00"}]}
    base = settings().model_dump(by_alias=True)
    with Desk(NotifySettings.model_validate(base | {"people": [person]})) as desk:
        way = Path(desk)
        way.at(300)
        assert desk.told() == []
        way.at(3600)
        assert desk.told()
