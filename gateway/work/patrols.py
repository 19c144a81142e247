"""Patrols, self-checks, drills and training: planned, done, skipped, overdue.

    plan in force ──windows (plans.py)──> due ──a whole round begun in it──> kept
                                           └──window over without one──> overdue ──the next whole round──> kept

A plan is overdue from the end of a window that passed without a whole round until a round begun since that window is
whole. What is partial, implausible or refused leaves it overdue.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.installation import Installation
from gateway.ledger.entries import GATEWAY, Entry, Kind, Pen, Register, SavedEntries, Sheet
from gateway.work import routes
from gateway.work.plans import PLAN, Almanac, PlanRow, Spec, reach_ms, specs_of
from gateway.work.routes import ROUND, VISIT, Answer, How, Round, Visit
from gateway.work.training import TRAINING_KIND, Training

KEPT, OVERDUE = "kept", "overdue"
Key = tuple[str, str]
"""(site, plan)"""
ADOPTED = 200
"""Plans put in force in one turn; further ones follow in the next, so that no alarm waits for a city's plans."""


class Progress(Entry, frozen=True, kw_only=True):
    """How a plan stands, since from_ms. done_ms: when its last whole round began (a training: was held).

    missed_ms: beginning of a window that passed without one.
    """

    plan: str
    is_training: bool
    done_ms: int | None = None
    missed_ms: int | None = None


PROGRESS = Kind("patrol_progress", Progress, frozenset({KEPT, OVERDUE}))


class Patrols(Register):
    """The plans in force, how they stand, and the rounds that are being walked.

    Args:
        secret: the ledger's; labels are signed with it.
    """

    def __init__(self, saved: SavedEntries, secret: bytes) -> None:
        self.secret = secret
        self._plans = Sheet(Kind(PLAN.name, PLAN.form, PLAN.open, live=False), saved)
        self._progress = Sheet(PROGRESS, saved)
        self._rounds = Sheet(ROUND, saved)
        self._visits = Sheet(VISIT, saved)
        self._trainings = Sheet(TRAINING_KIND, saved)
        self._row: dict[Key, PlanRow] = {(row.site, row.spec.plan): row for row in self._plans.rows.values()}
        self._stand: dict[Key, Progress] = {(row.site, row.plan): row for row in self._progress.rows.values()}
        self._specs: dict[Key, Spec] = {}
        self._next: dict[Key, int] = {}
        self._almanac = Almanac()
        self._due_ms: int | None = 0
        self._changed = True

    # --- what it is told -----------------------------------------------------------------------------------------

    def sheets(self) -> Iterable[Sheet[Entry]]:
        """Plans, how they stand, rounds, visits, trainings."""
        return (self._plans, self._progress, self._rounds, self._visits, self._trainings)  # type: ignore[return-value] # a sheet of any row

    def install(self, installation: Installation) -> None:
        """Other sites: plans change with the next turn."""
        self._specs = {
            (site.site, plan): spec for site in installation.sites.values() for plan, spec in specs_of(site).items()
        }
        self._almanac = Almanac()
        self._changed = True
        self._due_ms = 0

    def next_due_ms(self) -> int | None:
        """When a window or a round that nobody ended is over."""
        return self._due_ms if self._specs or self._row else None

    def advance(self, pen: Pen) -> None:
        """Put the plans of the site files in force, end what is over, see what is overdue."""
        if self._changed:
            self._adopt(pen)
        for walk in list(self._rounds.rows.values()):
            if _ends_ms(walk) > pen.now_ms:
                continue
            if walk.state == routes.RUNNING:
                self.finish(pen, walk, GATEWAY)
            else:
                self.judge(pen, walk, GATEWAY, is_accepted=False, note="")
        for key in self._row:
            if self._next.get(key, 0) <= pen.now_ms:
                self._judge(pen, key)
        self._tell(pen)

    # --- what people ask for and do --------------------------------------------------------------------------------

    def plan(self, site: str, plan: str) -> PlanRow | None:
        """A plan in force."""
        return self._row.get((site, plan))

    def plans(self, site: str) -> list[PlanRow]:
        """The plans in force at a site."""
        return [row for (of, _), row in self._row.items() if of == site]

    def overdue(self, site: str | None = None) -> list[Progress]:
        """Plans that are overdue, of one site or of all."""
        return [row for row in self._stand.values() if row.state == OVERDUE and site in (None, row.site)]

    def running(self, site: str | None = None) -> list[Round]:
        """Rounds that are being walked."""
        walks = self._rounds.rows.values()
        return [row for row in walks if row.state == routes.RUNNING and site in (None, row.site)]

    def find(self, round_id: int) -> Round | None:
        """A round that is being walked, or that waits for another person's word."""
        return self._rounds.rows.get(round_id)

    def is_round(self, round_id: int) -> bool:
        """Whether a round ever had this number."""
        return 0 < round_id < self._rounds.next_id

    def start(self, pen: Pen, row: PlanRow, by: str, person: int | None) -> Round:
        """Begin a round."""
        window = self._almanac.window_of(row, pen.now_ms)
        walk = Round(
            id=self._rounds.take_id(),
            site=row.site,
            state=routes.RUNNING,
            from_ms=pen.now_ms,
            plan=row.spec.plan,
            row=row.id,
            kind=row.spec.kind,
            by=by,
            person=person,
            window_from_ms=window.from_ms if window else None,
            window_until_ms=window.until_ms if window else None,
        )
        pen.write(self._rounds, walk, "start", by)
        self._tell(pen)
        return walk

    def tick(
        self,
        pen: Pen,
        walk: Round,
        spot: str,
        how: How,
        answers: tuple[Answer, ...],
        *,
        by: str,
        note: str = "",
        photo: str = "",
        hazard: int | None = None,
    ) -> Visit:
        """Answer a stop of a running round; again to mend an answer."""
        result = routes.worst(answers)
        visit = Visit(
            id=self._visits.take_id(),
            site=walk.site,
            state=result,
            from_ms=pen.now_ms,
            until_ms=pen.now_ms + 1,
            round=walk.id,
            spot=spot,
            how=how,
            answers=answers,
            note=note,
            photo=photo,
            hazard=hazard,
            by=by,
        )
        pen.write(self._visits, visit, "answer", by)
        changed = routes.tick(walk, self.spec(walk), spot, how, result, pen.now_ms)
        if hazard is not None and hazard not in changed.hazards:
            changed = msgspec.structs.replace(changed, hazards=(*changed.hazards, hazard))
        pen.write(self._rounds, changed, "tick", by)
        return visit

    def finish(self, pen: Pen, walk: Round, by: str, note: str = "") -> Round:
        """End a round as it is."""
        ended = pen.write(self._rounds, routes.finish(walk, self.spec(walk), pen.now_ms, note), "finish", by)
        self._did(pen, ended)
        return ended

    def judge(self, pen: Pen, walk: Round, by: str, is_accepted: bool, note: str) -> Round:
        """Another person's word on a round that went faster than anybody walks."""
        state = routes.ACCEPTED if is_accepted else routes.REFUSED
        judged = msgspec.structs.replace(walk, state=state, judged_by=by, judged_ms=pen.now_ms, judged_note=note)
        pen.write(self._rounds, judged, "accept" if is_accepted else "refuse", by)
        self._did(pen, judged)
        return judged

    def spec(self, walk: Round) -> Spec:
        """The plan a running round walks: one that changes or goes away ends its rounds."""
        return self._plans.rows[walk.row].spec

    def record(self, pen: Pen, row: PlanRow, held_ms: int, by: str, **fields: object) -> Training:
        """Record a drill or training that was held. fields: those of Training."""
        known = {
            "id": self._trainings.take_id(),
            "site": row.site,
            "state": "held",
            "from_ms": held_ms,
            "until_ms": held_ms + 1,
            "plan": row.spec.plan,
            "kind": row.spec.kind,
            "by": by,
            "recorded_ms": pen.now_ms,
        }
        training = pen.write(self._trainings, msgspec.convert({**known, **fields}, Training), "record", by)
        self._done(pen, (row.site, row.spec.plan), held_ms)
        return training

    # --- how plans stand -------------------------------------------------------------------------------------------

    def _did(self, pen: Pen, walk: Round) -> None:
        key = (walk.site, walk.plan)
        if walk.is_done and key in self._row:
            self._done(pen, key, walk.from_ms)
        self._tell(pen)

    def _done(self, pen: Pen, key: Key, at_ms: int) -> None:
        stand = self._stand[key]
        if stand.done_ms is None or stand.done_ms < at_ms:
            self._stand[key] = pen.write(self._progress, msgspec.structs.replace(stand, done_ms=at_ms), "done")
        self._judge(pen, key)
        self._tell(pen)

    def _judge(self, pen: Pen, key: Key) -> None:
        """See how a plan stands now, and until when nothing changes by time alone."""
        row, stand = self._row[key], self._stand[key]
        window = self._almanac.last_ended(row, pen.now_ms)
        done_ms, missed_ms = stand.done_ms, stand.missed_ms
        since_ms = pen.now_ms
        if window is not None and (done_ms is None or done_ms < window.from_ms):
            missed_ms, since_ms = window.from_ms, window.until_ms
        late = missed_ms is not None and (done_ms is None or done_ms < missed_ms)
        state = OVERDUE if late else KEPT
        if state != stand.state:
            changed = msgspec.structs.replace(stand, state=state, from_ms=since_ms, missed_ms=missed_ms)
            self._stand[key] = pen.write(self._progress, changed, state)
        ahead = self._almanac.next_ending(row, pen.now_ms)
        self._next[key] = ahead.until_ms if ahead else pen.now_ms + reach_ms(row.spec)

    def _adopt(self, pen: Pen) -> None:
        """The plans of the site files come into force, changed ones anew; others end. So many a turn."""
        left = ADOPTED
        for key, row in list(self._row.items()):
            if (spec := self._specs.get(key)) != row.spec:
                if left == 0:
                    return
                left -= 1
                self._replace(pen, key, row, spec)
        for key, spec in self._specs.items():
            if key not in self._row:
                if left == 0:
                    return
                left -= 1
                self._begin(pen, key, spec, pen.now_ms)
        self._changed = False

    def _replace(self, pen: Pen, key: Key, row: PlanRow, spec: Spec | None) -> None:
        for walk in [walk for walk in self.running(row.site) if walk.row == row.id]:
            self.finish(pen, walk, GATEWAY)
        owed_ms = pen.now_ms
        if (window := self._almanac.next_ending(row, pen.now_ms)) is not None:
            owed_ms = min(owed_ms, window.from_ms)  # what is due now stays due
        pen.write(self._plans, msgspec.structs.replace(row, state="over", until_ms=pen.now_ms), "end")
        del self._row[key]
        self._next.pop(key, None)
        if spec is None:
            stand = self._stand.pop(key)
            pen.write(self._progress, msgspec.structs.replace(stand, state="over", until_ms=pen.now_ms), "end")
            pen.say(row.site, _point(stand), 0.0)
        else:
            self._begin(pen, key, spec, owed_ms)

    def _begin(self, pen: Pen, key: Key, spec: Spec, owed_ms: int) -> None:
        row = PlanRow(
            id=self._plans.take_id(), site=key[0], state="in_force", from_ms=pen.now_ms, owed_ms=owed_ms, spec=spec
        )
        self._row[key] = pen.write(self._plans, row, "begin")
        if key not in self._stand:
            stand = Progress(
                id=self._progress.take_id(),
                site=key[0],
                state=KEPT,
                from_ms=pen.now_ms,
                plan=spec.plan,
                is_training=spec.is_training,
            )
            self._stand[key] = pen.write(self._progress, stand, "begin")

    def _tell(self, pen: Pen) -> None:
        counts: dict[tuple[str, str], int] = {}
        for stand in self._stand.values():
            key = (stand.site, _point(stand))
            counts[key] = counts.get(key, 0) + (stand.state == OVERDUE)
        for (site, point), count in counts.items():
            pen.say(site, point, float(count))
        ends = map(_ends_ms, self._rounds.rows.values())
        # After a start or a reload a command may come before the time: what was not looked at yet is due at once.
        is_new = self._changed or len(self._next) < len(self._row)
        self._due_ms = 0 if is_new else min([*self._next.values(), *ends], default=None)


def _ends_ms(walk: Round) -> int:
    """When a round ends, or is refused, by itself."""
    if walk.state == routes.RUNNING:
        return walk.from_ms + routes.LONGEST_MS
    return (walk.until_ms or walk.from_ms) + routes.JUDGE_MS


def _point(stand: Progress) -> str:
    return "drills_overdue_count" if stand.is_training else "patrols_overdue_count"
