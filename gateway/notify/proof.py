"""Proof of the path: on schedule a virtual detector speaks, and every hop up to a person's receipt is timed. Pure.

    gateway ──prove──> agent ──proof, its alarm lane──> broker ──> ledger ──> rules ──> outbox ──> way ──> receipt
              asked            answered                          judged              sent          receipt

A target is an agent (proven when its answer was judged and committed) or a way to a person. A way is proven when its
service took the message; the duty screen and a webhook with `receipt` only when the receipt came, and a screen gives
one only once somebody unlocked its sound. Each target has its own schedule; a way is tested together with an agent's
answer, so that the message that arrives began at a device. What failed is done once more before it counts, then again
every twelfth of the period until it is proven.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import msgspec

from contract.messages import Request
from gateway.notify.plan import Planner
from gateway.notify.settings import NotifySettings, channels_of
from gateway.notify.texts import Writer

Hop = Literal["answer", "commit", "judge", "send", "receipt"]
FIRST_MS = 10_000
"""The first test comes this long after the start of a gateway that has proven nothing yet."""
TRIES = 2
ASKS = 4
"""An agent that has not answered is asked again so often within the timeout: a request that was lost on its way down,
with a gateway or an agent that died, says nothing about the way up."""
PROOF = "proof"
"""Point of an agent's own device that carries the token."""
SCREEN = "screen"
AGENT, CHANNEL = "agent", "channel"


class Proof(msgspec.Struct):
    """One test of one target. Times are ms UTC; answered_ms is the agent's own clock."""

    id: int
    target: str
    token: str
    asked_ms: int
    via: str = ""
    """Agent whose answer set it off; empty: none answered."""
    tries: int = 1
    answered_ms: int | None = None
    received_ms: int | None = None
    judged_ms: int | None = None
    sent_ms: int | None = None
    receipt_ms: int | None = None
    state: Literal["open", "proven", "failed"] = "open"
    hop: str = ""
    """The hop that did not happen in time."""
    done_ms: int | None = None
    needs_receipt: bool = False

    def missing(self) -> Hop | None:
        """The first hop that has not happened yet; None when the target is proven."""
        if self.target.startswith(AGENT):
            return "answer" if self.judged_ms is None else None
        if self.sent_ms is None and self.receipt_ms is None:
            return "send"
        return "receipt" if self.needs_receipt and self.receipt_ms is None else None


class SavedProofs(NamedTuple):
    """The latest tests of each target, and since when each was last proven."""

    latest: list[Proof]
    proven_ms: dict[str, int]
    next_id: int


_proof = msgspec.json.Decoder(Proof)
_encode = msgspec.json.Encoder().encode


def load_proofs(connection: sqlite3.Connection) -> SavedProofs:
    """Read them, within the caller's transaction."""
    ask = connection.execute
    return SavedProofs(
        [_proof.decode(row[1]) for row in ask("SELECT max(id), detail FROM proof GROUP BY target")],
        dict(ask("SELECT target, max(done_ms) FROM proof WHERE state = 'proven' GROUP BY target").fetchall()),
        ask("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'proof'), 0) + 1").fetchone()[0],
    )


class ProofChanges(NamedTuple):
    """What a turn wants written, told and asked."""

    proofs: list[Proof]
    requests: list[tuple[str, str, Request]]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, within the caller's transaction."""
        connection.executemany(
            "INSERT OR REPLACE INTO proof VALUES (?,?,?,?,?,?,?)",
            [(p.id, p.target, p.state, p.hop, p.asked_ms, p.done_ms, _encode(p).decode()) for p in self.proofs],
        )


class Proofs:
    """The schedule and state of all tests.

    Args:
        token: makes an unguessable text.
    """

    def __init__(self, settings: NotifySettings, planner: Planner, writer: Writer, token: Callable[[], str]) -> None:
        self._settings = settings.proof
        self._planner = planner
        self._writer = writer
        self._token = token
        self._receipts = {
            f"{CHANNEL}/{person.id}/{channel.id}": channel.kind == "screen"
            or (channel.kind == "webhook" and channel.receipt)
            for person, channel in channels_of(settings)
        }
        self._screens = {
            f"{CHANNEL}/{person.id}/{channel.id}" for person, channel in channels_of(settings) if channel.kind == SCREEN
        }
        self._people = {f"{CHANNEL}/{p.id}/{c.id}": p for p, c in channels_of(settings)}
        self._latest: dict[str, Proof] = {}
        self._proven_ms: dict[str, int] = {}
        self._next_id = 1
        self._first_ms = 0
        self._changed: dict[int, Proof] = {}
        self._asked_ms: dict[int, int] = {}
        self._requests: list[tuple[str, str, Request]] = []
        self._due_ms: int | None = None

    def restore(self, saved: SavedProofs, now_ms: int) -> None:
        """Go on where the ledger stands."""
        self._latest = {proof.target: proof for proof in saved.latest}
        self._proven_ms = dict(saved.proven_ms)
        self._next_id = saved.next_id
        self._first_ms = now_ms + min(FIRST_MS, self._period_ms // 4)
        self._due_ms = now_ms if self._settings.enabled else None

    # --- what comes in -------------------------------------------------------------------------------------------

    def answered(self, site: str, agent: str, token: str, observed_ms: int, received_ms: int, now_ms: int) -> None:
        """An agent's virtual detector spoke, and the rules have judged it."""
        proof = self._latest.get(f"{AGENT}/{site}/{agent}")
        if proof is None or proof.state != "open" or proof.token != token:
            return  # late, or of an earlier test: it proves nothing about now
        proof.answered_ms, proof.received_ms, proof.judged_ms = observed_ms, received_ms, now_ms
        self._settle(proof, now_ms)
        for target in self._receipts:
            if self._when(target) <= now_ms + self._period_ms // 4:
                self._start_channel(target, proof.target, now_ms)

    def receipt(self, token: str, channel: str, hop: str, now_ms: int) -> bool:
        """A way says how far a test came (`sent`, else a person's side); False: no such test is open.

        channel: `PERSON/CHANNEL`, or `screen` for any screen, which counts for every duty screen.
        """
        found = False
        for proof in self._latest.values():
            if proof.state != "open" or not proof.target.startswith(CHANNEL):
                continue
            screen = channel == SCREEN and proof.target in self._screens
            if not screen and (proof.token != token or proof.target != f"{CHANNEL}/{channel}"):
                continue
            if screen and not any(p.token == token and p.target in self._screens for p in self._latest.values()):
                continue
            found = True
            if hop == "sent":
                proof.sent_ms = now_ms
            else:
                proof.receipt_ms = now_ms
            self._changed[proof.id] = proof
            self._settle(proof, now_ms)
        return found

    def advance(self, now_ms: int, online: Iterable[tuple[str, str]]) -> None:
        """Begin what is due, end what took too long. online: agents (site, agent) that are connected."""
        if self._due_ms is None or now_ms < self._due_ms:
            return
        for proof in list(self._latest.values()):
            if proof.state == "open" and now_ms >= proof.asked_ms + self._timeout_ms:
                self._settle(proof, now_ms, late=True)
        for site, agent in online:
            target = f"{AGENT}/{site}/{agent}"
            if self._when(target) <= now_ms:
                self._start_agent(target, now_ms)
            else:
                self._ask(self._latest.get(target), now_ms)
        for target in self._receipts:
            # Without any answer of an agent the ways are still tested, on their own.
            if self._when(target) + 3 * self._timeout_ms <= now_ms:
                self._start_channel(target, "", now_ms)
        self._set_due(now_ms)

    def next_due_ms(self) -> int | None:
        """When `advance` has something to do (ms UTC)."""
        return self._due_ms

    def take(self) -> ProofChanges:
        """What is to be written and asked since the last call."""
        changes = ProofChanges(list(self._changed.values()), self._requests)
        self._changed, self._requests = {}, []
        return changes

    # --- what it says --------------------------------------------------------------------------------------------

    def hops(self) -> dict[tuple[str, str], str]:
        """`path_hop` of (site, device): each agent, and (`system`, `gateway`) for the ways; decided ones only."""
        hops: dict[tuple[str, str], str] = {}
        ways = [proof for target in self._receipts if (proof := self._latest.get(target)) is not None]
        decided = [proof.hop or "ok" for proof in ways if proof.hop or proof.target in self._proven_ms]
        if decided:
            hops["system", "gateway"] = next((hop for hop in decided if hop != "ok"), "ok")
        for target, proof in self._latest.items():
            kind, _, rest = target.partition("/")
            if kind == AGENT and (proof.hop or target in self._proven_ms):
                site, _, agent = rest.partition("/")
                hops[site, f"agent-{agent}"] = proof.hop or "ok"
        return hops

    def view(self) -> list[dict[str, Any]]:
        """Every target as screens show it."""
        return [self.row(proof) for proof in self._latest.values()]

    def row(self, proof: Proof) -> dict[str, Any]:
        """A target as screens show it: its latest test and when it was last proven."""
        row: dict[str, Any] = msgspec.to_builtins(proof)
        del row["token"]  # whoever sees the table must not be able to answer for a screen
        return row | {"proven_ms": self._proven_ms.get(proof.target)}

    # --- tests ---------------------------------------------------------------------------------------------------

    def _when(self, target: str) -> int:
        """When the target is to be tested next (ms UTC)."""
        proof = self._latest.get(target)
        if proof is None:
            return self._first_ms
        if proof.state == "open":
            return proof.asked_ms + self._period_ms
        if proof.state == "failed" and proof.done_ms is not None:
            return proof.done_ms + max(2 * self._timeout_ms, self._period_ms // 12)
        return proof.asked_ms + self._period_ms

    def _start_agent(self, target: str, now_ms: int, tries: int = 1) -> None:
        self._ask(self._new(target, now_ms, tries), now_ms)

    def _ask(self, proof: Proof | None, now_ms: int) -> None:
        """Ask the agent, also once more: an answer that comes twice counts once."""
        if proof is None or proof.state != "open" or now_ms < self._asked_ms.get(proof.id, 0) + self._pause_ms:
            return
        self._asked_ms[proof.id] = now_ms
        _, site, agent = proof.target.split("/")
        self._requests.append((site, agent, Request(kind="prove", token=proof.token)))

    def _start_channel(self, target: str, via: str, now_ms: int, tries: int = 1) -> None:
        old = self._latest.get(target)
        if not self._settings.channels or (old is not None and old.state == "open"):
            return
        _, person_id, channel = target.split("/")
        if self._planner.is_quiet(self._people[target], now_ms):
            return
        proof = self._new(target, now_ms, tries)
        proof.via, proof.needs_receipt = via, self._receipts[target]
        message = self._writer.proof(now_ms)
        self._planner.add(person_id, channel, "proof", message, now_ms, now_ms + self._timeout_ms, proof.token)

    def _new(self, target: str, now_ms: int, tries: int) -> Proof:
        old = self._latest.get(target)
        proof = Proof(self._next_id, target, self._token(), now_ms, tries=tries, hop=old.hop if old is not None else "")
        self._next_id += 1
        self._latest[target] = self._changed[proof.id] = proof
        return proof

    def _settle(self, proof: Proof, now_ms: int, *, late: bool = False) -> None:
        missing = proof.missing()
        if missing is None:
            self._asked_ms.pop(proof.id, None)
            proof.state, proof.hop, proof.done_ms = "proven", "", now_ms
            self._proven_ms[proof.target] = now_ms
        elif late:
            self._asked_ms.pop(proof.id, None)
            proof.state, proof.done_ms = "failed", now_ms
            if proof.tries < TRIES:
                self._again(proof, now_ms)
            else:
                proof.hop = missing
        self._changed[proof.id] = proof
        self._due_ms = now_ms

    def _again(self, proof: Proof, now_ms: int) -> None:
        if proof.target.startswith(AGENT):
            self._start_agent(proof.target, now_ms, proof.tries + 1)
        elif proof.target in self._receipts:
            self._start_channel(proof.target, proof.via, now_ms, proof.tries + 1)

    def _set_due(self, now_ms: int) -> None:
        times = [p.asked_ms + self._timeout_ms for p in self._latest.values() if p.state == "open"]
        times += [self._when(target) for target, p in self._latest.items() if p.state != "open"]
        times += [self._first_ms, *(asked_ms + self._pause_ms for asked_ms in self._asked_ms.values())]
        later = [at_ms for at_ms in times if at_ms > now_ms]
        # Agents come and go without telling this: looked at again within a second or a tenth of the period.
        self._due_ms = min([now_ms + max(1000, min(10_000, self._period_ms // 10)), *later])

    @property
    def _period_ms(self) -> int:
        return round(self._settings.period_s * 1000)

    @property
    def _pause_ms(self) -> int:
        return self._timeout_ms // ASKS

    @property
    def _timeout_ms(self) -> int:
        return round(self._settings.timeout_s * 1000)
