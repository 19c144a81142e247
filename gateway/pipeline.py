"""The pipeline: what waits is judged in memory, written in ONE transaction, and told only after the commit.

    alarm lane ──┐
    telemetry ───┼─> Turn (door, order, engine, life cycle) ─> commit (fsync) ─> receipts, live events, answers
    commands ────┘

Alarms are taken first and never wait for company; telemetry waits up to `commit_ms` to share a commit. One group is
judged while the one before it is being committed. A commit that fails is told to nobody: the working state is built
again from the ledger, and once the disk takes a mark the same messages are tried again.

Counters: received = passed + dropped{reason} + pending, in messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from contract.errors import RetryLater
from contract.messages import Receipt, Request
from gateway import commands
from gateway.checkpoint import Checkpoint
from gateway.clock_steps import ClockSteps
from gateway.commands_notify import GATEWAY
from gateway.control.client import ControlError
from gateway.control.feed import Feed, Subscriber
from gateway.control.protocol import Ask, Problem
from gateway.counts import Counts
from gateway.flight import Flight, Waiting, refuse
from gateway.ingest.door import Arrival, Refusal, faulty
from gateway.ingest.lane import Intake, is_telemetry
from gateway.installation import Installation
from gateway.installing import Install, begin, install
from gateway.ledger.store import Store
from gateway.notify.outbox import Plans
from gateway.notify.state import NotifyParts
from gateway.own import OwnReadings
from gateway.patience import Patience, doze, mark, wait
from gateway.rewinds import Rewinds
from gateway.settings import GatewaySettings
from gateway.state import WorkingState, load
from gateway.tasks import end_task
from gateway.turn import Turn

GROUP = 256
"""Messages in one commit at most."""
ASKS = 256
"""Commands that may wait; a further one is answered `unavailable`."""
ASIDE = 256
"""Refusals of later stages that may wait; further ones stay in that stage's own count."""
JUDGE_S = 0.1
"""Judging a group ends after this: in a flood a fire waits for this and a commit, not for everything before it."""
FAULTY = "!"
"""Stands before the topic of a message that made the judging itself fail. No topic of ours begins so."""
_log = logging.getLogger(__name__)


class Pipeline:
    """Judges, commits, tells. `async with` builds the working state and runs it.

    Args:
        receipts, requests: take what may be told to an agent (site, agent, message); must not wait.
        now_ms: wall clock, ms UTC.
        notify: whom to tell of alarms; None: nobody. planned: told of messages once they are durable; must not wait.
        own: what the gateway knows of itself; None: nothing.
        monotonic: seconds. uniform: a number between two, for jitter. steps: notices that the wall clock was set.
    """

    def __init__(
        self,
        store: Store,
        installation: Installation,
        settings: GatewaySettings,
        *,
        root: str,
        feed: Feed,
        receipts: Callable[[str, str, Receipt], None],
        requests: Callable[[str, str, Request], None],
        now_ms: Callable[[], int],
        notify: NotifyParts | None = None,
        planned: Callable[[Plans], None] | None = None,
        own: OwnReadings | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
        steps: ClockSteps | None = None,
    ) -> None:
        self._store = store
        self._installation = installation
        self._settings = settings
        self._root = root
        self._feed = feed
        self._receipts = receipts
        self._requests = requests
        self._now_ms = now_ms
        self._notify = notify
        self._planned = planned
        self._own = own
        self._uniform = uniform
        self._intake = Intake(settings.queue_messages, settings.queue_bytes, steps or ClockSteps(now_ms, monotonic))
        # How far the clock had been set, in all, as of what was judged last and as of what is committed.
        self._judged_clock_ms = self._committed_clock_ms = 0
        self._asks: deque[Waiting] = deque()
        self._aside: deque[Refusal] = deque()
        self._flight: Flight | None = None
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._rewinds = Rewinds(monotonic)
        self._checkpoint = Checkpoint(settings.checkpoint_s, monotonic)
        self._note: str | None = "gateway.start"
        self._state: WorkingState | None = None
        # The working state while it holds nothing but what was committed.
        self._settled: WorkingState | None = None
        self._counts = Counts()
        self._fault: str | None = None
        self._started_ms = now_ms()

    async def __aenter__(self) -> Pipeline:
        await self._reload()
        self._task = asyncio.create_task(self._run(), name="pipeline")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        self._urgent.set()
        self._wake.set()
        if self._task is not None:
            # What was taken is worth a last commit, but a disk that hangs must not hold the stop up.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, 5.0)
        if self._flight is not None:
            await end_task(self._flight.commit)
        for waiting in self._asks:
            refuse(waiting, "the gateway stops")
        self._asks.clear()

    # --- what comes in -------------------------------------------------------------------------------------------

    def offer(self, arrival: Arrival) -> bool:
        """Queue a message; False, and counted, when its lane is full. Alarms and agents' states go first."""
        self._counts.received += 1
        if not self._intake.put(arrival):
            self._counts.drop("overflow")
            return False
        self._wake.set()
        if not is_telemetry(arrival) or len(self._intake.telemetry) >= GROUP:
            self._urgent.set()
        return True

    def set_aside(self, refusal: Refusal) -> None:
        """Keep something a later stage could not take where people look for refused things: the quarantine."""
        if len(self._aside) < ASIDE:
            self._aside.append(refusal)
        self._wake.set()

    async def ask(self, ask: Ask) -> Any:
        """Do a command; gives its result once it is durable. Raises ControlError."""
        return await self._submit(ask)

    async def note_proof(self, token: str, channel: str, hop: str) -> None:
        """A way says how far a test of the path came. Raises ControlError."""
        args = {"token": token, "channel": channel, "hop": hop}
        await self._submit(Ask(id=0, op="path.receipt", actor=GATEWAY, args=args))

    @property
    def installation(self) -> Installation:
        """What is in force."""
        return self._installation

    async def install(self, install: Install) -> Any:
        """Put another installation in force; gives what it changed once that is durable. Raises ControlError."""
        return await self._submit(install)

    async def subscribe(self, subscriber: Subscriber) -> None:
        """Give the subscriber everything current, then every event from there on."""
        if self._fault is not None and self._settled is not None:
            # Nothing can be committed, but what was committed can be looked at.
            self._feed.join(subscriber, self._settled.snapshot(self._now_ms()))
            return
        await self._submit(subscriber)

    async def _submit(self, ask: Ask | Subscriber | Install) -> Any:
        if self._fault is not None:
            raise ControlError(Problem("unavailable", f"the ledger cannot be written now: {self._fault}"))
        if len(self._asks) >= ASKS or self._stopping:
            raise ControlError(Problem("unavailable", "the gateway has too much to do. Try again."))
        waiting = Waiting(ask, asyncio.get_running_loop().create_future())
        self._asks.append(waiting)
        self._urgent.set()
        self._wake.set()
        return await waiting.answer

    @property
    def working(self) -> WorkingState:
        """The working state, to be looked at only: it runs ahead of the ledger while a commit is under way."""
        assert self._state is not None
        return self._state

    def status(self) -> dict[str, Any]:
        """How it goes: counters of messages, queues, commits, and what is wrong, if anything."""
        return {
            "started_ms": self._started_ms,
            **self._counts.view(),
            "queued": {"alarm": len(self._intake.alarm), "telemetry": len(self._intake.telemetry)},
            "ledger_fault": self._fault,
            "subscribers": self._feed.count,
            "subscribers_cut_off": self._feed.cut_off,
            "configuration": self._installation.hash,
        }

    # --- the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        patience, group = Patience(self._uniform), GROUP
        while not (self._stopping and not self._waiting()):
            arrivals: list[Arrival] = []
            asks: list[Waiting] = []
            is_disk = False
            try:
                await self._gather()
                arrivals = self._take(group)
                asks, self._asks = list(self._asks), deque()
                await self._step(arrivals, asks, alone=group == 1)
            except RetryLater as exc:
                is_disk = True
                self._failed(str(exc))
            except Exception as exc:  # noqa: BLE001 # this loop is the supervisor of the judging
                # A message nobody thought of must not stop the others: taken one by one, the one that does it is
                # found and set aside.
                _log.exception("a group of %d messages could not be judged", len(arrivals))
                self._failed(f"{type(exc).__name__}: {exc}")
                if group == 1 and arrivals and not asks:
                    arrivals = [arrivals[0]._replace(topic=FAULTY + arrivals[0].topic)]
                group = 1
            else:
                patience.went_on(self._counts.commits)
                group = GROUP if not self._intake.again else group
                continue
            await self._put_back(arrivals, asks)
            if self._stopping:
                return
            await self._reload()
            await patience.pause()
            while is_disk and not self._stopping and not await self._takes_a_mark():
                await patience.pause()
        with contextlib.suppress(RetryLater):
            await self._committed()
            self._note = "gateway.stop"
            await self._step([], [], alone=True)

    async def _step(self, arrivals: list[Arrival], asks: list[Waiting], *, alone: bool) -> None:
        """Judge a group while the one before it is being committed, then commit it.

        alone: wait for the commit as well, so that a failure is this group's; so too when somebody wants an answer,
        because a snapshot may hold nothing that is not committed.
        """
        note = self._note
        turn = await self._judge(arrivals, asks)
        await self._committed()
        if not turn.changes:
            self._tell(turn, asks)
            return
        self._flight = Flight(asyncio.create_task(self._commit(turn, asks), name="commit"), arrivals, asks, note)
        if alone or asks or self._stopping:
            await self._committed()

    async def _committed(self) -> None:
        """Wait for the commit that is under way. Raises what it raised; its messages are then still in flight."""
        if self._flight is not None:
            await self._flight.commit
            self._flight = None

    async def _commit(self, turn: Turn, asks: list[Waiting]) -> None:
        try:
            await self._store.run(turn.changes.write)
        except BaseException:
            self._wake.set()  # to be seen at once, not at the next tick
            raise
        self._counts.commits += 1
        self._tell(turn, asks)
        if not self._intake.again:
            self._recovered()

    async def _put_back(self, arrivals: list[Arrival], asks: list[Waiting]) -> None:
        """After a failure: what was not committed waits again, in its order; who asked is told."""
        flight, self._flight = self._flight, None
        if flight is not None:
            # The group before this one may have gone through: then it was told, and is done with.
            await asyncio.wait([flight.commit])
            if flight.commit.exception() is not None:
                arrivals, asks = flight.arrivals + arrivals, flight.asks + asks
                self._note = flight.note
        self._intake.again = arrivals + self._intake.again
        for waiting in (*asks, *self._asks):
            refuse(waiting, f"the ledger cannot be written now: {self._fault}")
        self._asks.clear()

    async def _takes_a_mark(self) -> bool:
        """Whether the disk works again; until then what was built from the ledger stays, and is shown."""
        with contextlib.suppress(RetryLater):
            await self._store.run(mark)
            return True
        return False

    async def _reload(self) -> None:
        """Build the working state from the ledger, however long the ledger takes to be readable."""
        patience = Patience(self._uniform)
        while True:
            try:
                saved = await self._store.run(load)
                break
            except RetryLater as exc:
                if self._state is None or self._stopping:
                    raise
                self._failed(str(exc))
                await patience.pause()
        self._state = self._settled = WorkingState(saved, self._installation, self._root, self._now_ms(), self._notify)
        self._judged_clock_ms = self._committed_clock_ms
        self._checkpoint.forget()
        for row_id in saved.damaged:
            _log.warning(
                "%s: inbox row %d does not fit its checksum; its readings are left out", self._store.path, row_id
            )

    def _failed(self, text: str) -> None:
        if self._fault is None:
            _log.warning("nothing can be committed, agents keep what they have: %s", text)
        self._fault = text

    def _recovered(self) -> None:
        if self._fault is not None:
            _log.info("commits work again")
        self._fault = None

    def _waiting(self) -> int:
        return len(self._intake) + len(self._asks) + len(self._aside)

    async def _gather(self) -> None:
        """Wait until there is something to do: messages, commands, a timer."""
        assert self._state is not None
        if not self._waiting() and self._note is None:
            self._wake.clear()
            self._urgent.clear()
            await doze(self._wake, self._state.next_due_ms(), self._now_ms, self._is_due)
        if self._flight is not None and self._flight.commit.done():
            await self._committed()
        if self._settings.commit_ms and self._waiting() and not (self._urgent.is_set() or self._intake.again):
            await wait(self._urgent, self._settings.commit_ms / 1000)
        self._urgent.clear()

    def _is_due(self) -> bool:
        """Whether a turn would do something though nothing came: own news, a checkpoint, a mark after a fault."""
        assert self._state is not None
        if self._intake.look_at_clock() != self._judged_clock_ms or self._checkpoint.is_due():
            return True
        return self._fault is not None or (self._own is not None and self._own.is_due(self._state))

    def _take(self, most: int) -> list[Arrival]:
        taken = self._intake.take(most)
        if len(self._intake) > len(self._intake.again):
            self._urgent.set()
        return taken

    async def _judge(self, arrivals: list[Arrival], asks: list[Waiting]) -> Turn:
        state, limits = self._state, self._settings
        assert state is not None
        loaded = {}
        for number, waiting in enumerate(asks):
            if isinstance(waiting.ask, Ask) and (load_rows := commands.needs(waiting.ask)) is not None:
                loaded[number] = await self._store.run(load_rows)
        self._settled = None
        clock_ms = self._intake.look_at_clock()
        turn = Turn(
            state, self._now_ms(), unknown_readings=limits.unknown_readings, unknown_devices=limits.unknown_devices
        )
        if turn.follow_clock(self._judged_clock_ms, clock_ms):
            self._checkpoint.forget()
        self._judged_clock_ms = clock_ms
        if self._note is not None:
            turn.changes.add_audit("gateway", self._note, "gateway", configuration=self._installation.hash)
            if self._note == "gateway.start":
                begin(turn)
        turn.begin()
        for number, waiting in enumerate(asks):
            if not isinstance(waiting.ask, Subscriber):
                self._execute(waiting.ask, waiting.answer, turn, loaded.get(number))
        while self._aside:
            turn.refuse(self._aside.popleft(), message=False)
        time = asyncio.get_running_loop().time
        ends_s = time() + JUDGE_S
        for number, arrival in enumerate(map(self._intake.by_clock, arrivals), 1):
            if arrival.topic.startswith(FAULTY):
                turn.refuse(faulty(self._root, arrival._replace(topic=arrival.topic[len(FAULTY) :])))
            else:
                turn.take(arrival)
            if time() >= ends_s:
                # What is judged already is committed first.
                left, arrivals[number:] = arrivals[number:], []
                self._intake.give_back(left)
                break
        turn.until_ms = self._intake.waiting_since(turn.now_ms)
        if self._own is not None:
            self._own.add_to(turn)
        turn.finish()
        self._checkpoint.add_to(turn, now=self._note == "gateway.stop")
        if self._fault is not None and not turn.changes:
            # Nothing to write proves nothing: a mark that is written says that the trouble is over.
            turn.changes.steps.append(mark)
        self._note = None
        return turn

    def _execute(self, ask: Ask | Install, answer: asyncio.Future[Any], turn: Turn, loaded: Any) -> None:
        try:
            result = install(ask, turn) if isinstance(ask, Install) else commands.execute(ask, turn, loaded)
        except ControlError as exc:
            if not answer.done():
                answer.set_exception(exc)
            return
        turn.results.append((answer, result))

    def _tell(self, turn: Turn, asks: list[Waiting]) -> None:
        """After the commit: receipts, events, answers. Nothing here waits."""
        if turn.installation is not None:
            self._installation = turn.installation
        self._counts.told(turn)
        self._committed_clock_ms = turn.clock_ms
        rewinding = self._rewinds.due(turn.holes, turn.state.watermarks)
        for key, receipt in turn.receipts.items():
            receipt.rewind = key in rewinding
            self._receipts(key[0], key[1], receipt)
        for request in turn.requests:
            self._requests(*request)
        if self._planned is not None and turn.planned is not None and turn.planned.plans:
            self._planned(turn.planned.plans)
        self._feed.publish(turn.events() if self._feed.count else ())
        for answer, result in turn.results:
            if not answer.done():
                answer.set_result(result)
        for waiting in asks:
            if isinstance(waiting.ask, Subscriber) and not waiting.answer.done():
                self._feed.join(waiting.ask, turn.state.snapshot(self._now_ms()))
                waiting.answer.set_result(None)
