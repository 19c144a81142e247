"""Who the devices of a line are: asked when the line has nothing else to do, reported when it changes.

    not asked ──first answer since it (re)connected──> due ──an idle moment long enough──> asked
    told: due again in an hour · refused: not before it reconnects · silent: once more, then not before it reconnects

Whatever comes of it counts as nothing against the device or the line: no error, no missed read, no alarm. A poll is
never late by it: the schedule says for how long nothing is due, and a device is asked only when that is long enough
even for one that is slow to refuse; in shorter gaps only on a line whose `ask_who` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from contract import quality as q
from contract.errors import DeviceError
from contract.lines import AskWho
from contract.messages import Reading
from contract.profile import IDENTITY_POINTS
from edge_agents.bus.port import Port
from edge_agents.drivers.identity import OBJECTS, IdentityPart, shown_text
from edge_agents.reporting import Reported, Reports, next_observed_ms

AGAIN_S = 3600.0
"""After a device has told, or has not answered at all, it is not asked for so long."""
RECONNECTED_S = 60.0
"""The same for one that came back after it had told or refused: a loose plug does not have it asked all the time."""
ONCE_MORE_S = 600.0
"""After so long a device that did not answer is asked once more: noise may have eaten it."""
HUNG_UP_S = 86_400.0
"""A device that hangs up on the question, twice, takes the whole line away for a moment: so long it is not asked."""
BUSY_AFTER_S = 600.0
"""A device that was due so long without an idle moment is said to be on a busy line."""
MOST_SILENCES = 2
NEVER_S = float("inf")


class Asking(NamedTuple):
    """Whom to ask, and from which object on."""

    number: int
    first_object: int


@dataclass(slots=True)
class _Known:
    """What is known of one device. due_s: when it is to be asked; not before it `is_there`."""

    device: str
    is_there: bool = False
    is_new: bool = True
    """Whether it has not answered a read since it (re)connected."""
    due_s: float = NEVER_S
    earliest_s: float = 0.0
    """However often it reconnects, it is not asked before."""
    silences: int = 0
    hang_ups: int = 0
    has_told: bool = False
    """Since it (re)connected."""
    first_object: int = 0
    objects: dict[int, bytes] = field(default_factory=dict)
    last: dict[str, Reported] = field(default_factory=dict)


class IdentityWatch:
    """Whom to ask when, and what to report of the answers. Pure; `now_s` is monotonic.

    Args:
        devices: ids, in the order of the line.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._known = [_Known(device) for device in devices]
        self._next_s = NEVER_S

    def follow(self, devices: Sequence[str], stays: Sequence[int | None]) -> None:
        """Watch these devices from now on. stays: the number each had before; None for a new one."""
        before = self._known
        self._known = [
            _Known(device) if n is None else before[n] for device, n in zip(devices, stays, strict=True)
        ]  # fmt: skip
        self._find_next()

    def opened(self) -> None:
        """The line was opened: whoever answers has (re)connected."""
        for known in self._known:
            known.is_there, known.is_new = False, True

    def missed(self, number: int) -> None:
        """The device did not answer a read: it is not asked until it does."""
        self._known[number].is_there = False

    def answered(self, number: int, now_s: float, *, was_silent: bool) -> None:
        """The device answered a read. was_silent: it had been taken for offline."""
        known = self._known[number]
        if known.is_there and not was_silent:
            return
        known.is_there = True
        if known.is_new or was_silent:
            known.is_new = known.has_told = False
            known.first_object, known.silences = 0, 0
            known.objects = {}
            known.due_s = max(now_s, known.earliest_s)
        self._next_s = min(self._next_s, known.due_s)

    def due(self, now_s: float) -> list[Asking]:
        """Whom to ask now, the longest due first."""
        if now_s < self._next_s:
            return []
        found = [n for n, known in enumerate(self._known) if known.is_there and known.due_s <= now_s]
        found.sort(key=lambda n: self._known[n].due_s)
        return [Asking(n, self._known[n].first_object) for n in found]

    def too_busy(self, number: int, now_s: float, now_ms: int) -> list[Reading]:
        """The line had no moment for a device that is due; said once that has lasted."""
        known = self._known[number]
        if known.last or now_s - known.due_s < BUSY_AFTER_S:
            return []
        return self._say(known, dict.fromkeys(OBJECTS, (None, q.unknown("line_busy"))), now_ms)

    def told(self, number: int, part: IdentityPart, now_s: float, now_ms: int) -> list[Reading]:
        """An answer came; the readings once it is whole."""
        known = self._known[number]
        known.objects.update(part.objects)
        if part.next_object is not None and not known.objects.keys() >= set(OBJECTS):
            known.first_object = part.next_object
            return []
        objects, known.objects, known.first_object = known.objects, {}, 0
        known.silences, known.hang_ups, known.has_told = 0, 0, True
        self._put_off(known, now_s + AGAIN_S, now_s + RECONNECTED_S)
        texts = {n: shown_text(objects.get(n, b"")) for n in OBJECTS}
        return self._say(
            known, {n: (text, q.GOOD) if text else (None, q.unknown("not_told")) for n, text in texts.items()}, now_ms
        )

    def failed(self, number: int, cause: str, now_s: float, now_ms: int) -> list[Reading]:
        """No answer, or none to use (`cause` of a DeviceError); the readings when that is the last word."""
        known = self._known[number]
        known.objects, known.first_object = {}, 0
        if cause == "refused":
            known.silences = 0
            self._put_off(known, NEVER_S, now_s + RECONNECTED_S)
        elif cause == "line":
            cause = "hung_up"
            known.hang_ups += 1
            pause_s = ONCE_MORE_S if known.hang_ups < MOST_SILENCES else HUNG_UP_S
            self._put_off(known, now_s + pause_s, now_s + pause_s)
            if known.hang_ups < MOST_SILENCES:
                return []
        else:
            known.silences += 1
            if known.silences < MOST_SILENCES:
                self._put_off(known, now_s + ONCE_MORE_S, now_s + ONCE_MORE_S)
                return []
            known.silences = 0
            self._put_off(known, now_s + AGAIN_S if known.has_told else NEVER_S, now_s + AGAIN_S)
            if known.has_told:  # it did a moment ago, so it is no other device
                return []
            cause = cause if cause in ("no_answer", "bad_answer") else "no_answer"
        return self._say(known, dict.fromkeys(OBJECTS, (None, q.unknown(cause))), now_ms)

    def _put_off(self, known: _Known, due_s: float, earliest_s: float) -> None:
        known.due_s, known.earliest_s = due_s, earliest_s
        self._find_next()

    def _find_next(self) -> None:
        self._next_s = min((known.due_s for known in self._known if known.is_there), default=NEVER_S)

    def _say(self, known: _Known, said: dict[int, tuple[str | None, str]], now_ms: int) -> list[Reading]:
        """Readings of what differs from what was said last."""
        readings = []
        for n, (value, quality) in said.items():
            name = IDENTITY_POINTS[n].name
            last = known.last.get(name)
            if last is not None and (last.value, last.quality) == (value, quality):
                continue
            at_ms = next_observed_ms(last, now_ms)
            known.last[name] = Reported(value, quality, at_ms)
            readings.append(Reading(f"{known.device}/{name}", at_ms, value, quality))
        return readings


class Identities:
    """Asks the devices of a line in its idle moments.

    Args:
        devices: ids, in the order of the line.
        record: takes reports; never waits.
        now_ms: the agent's clock.
        monotonic: seconds.
        ask_who: as in the line's configuration.
    """

    def __init__(
        self,
        devices: Sequence[str],
        record: Callable[[Reports], None],
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        ask_who: AskWho,
    ) -> None:
        self.watch = IdentityWatch(devices)
        self._record = record
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._ask_who = ask_who

    async def use_idle(
        self, port: Port, units: Callable[[int], int], usual_s: Callable[[int], float], until_s: float
    ) -> bool:
        """Ask one device if that is over by `until_s`; whether one was asked.

        Args:
            units: address of a device by its number. usual_s: how long its answers take.
        """
        now_s = self._monotonic()
        for asking in [] if self._ask_who == "never" else self.watch.due(now_s):
            number, unit_id = asking.number, units(asking.number)
            idle_s, (least_s, safe_s) = until_s - now_s, port.identity_s(usual_s(number))
            needed_s = least_s if self._ask_who == "gaps" else safe_s
            if idle_s < needed_s or port.ready_s(unit_id) > now_s:
                self._report(self.watch.too_busy(number, now_s, self._now_ms()))
                continue
            try:
                part = await port.identify(unit_id, asking.first_object, min(safe_s, idle_s))
            except DeviceError as exc:
                self._report(self.watch.failed(number, exc.cause, self._monotonic(), self._now_ms()))
            else:
                self._report(self.watch.told(number, part, self._monotonic(), self._now_ms()))
            return True
        return False

    def _report(self, readings: list[Reading]) -> None:
        if readings:
            self._record(Reports([], readings))
