"""Hazards (隐患) of all sites: reported by rules, patrols, ticks of equipment, people and the public; followed until
they are confirmed gone, and opened again when they return. What a hazard goes through: rectification.py.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from zoneinfo import ZoneInfo

import msgspec

from contract.hazard import HazardHandling, HazardLevel
from contract.site import REGISTER_DEVICE
from gateway.control.protocol import AlarmView
from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Pen, Register, SavedEntries, Sheet
from gateway.work import public
from gateway.work import rectification as r
from gateway.work.rectification import DAY_MS, HAZARD, HOUR_MS, Hazard, Source

STILL = ("maintenance", "suppressed_by_design", "out_of_service", "drill")
"""An alarm held like this proves neither a fault nor that one came back. A shelf mends nothing: it does not count."""
STOPPED_MS = 600_000
"""A gateway that did not run for this long has not seen the data meanwhile: what the data is to confirm is watched
anew from its start."""
BLIND = ("absence", "line_lost", "agent_lost", "quality")
"""Kinds of rules whose alarm says that the data of a device cannot be relied on."""
_DEFAULT = HazardHandling()


class Hazards(Register):
    """The hazards at hand."""

    def __init__(self, saved: SavedEntries) -> None:
        self._sheet = Sheet(HAZARD, saved)
        self._installation: Installation | None = None
        self._by_alarm: dict[tuple[str, str], int] = {}
        """(rule, subject) -> the hazard at hand that stands on it."""
        self._same: dict[tuple[str, str, str], int] = {}
        """(site, subject or place, text) -> the hazard at hand that was reported so."""
        self._active: dict[int, AlarmView] = {}
        self._blind: dict[str, set[int]] = {}
        """site/device, site/line-ID or site/agent -> active alarms that say its data cannot be relied on."""
        self._promote: list[tuple[int, int]] = []
        """Heap of (when it becomes a hazard, alarm)."""
        self._receipts: dict[str, int] = {}
        self._next_ms: int | None = None
        self._changed = True
        self._watch_anew = False
        for row in self._sheet.rows.values():
            self._index(row)

    # --- what it is told -----------------------------------------------------------------------------------------

    def sheets(self) -> Iterable[Sheet[Hazard]]:
        """The hazards."""
        return (self._sheet,)

    def install(self, installation: Installation) -> None:
        """These sites and rules are in force."""
        self._installation = installation
        self._changed = True
        self._promote.clear()
        for alarm in self._active.values():
            self._plan(alarm)

    def restore(self, alarms: Iterable[AlarmView], alive_ms: int, now_ms: int) -> None:
        """After a start: the alarms that are open, and when a gateway last ran on this ledger (0: never)."""
        for alarm in alarms:
            self._note(alarm)
            if alarm.active and self._blinds(alarm):
                self._blind.setdefault(_node(alarm), set()).add(alarm.id)
        self._watch_anew = bool(alive_ms) and now_ms - alive_ms > STOPPED_MS

    def find(self, hazard_id: int) -> Hazard | None:
        """A hazard at hand: one that is not filed or dismissed."""
        return self._sheet.rows.get(hazard_id)

    def open(self, site: str | None = None) -> list[Hazard]:
        """Open hazards, of one site or of all."""
        return [row for row in self._sheet.rows.values() if row.is_open and site in (None, row.site)]

    def reported(self, site: str) -> list[Hazard]:
        """Reports of the public on a site (empty: on none that is known) that nobody has looked at."""
        return [row for row in self._sheet.rows.values() if row.state == "reported" and row.site == site]

    def is_number(self, hazard_id: int) -> bool:
        """Whether a hazard ever had this number."""
        return 0 < hazard_id < self._sheet.next_id

    def handling(self, site: str) -> HazardHandling:
        """How the site handles hazards."""
        found = self._installation.sites.get(site) if self._installation else None
        return found.hazards if found else _DEFAULT

    def zone(self, site: str) -> ZoneInfo:
        """Where its clock hangs."""
        found = self._installation.sites.get(site) if self._installation else None
        return ZoneInfo(found.time_zone if found else "Asia/Shanghai")

    # --- found ---------------------------------------------------------------------------------------------------

    def report(
        self,
        pen: Pen,
        site: str,
        subject: str,
        source: Source,
        text: str,
        by: str,
        *,
        photo: str = "",
        alarm_id: int | None = None,
        level: HazardLevel = "general",
        place: str = "",
    ) -> Hazard:
        """Somebody or something found a hazard; gives its row.

        What is at hand already (the same alarm, or the same words about the same subject) is no second hazard: it is
        noted that it was seen again, and opened again when it was mended or closed meanwhile.

        Args:
            subject: site/device or site/device/point; empty for a place. by: a login, or `gateway`.
            photo: its hash in the photo store. alarm_id: the active alarm it stands on.
        """
        alarm = self._active.get(alarm_id) if alarm_id is not None else None
        known = self._known(alarm, _words(site, source, subject or place, text))
        if known is not None:
            return self._see(pen, known, by)
        now_ms = pen.now_ms
        row = Hazard(
            id=self._sheet.take_id(),
            site=site,
            state="found",
            from_ms=now_ms,
            source=source,
            level=level,
            subject=alarm.subject if alarm else subject,
            place=place,
            text=text,
            by=by,
            photo=photo,
            rule=alarm.rule if alarm else "",
            alarm_id=alarm.id if alarm else None,
            due_ms=now_ms + int(self.handling(site).assign_h * HOUR_MS),
            rounds=(r.Round(now_ms),),
        )
        return self._keep(pen, row, "find", by)

    def receive(self, pen: Pen, site: str, words: public.PublicReport, photo: str = "") -> Hazard | None:
        """A report of the public, to be looked at; None when as many wait already as may.

        The same receipt again is the same report, sent twice.

        Args:
            site: empty where nobody knows yet. words: its number is of no meaning yet.
        """
        known = self._receipts.get(words.receipt)
        if known is not None:
            return self._sheet.rows[known]
        if len(self.reported(site)) >= self.handling(site).public_waiting:
            return None
        row = Hazard(
            id=self._sheet.take_id(),
            site=site,
            state="reported",
            from_ms=pen.now_ms,
            source="public",
            by="public",
            photo=photo,
            reported_ms=pen.now_ms,
            receipt=words.receipt,
            words=words.digest,
        )
        public.keep(pen, words._replace(hazard=row.id))
        return self._keep(pen, row, "receive", "public")

    def step(
        self, pen: Pen, hazard: Hazard, verb: str, actor: str, change: Callable[[Hazard], Hazard], **detail: object
    ) -> Hazard:
        """Take a hazard one step on. `change` gives it as it is then, or raises ControlError having changed nothing."""
        changed = change(r.settle(hazard, pen.now_ms))
        return self._keep(pen, r.settle(changed, pen.now_ms, moved=True), verb, actor, **detail)

    def _known(self, alarm: AlarmView | None, words: tuple[str, str, str] | None) -> Hazard | None:
        if alarm is not None:
            number = self._by_alarm.get((alarm.rule, alarm.subject))
        else:
            number = None if words is None else self._same.get(words)
        return None if number is None else self._sheet.rows.get(number)

    def _see(self, pen: Pen, hazard: Hazard, by: str) -> Hazard:
        seen = msgspec.structs.replace(hazard, seen=hazard.seen + 1)
        if hazard.state in (*r.MENDED, "verified", "closed"):
            handling = self.handling(hazard.site)
            return self.step(pen, seen, "return", by, lambda row: r.reopen(row, pen.now_ms, handling))
        return self._keep(pen, seen, "see", by)

    # --- alarms --------------------------------------------------------------------------------------------------

    def alarm_moved(self, alarm: AlarmView, event: str, pen: Pen) -> None:
        """An alarm clears, returns, begins to stand: what that means for hazards."""
        self._note(alarm)
        self._mind_sight(alarm, pen)
        number = self._by_alarm.get((alarm.rule, alarm.subject))
        hazard = None if number is None else self._sheet.rows.get(number)
        if hazard is None or alarm.drill is not None:
            return
        if alarm.active:
            if alarm.hold not in STILL and (alarm.id != hazard.alarm_id or hazard.clear_ms is not None):
                self._return(hazard, alarm, pen)
        elif alarm.id == hazard.alarm_id and hazard.clear_ms is None and event == "clear":
            cleared = msgspec.structs.replace(hazard, clear_ms=max(pen.now_ms, alarm.cleared_ms or 0))
            self._keep(pen, cleared, "clear", GATEWAY, alarm=alarm.id)

    def _return(self, hazard: Hazard, alarm: AlarmView, pen: Pen) -> None:
        """The fault is there again: what was mended or closed is open again."""
        again = msgspec.structs.replace(hazard, alarm_id=alarm.id, clear_ms=None, seen=hazard.seen + 1)
        if hazard.state not in (*r.MENDED, "verified", "closed"):
            self._keep(pen, again, "see", GATEWAY, alarm=alarm.id)
            return
        handling = self.handling(hazard.site)
        self.step(pen, again, "return", GATEWAY, lambda row: r.reopen(row, pen.now_ms, handling), alarm=alarm.id)

    def _note(self, alarm: AlarmView) -> None:
        """Know which alarms are active."""
        if alarm.active and alarm.drill is None:
            fresh = alarm.id not in self._active or self._active[alarm.id].hold in STILL
            self._active[alarm.id] = alarm
            if fresh:
                self._plan(alarm)
        else:
            self._active.pop(alarm.id, None)

    def _plan(self, alarm: AlarmView) -> None:
        """When it becomes a hazard, if it stands until then."""
        if self._installation is None or alarm.site not in self._installation.sites or _own(alarm):
            return
        hours = [p.after_h for p in self.handling(alarm.site).from_alarms if p.severity == alarm.severity]
        if hours and alarm.hold not in STILL:
            heapq.heappush(self._promote, (alarm.recorded_ms + int(min(hours) * HOUR_MS), alarm.id))

    def _mind_sight(self, alarm: AlarmView, pen: Pen) -> None:
        """While a device cannot be seen its data confirms nothing; once it is seen again, the time counts anew."""
        if not self._blinds(alarm):
            return
        self._changed = True
        node = _node(alarm)
        ids = self._blind.setdefault(node, set())
        if alarm.active:
            ids.add(alarm.id)
            return
        ids.discard(alarm.id)
        if ids:
            return
        del self._blind[node]
        for row in list(self._sheet.rows.values()):
            if row.waits_for_data and node in self._nodes(row):
                self._watch(row, pen)

    def _blinds(self, alarm: AlarmView) -> bool:
        """Whether the alarm says that data cannot be relied on."""
        rule = self._installation.rules.get(alarm.rule) if self._installation else None
        return rule is not None and rule.when.kind in BLIND

    def _nodes(self, hazard: Hazard) -> Iterator[str]:
        """What its data comes by: the device, its line, its agent."""
        site, _, rest = hazard.subject.partition("/")
        device = rest.partition("/")[0]
        yield f"{site}/{device}"
        found = self._installation.sites.get(site) if self._installation else None
        for placed in found.placed() if found else ():
            if placed.entry.id == device:
                yield f"{site}/line-{placed.line.id}"
                yield f"{site}/{placed.agent}"

    def _watch(self, hazard: Hazard, pen: Pen) -> None:
        """The time that its alarm must stay clear begins now."""
        self._keep(pen, msgspec.structs.replace(hazard, clear_ms=pen.now_ms), "watch", GATEWAY)

    # --- time ----------------------------------------------------------------------------------------------------

    def next_due_ms(self) -> int | None:
        """When an alarm becomes a hazard, a step becomes late, the data confirms, or a closed one is filed."""
        if self._watch_anew:
            return 0
        if self._changed:
            dues = [due for row in self._sheet.rows.values() if (due := self._due_ms(row)) is not None]
            self._next_ms, self._changed = min(dues, default=None), False
        if self._promote and (self._next_ms is None or self._promote[0][0] < self._next_ms):
            return self._promote[0][0]
        return self._next_ms

    def _due_ms(self, row: Hazard) -> int | None:
        if row.state in ("closed", "dismissed"):
            return self._filed_ms(row)
        dues = []
        if row.is_open and row.due_ms is not None and not row.is_overdue:
            dues.append(row.due_ms)
        if row.waits_for_data and not self._is_blind(row):
            dues.append(self._confirmed_ms(row))
        return min(dues, default=None)

    def _confirmed_ms(self, row: Hazard) -> int:
        mended_ms = row.fix.at_ms if row.fix is not None else row.from_ms
        return max(mended_ms, row.clear_ms or 0) + int(self.handling(row.site).confirm_h * HOUR_MS)

    def _filed_ms(self, row: Hazard) -> int:
        return (row.until_ms or row.from_ms) + int(self.handling(row.site).return_days * DAY_MS)

    def _is_blind(self, row: Hazard) -> bool:
        return bool(self._blind) and any(node in self._blind for node in self._nodes(row))

    def advance(self, pen: Pen) -> None:
        """Let time pass up to now."""
        self._changed = True
        if self._watch_anew:
            self._watch_anew = False
            for row in list(self._sheet.rows.values()):
                if row.waits_for_data:
                    self._watch(row, pen)
        while self._promote and self._promote[0][0] <= pen.now_ms:
            alarm = self._active.get(heapq.heappop(self._promote)[1])
            if alarm is not None and alarm.hold not in STILL:
                self._make(alarm, pen)
        for row in list(self._sheet.rows.values()):
            due_ms = self._due_ms(row)
            if due_ms is not None and due_ms <= pen.now_ms:
                self._let_pass(row, pen)

    def _make(self, alarm: AlarmView, pen: Pen) -> None:
        """An alarm has stood for too long."""
        known = self._by_alarm.get((alarm.rule, alarm.subject))
        if known is None:
            rule = self._installation.rules.get(alarm.rule) if self._installation else None
            text = f"{rule.title.zh} / {rule.title.en}" if rule else alarm.rule
            self.report(pen, alarm.site, alarm.subject, "rule", text, GATEWAY, alarm_id=alarm.id)

    def _let_pass(self, row: Hazard, pen: Pen) -> None:
        if row.state in ("closed", "dismissed"):
            self._keep(pen, r.file(row), "file", GATEWAY)
            if row.receipt:
                public.erase(pen, row.id)
            return
        if row.waits_for_data and not self._is_blind(row) and self._confirmed_ms(row) <= pen.now_ms:
            handling = self.handling(row.site)
            self.step(pen, row, "confirm", GATEWAY, lambda each: r.confirm_by_data(each, pen.now_ms, handling))
            return
        settled = r.settle(row, pen.now_ms)
        if settled is not row:
            self._keep(pen, settled, "overdue", GATEWAY)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _keep(self, pen: Pen, row: Hazard, verb: str, actor: str, **detail: object) -> Hazard:
        pen.write(self._sheet, row, verb, actor, **detail)
        self._changed = True
        self._index(row)
        if self._installation is not None and row.site in self._installation.sites:
            self._say(row, pen)
        return row

    def _index(self, row: Hazard) -> None:
        alarm, words = (row.rule, row.subject), _words(row.site, row.source, row.subject or row.place, row.text)
        if row.state in ("filed", "dismissed"):
            if self._by_alarm.get(alarm) == row.id:
                del self._by_alarm[alarm]
            if words is not None and self._same.get(words) == row.id:
                del self._same[words]
        else:
            if row.rule:
                self._by_alarm[alarm] = row.id
            if words is not None:
                self._same[words] = row.id
        if row.receipt and row.state != "filed":
            self._receipts[row.receipt] = row.id
        else:
            self._receipts.pop(row.receipt, None)

    def _say(self, row: Hazard, pen: Pen) -> None:
        site = row.site
        if row.source == "public":
            pen.say(site, "reports_waiting_count", len(self.reported(site)))
        if row.rounds:
            rows = self.open(site)
            pen.say(site, "hazards_open_count", len(rows))
            pen.say(site, "hazards_overdue_count", sum(each.is_overdue for each in rows))
            pen.say(site, "hazards_listed_count", sum(each.is_listed for each in rows))


def _own(alarm: AlarmView) -> bool:
    """What the registers say themselves is no hazard: it would make another of itself."""
    return alarm.device == REGISTER_DEVICE


def _words(site: str, source: str, where: str, text: str) -> tuple[str, str, str] | None:
    """By what a hazard is known again; None where the words may mean two things: they do not say where it is."""
    return (site, where, text) if text and (where or source == "equipment") else None


def _node(alarm: AlarmView) -> str:
    """The device, line or agent an alarm is about."""
    return "/".join(alarm.subject.split("/")[:2])
