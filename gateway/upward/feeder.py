"""From what was committed to what a centre is told: follows inbox and transitions, each with a cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from contract.errors import RetryLater
from contract.messages import Value
from gateway.ingest.clock import corrected
from gateway.ledger.reader import LedgerReader
from gateway.ledger.records import AlarmChange, InboxRow
from gateway.upward.equipment import Equipment
from gateway.upward.numbers import Numbers
from gateway.upward.outbox import Cursors, UpwardOutbox
from gateway.upward.settings import Centre
from gateway.upward.translate import Item, Told, Translator

BATCHES = 64
TRANSITIONS = 500
RETRY_S = 1.0
POLL_S = 1.0
"""Without a wake the ledger is looked at this often."""


class Current(NamedTuple):
    """A point now. value None: not known."""

    value: Value
    quality: str
    observed_ms: int


class Feeder:
    """Fills the outbox of one centre.

    Args:
        equipment, current: asked anew each time, because a configuration may change. current: `device/point` ->
            what it is now.
        filled: called after each filling that added something.
    """

    def __init__(
        self,
        centre: Centre,
        outbox: UpwardOutbox,
        reader: LedgerReader,
        equipment: Callable[[], Equipment],
        current: Callable[[], Mapping[str, Current]],
        filled: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        self.centre = centre
        self._outbox = outbox
        self._reader = reader
        self._equipment = equipment
        self._filled = filled
        self._current = current
        self._now_ms = now_ms
        self._wake = asyncio.Event()
        self.numbers = Numbers((), private_codes=centre.private_codes)
        self.translator = self._translator()

    def wake(self) -> None:
        """Tell that something was committed."""
        self._wake.set()

    async def run(self) -> None:
        """Fill until cancelled."""
        while True:
            try:
                cursors, known, said = await self._outbox.open()
                self.numbers = Numbers(known, private_codes=self.centre.private_codes)
                self.translator = self._translator(said)
                self._prime()
                await self._follow(cursors)
            except RetryLater:
                await asyncio.sleep(RETRY_S)

    async def _follow(self, cursors: Cursors) -> None:
        while True:
            self._wake.clear()
            inbox, transition_id, changes = await asyncio.to_thread(self._read, cursors)
            if not inbox and transition_id == cursors.transition_id:
                try:
                    async with asyncio.timeout(POLL_S):
                        await self._wake.wait()
                except TimeoutError:
                    # Answers of duty checks are put into the outbox by the pipeline, past this feeder.
                    self._filled()
                continue
            equipment = self._equipment()
            items = [item for row in inbox if row.site == self.centre.site for item in self._readings(row, equipment)]
            items += [item for change in changes for item in self._alarm(change, equipment)]
            cursors = Cursors(inbox[-1].id if inbox else cursors.inbox_id, transition_id)
            fresh, self.numbers.fresh = self.numbers.fresh, {}
            said, self.translator.fresh = self.translator.fresh, {}
            await self._outbox.fill(cursors, items, fresh, said, self._now_ms())
            if items:
                self._filled()

    def _prime(self) -> None:
        profiles = self._equipment().profiles
        for key, now in self._current().items():
            device, _, name = key.partition("/")
            if device in profiles and isinstance(now.value, str):
                self.translator.prime(device, profiles[device], name, now.value)

    def _read(self, cursors: Cursors) -> tuple[list[InboxRow], int, list[AlarmChange]]:
        inbox = list(self._reader.inbox(cursors.inbox_id, BATCHES))
        return inbox, *self._reader.alarm_changes(self.centre.site, cursors.transition_id, TRANSITIONS)

    def _readings(self, row: InboxRow, equipment: Equipment) -> list[Item]:
        made: list[Item] = []
        for reading in corrected(row.readings, row.correction_ms):
            profile = equipment.profiles.get(reading.point.partition("/")[0])
            if profile is not None:
                made += self.translator.reading(reading, profile)
        return made

    def _alarm(self, row: AlarmChange, equipment: Equipment) -> list[Item]:
        profile, rule = equipment.profiles.get(row.device), equipment.rules.get(row.rule)
        if profile is None or rule is None:
            return []
        point = row.subject.split("/")[2] if row.subject.count("/") == 2 else None
        event = "raise" if row.event == "raise" else "clear"
        told = Told(row.rule, rule.title.zh, row.severity, event, row.event_ms, row.drill is not None)  # type: ignore[arg-type]  # mypy widens the word to str
        return self.translator.alarm(told, row.device, profile, point)

    def _translator(self, said: Mapping[str, str] = MappingProxyType({})) -> Translator:
        every_s = self.centre.values_every_s
        return Translator(
            self.numbers,
            said,
            values_every_ms=None if every_s is None else int(every_s * 1000),
            private_codes=self.centre.private_codes,
        )
