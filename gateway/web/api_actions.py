"""The JSON API for what people do with alarms and with what keeps them still: the same commands as the pages."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request

from gateway.alarms.quality import as_json, report
from gateway.control.protocol import Op
from gateway.web import api_models as m
from gateway.web import commands
from gateway.web.access import Refused
from gateway.web.api import PROBLEMS, alarm_answer
from gateway.web.centres import centre_rows
from gateway.web.context import person_of, web_of
from gateway.web.listing import Page, Turned, cut, newest
from gateway.web.rule_words import rule_words
from gateway.web.texts import msgid

router = APIRouter()
_API: dict[str, Any] = {"responses": PROBLEMS}
DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS


@router.post("/api/v1/alarms/{alarm_id}/assign", **_API)
async def assign(request: Request, alarm_id: int, body: m.AssignRequest) -> m.AlarmAnswer:
    """Give an alarm to somebody."""
    return await _on_alarm(request, alarm_id, "alarm.assign", person=body.person, note=body.note)


@router.post("/api/v1/alarms/{alarm_id}/note", **_API)
async def note(request: Request, alarm_id: int, body: m.NoteRequest) -> m.AlarmAnswer:
    """Write a note to an alarm."""
    return await _on_alarm(request, alarm_id, "alarm.note", note=body.note)


@router.post("/api/v1/alarms/{alarm_id}/find", **_API)
async def find(request: Request, alarm_id: int, body: m.FindRequest) -> m.AlarmAnswer:
    """Say what an alarm was."""
    return await _on_alarm(request, alarm_id, "alarm.find", finding=body.finding, note=body.note)


@router.post("/api/v1/alarms/{alarm_id}/shelve", **_API)
async def shelve(request: Request, alarm_id: int, body: m.ShelveRequest) -> m.AlarmAnswer:
    """Put an alarm on the shelf."""
    await commands.shelve(web_of(request), person_of(request), alarm_id, body.until_ms, body.reason)
    return await _answer(request, alarm_id)


@router.post("/api/v1/alarms/{alarm_id}/unshelve", **_API)
async def unshelve(request: Request, alarm_id: int, body: m.MayNoteRequest) -> m.AlarmAnswer:
    """Take an alarm off the shelf."""
    return await _on_alarm(request, alarm_id, "alarm.unshelve", note=body.note)


@router.post("/api/v1/service/take-out", **_API)
async def take_out(request: Request, body: m.TakeOutRequest) -> m.Done:
    """Take a device or point out of service."""
    return await _do(request, "service.take_out", **body.model_dump())


@router.post("/api/v1/service/return", **_API)
async def give_back(request: Request, body: m.ReturnRequest) -> m.Done:
    """Put it back into service."""
    return await _do(request, "service.return", **body.model_dump())


@router.post("/api/v1/drills", **_API)
async def open_drill(request: Request, body: m.DrillRequest) -> m.Done:
    """Begin a drill; who asks leads it."""
    return await _do(request, "drill.open", **body.model_dump())


@router.post("/api/v1/drills/{drill_id}/close", **_API)
async def close_drill(request: Request, drill_id: int, body: m.MayNoteRequest) -> m.Done:
    """End a drill."""
    return await _do(request, "drill.close", id=drill_id, note=body.note)


@router.post("/api/v1/maintenance", **_API)
async def open_window(request: Request, body: m.MaintenanceRequest) -> m.Done:
    """Plan a maintenance window."""
    return await _do(request, "maintenance.open", **body.model_dump())


@router.post("/api/v1/maintenance/{window_id}/close", **_API)
async def close_window(request: Request, window_id: int, body: m.MayNoteRequest) -> m.Done:
    """End a window, or call a planned one off."""
    return await _do(request, "maintenance.close", id=window_id, note=body.note)


@router.post("/api/v1/devices/{site}/{device}/work", **_API)
async def record_work(request: Request, site: str, device: str, body: m.WorkRequest) -> m.Done:
    """Record work done on a device."""
    at_ms = body.at_ms if body.at_ms is not None else web_of(request).now_ms()
    return await _do(request, "work.record", site=site, device=device, work=body.work, at_ms=at_ms, note=body.note)


@router.get("/api/v1/standing", **_API)
async def standing(request: Request) -> m.StandingAnswer:
    """What is kept still now or soon, by whom, why and until when."""
    rows = web_of(request).picture.standing
    return m.StandingAnswer(
        drills=[m.HeldAnswer.of(row, who=row.leader) for row in rows.drills.values()],
        maintenance=[m.HeldAnswer.of(row, who=row.by) for row in rows.maintenance.values()],
        shelved=[m.HeldAnswer.of(row, who=row.by) for row in rows.shelves.values()],
        out_of_service=[m.HeldAnswer.of(row, who=row.by) for row in rows.out_of_service.values()],
    )


@router.get("/api/v1/rules", **_API)
async def rules(request: Request, turn: Turned) -> Page[m.RuleAnswer]:
    """Every rule in force, with its condition in words."""
    web, texts = web_of(request), web_of(request).texts(request)
    counts = await web.read(web.ledger.alarms_by_rule, web.now_ms() - MONTH_MS)
    since = {(row.id, row.version): row.first_ms for row in await web.read(web.ledger.rule_versions)}
    titles = {key: rule.title for key, rule in web.inventory.rules.items()}
    found = []
    part, after = cut(web.inventory.rules.values(), turn, lambda rule: (rule.id,))
    for rule in part:
        words = rule_words(rule, texts, web.inventory.point_names(rule, texts), titles)
        found.append(
            m.RuleAnswer(
                rule=rule.id,
                version=words.version,
                title=rule.title,
                severity=rule.severity,
                basis=rule.basis,
                advice=rule.advice,
                when=[line.text for line in words.when],
                timing=words.timing,
                since_ms=since.get((rule.id, words.version)),
                alarms_30d=counts.get(rule.id, 0),
            )
        )
    return Page(items=found, next=after)


@router.get("/api/v1/quality", **_API)
async def quality(
    request: Request,
    days: Annotated[int, Query(ge=1, le=400)] = 7,
    site: Annotated[str | None, Query(max_length=60)] = None,
) -> dict[str, Any]:
    """How good the alarms of the last days are; each figure with the counts it is made of."""
    web = web_of(request)
    now_ms = web.now_ms()
    return as_json(await web.read(report, web.ledger, now_ms - days * DAY_MS, now_ms + 1, site))


@router.get("/api/v1/notices", **_API)
async def notices(request: Request, turn: Turned) -> Page[m.NoticeAnswer]:
    """Messages to people, newest first."""
    web = web_of(request)
    rows, after = newest(await web.read(web.ledger.messages, turn.limit + 1, turn.before), turn)
    return Page(items=[m.NoticeAnswer(**row._asdict()) for row in rows], next=after)


@router.get("/api/v1/proofs", **_API)
async def proofs(request: Request, turn: Turned) -> Page[m.ProofAnswer]:
    """Every part of the alarm path that is tested."""
    part, after = cut(web_of(request).picture.proofs, turn, lambda row: (str(row.get("target")),))
    return Page(items=[m.ProofAnswer.model_validate(row) for row in part], next=after)


@router.get("/api/v1/centres", **_API)
async def centres(request: Request, turn: Turned) -> Page[m.CentreAnswer]:
    """The way to each monitoring centre."""
    web = web_of(request)
    rows = centre_rows(web.picture, await web.read(web.ledger.waiting_upward))
    part, after = cut(rows, turn, lambda row: (row.id,))
    found = [m.CentreAnswer(centre=row.id, **{k: v for k, v in row._asdict().items() if k != "id"}) for row in part]
    return Page(items=found, next=after)


@router.get("/api/v1/duty-checks", **_API)
async def duty_checks(request: Request, turn: Turned) -> Page[m.DutyCheckAnswer]:
    """Duty checks that are open, and those of the last hour that nobody answered."""
    web = web_of(request)
    part, after = cut(web.picture.duty.waiting(web.now_ms()), turn, lambda check: (check.id,))
    found = [m.DutyCheckAnswer.model_validate(msgspec.structs.asdict(check)) for check in part]
    return Page(items=found, next=after)


@router.post("/api/v1/duty-checks/{check_id}/answer", **_API)
async def answer_duty(request: Request, check_id: int) -> m.DutyCheckAnswer:
    """Answer a duty check, in time or late. Answers once it is durable and on its way to who asked."""
    row = await commands.answer_duty(web_of(request), person_of(request), check_id)
    return m.DutyCheckAnswer.model_validate(row)


@router.post("/api/v1/devices/{site}/{device}/duty-check", **_API)
async def check_duty(request: Request, site: str, device: str, body: m.CheckDutyRequest) -> m.Done:
    """Pass a duty check to a transmitter. The answer comes as its reading `duty_answer`."""
    return await _do(request, "device.check_duty", site=site, device=device, minutes=body.minutes)


@router.post("/api/v1/path-receipt", **_API)
async def path_receipt(request: Request, body: m.PathReceiptRequest) -> m.Done:
    """A duty screen has painted the test of the path, and its sound is unlocked."""
    web = web_of(request)
    await web.link.ask("path.receipt", person_of(request).name, token=body.token, channel="screen", hop="painted")
    return m.Done(id=None)


async def _on_alarm(request: Request, alarm_id: int, op: Op, **args: Any) -> m.AlarmAnswer:
    await commands.do(web_of(request), person_of(request), op, alarm_id=alarm_id, **args)
    return await _answer(request, alarm_id)


async def _answer(request: Request, alarm_id: int) -> m.AlarmAnswer:
    web = web_of(request)
    found = await web.read(web.ledger.alarm, alarm_id)
    if found is None:
        raise Refused(404, msgid("There is no such alarm."))
    return alarm_answer(web, found)


async def _do(request: Request, op: Op, **args: Any) -> m.Done:
    result = await commands.do(web_of(request), person_of(request), op, **args)
    return m.Done(id=result.get("id") if isinstance(result, dict) else None)
