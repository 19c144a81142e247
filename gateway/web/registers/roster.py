"""The roster of a station: a week as a grid, what is wrong with the days to come, and the form to plan it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contract.site import Site
from contract.station import Station
from gateway.duty.people import Person, local_day
from gateway.duty.planning import Cell, Draft, Plans, Problem, Stations
from gateway.duty.roster_check import HORIZON_MS, Duty, Finding, judge_roster, shifts_of_day
from gateway.web import commands
from gateway.web.access import ADMINISTER, Refused
from gateway.web.context import Web, person_of, web_of
from gateway.web.registers.staff import people_names, people_now, roster_now
from gateway.web.render import page
from gateway.web.texts import Texts, msgid

router = APIRouter()
WEEK = 7
MOST_FIELDS = 900
"""A form of more fields is not taken; such a roster is imported."""
SPARE = 1
"""People a cell has room for beyond its crew."""


class Line(NamedTuple):
    """What is wrong, in words."""

    kind: str
    when: str
    where: str
    what: str


class GridCell(NamedTuple):
    """A cell of the week. people: (number, name); places: fields of the form; wrong: kinds of findings; is_open: it can
    still be planned."""

    key: str
    people: list[tuple[int, str]]
    places: list[int]
    wrong: list[str]
    is_open: bool


class GridRow(NamedTuple):
    """A shift at a post over the week; a cell is None where that day has no such shift."""

    shift: str
    post: str
    crew: int
    cells: list[GridCell | None]


@router.get("/roster")
async def roster(
    request: Request,
    site: str = "",
    week: Annotated[str, Query(max_length=10)] = "",
    edit: bool = False,
    copy: bool = False,
) -> Response:
    """A week of a station, read or (edit) to be planned; copy: filled in as the week before."""
    web, texts = web_of(request), web_of(request).texts(request)
    found = station_sites(web)
    if not found:
        return page(request, "roster.html", fragment="_roster.html", grid=None, sites=[], site="", lines=[], edit=False)
    chosen = found.get(site) or next(iter(found.values()))
    monday = week_of(web, chosen, week)
    plans = Plans(roster_now(web))
    given = _week_before(plans, chosen, monday) if copy else None
    return await _show(request, web, texts, chosen, monday, edit=edit, given=given)


@router.post("/roster")
async def plan(request: Request) -> Response:
    """Plan a week: all cells of the form, or none."""
    web, texts, who = web_of(request), web_of(request).texts(request), person_of(request)
    form = await request.form()
    chosen = station_sites(web).get(str(form.get("site", "")))
    if chosen is None:
        raise Refused(404, msgid("There is no such station."))
    monday = week_of(web, chosen, str(form.get("week", "")))
    cells = read_cells(web, chosen, monday, form)
    accept = form.get("accept") == "yes"
    problems = draft_of(web, cells).problems
    if any(each.code not in ("double", "certificate") for each in problems) or (problems and not accept):
        names = await people_names(web)
        return await _show(
            request,
            web,
            texts,
            chosen,
            monday,
            edit=True,
            given={cell_key(cell.day, cell.shift, cell.post): cell.people for cell in cells},
            problems=[problem_line(web, each, cells[each.cell], names, texts) for each in problems],
            status=422,
        )
    if cells:
        await commands.do(web, who, "roster.plan", cells=cell_args(cells), accept=accept)
    return RedirectResponse(f"/roster?site={chosen.site}&week={monday.isoformat()}", 303)


async def _show(
    request: Request,
    web: Web,
    texts: Texts,
    chosen: Site,
    monday: date,
    *,
    edit: bool,
    given: Mapping[str, Sequence[int]] | None = None,
    problems: Sequence[Line] = (),
    status: int = 200,
) -> Response:
    names, who = await people_names(web), person_of(request)
    findings = findings_of(web, chosen)
    grid = week_grid(web, chosen, monday, findings, names, texts, given)
    edit = edit and who.may(ADMINISTER)
    return page(
        request,
        "roster.html",
        fragment="_roster.html",
        status=status,
        grid=grid,
        days=[monday + timedelta(days=n) for n in range(WEEK)],
        today=local_day(web.now_ms(), ZoneInfo(chosen.time_zone)),
        sites=[(key, each.title.get(texts.language)) for key, each in station_sites(web).items()],
        site=chosen.site,
        week=monday,
        before=monday - timedelta(days=WEEK),
        after=monday + timedelta(days=WEEK),
        lines=[finding_line(web, each, names, texts) for each in findings],
        problems=problems,
        edit=edit,
        too_many=sum(len(cell.places) for row in grid for cell in row.cells if cell is not None) > MOST_FIELDS,
        choices=[
            (each.id, names.get(each.id) or texts("Person no. %(n)s", n=each.id), each.site != chosen.site)
            for each in sorted(people_now(web).values(), key=lambda each: (each.site != chosen.site, each.id))
        ],
        may_administer=who.may(ADMINISTER),
    )


# --- what is planned, and what is wrong with it -----------------------------------------------------------------------


def station_sites(web: Web) -> dict[str, Site]:
    """The sites that have a station."""
    return {key: site for key, site in web.inventory.sites.items() if site.station is not None}


def stations(web: Web) -> Stations:
    """Every station and its zone."""
    return {key: (_station(site), ZoneInfo(site.time_zone)) for key, site in station_sites(web).items()}


def week_of(web: Web, site: Site, text: str) -> date:
    """The Monday of the week a date lies in; of this week without one. Raises Refused."""
    try:
        day = date.fromisoformat(text) if text else local_day(web.now_ms(), ZoneInfo(site.time_zone))
        return day - timedelta(days=day.weekday())
    except (ValueError, OverflowError) as exc:
        raise Refused(422, msgid("A date is not one.")) from exc


def findings_of(web: Web, site: Site) -> list[Finding]:
    """What is wrong with a station's roster in the next seven days: what the gateway judges, of what screens have."""
    people, plans, now_ms = people_now(web), Plans(roster_now(web)), web.now_ms()
    return judge_roster(
        site.site,
        _station(site),
        ZoneInfo(site.time_zone),
        plans.days.get(site.site, {}),
        find=people.get,
        listed=sum(each.site == site.site for each in people.values()),
        held=plans.held,
        span_ms=(now_ms, now_ms + HORIZON_MS),
    )


def draft_of(web: Web, cells: Sequence[Cell]) -> Draft:
    """What cells would make of the plans."""
    people = people_now(web)
    draft = Draft(
        Plans(roster_now(web)),
        stations(web),
        people.get,
        lambda site: sum(each.site == site for each in people.values()),
    )
    draft.take(cells, web.now_ms())
    return draft


def cell_args(cells: Iterable[Cell]) -> list[dict[str, object]]:
    """Cells as the command takes them."""
    return [
        {"site": c.site, "day": c.day.isoformat(), "shift": c.shift, "post": c.post, "people": list(c.people)}
        for c in cells
    ]


def week_grid(
    web: Web,
    site: Site,
    monday: date,
    findings: Iterable[Finding],
    names: Mapping[int, str],
    texts: Texts,
    given: Mapping[str, Sequence[int]] | None = None,
) -> list[GridRow]:
    """The week, a row a shift and post. given: people by cell instead of those who are planned."""
    station, zone, now_ms = _station(site), ZoneInfo(site.time_zone), web.now_ms()
    planned = _planned(Plans(roster_now(web)), site, monday)
    wrong: dict[str, list[str]] = {}
    for each in findings:
        wrong.setdefault(f"{each.day}_{each.shift}_{each.post}", []).append(each.kind)
    days = [{s.begins: s for s in shifts_of_day(station, zone, monday + timedelta(days=n))} for n in range(WEEK)]
    rows = []
    for begins in sorted({begins for day in days for begins in day}):
        for post in station.posts:
            cells: list[GridCell | None] = []
            for ahead, day in enumerate(days):
                key = cell_key(monday + timedelta(days=ahead), begins, post.id)
                if begins not in day:
                    cells.append(None)
                    continue
                is_open = day[begins].until_ms > now_ms
                numbers = list((given.get(key, ()) if given is not None and is_open else None) or planned.get(key, ()))
                if given is not None and is_open:
                    numbers = list(given.get(key, ()))
                people = [(n, names.get(n) or texts("Person no. %(n)s", n=n)) for n in numbers]
                places = [*numbers, *[0] * max(SPARE, post.crew + SPARE - len(numbers))]
                cells.append(GridCell(key, people, places, wrong.get(key, []), is_open))
            rows.append(GridRow(begins, post.title.get(texts.language), post.crew, cells))
    return rows


def cell_key(day: date, shift: str, post: str) -> str:
    """Name of a cell in the form."""
    return f"{day.isoformat()}_{shift}_{post}"


def read_cells(web: Web, site: Site, monday: date, form: FormData) -> list[Cell]:
    """The cells of the form that are other than what is planned."""
    station, zone = _station(site), ZoneInfo(site.time_zone)
    planned = _planned(Plans(roster_now(web)), site, monday)
    cells = []
    for ahead in range(WEEK):
        day = monday + timedelta(days=ahead)
        for shift in shifts_of_day(station, zone, day):
            for post in station.posts:
                key = cell_key(day, shift.begins, post.id)
                if shift.until_ms <= web.now_ms() or key not in form:
                    continue
                given = [str(value) for value in form.getlist(key)]
                people = tuple(int(value) for value in given if value.isdecimal() and int(value) > 0)
                if people != tuple(planned.get(key, ())):
                    cells.append(Cell(site.site, day, shift.begins, post.id, people))
    return cells


def _planned(plans: Plans, site: Site, monday: date) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for ahead in range(WEEK):
        day = monday + timedelta(days=ahead)
        row = plans.days.get(site.site, {}).get(day.isoformat())
        duties: Iterable[Duty] = row.duties if row is not None else ()
        found |= {cell_key(day, duty.shift, duty.post): duty.people for duty in duties}
    return found


def _week_before(plans: Plans, site: Site, monday: date) -> dict[str, tuple[int, ...]]:
    before = monday - timedelta(days=WEEK)
    moved: dict[str, tuple[int, ...]] = {}
    for key, people in _planned(plans, site, before).items():
        day, _, rest = key.partition("_")
        moved[f"{(date.fromisoformat(day) + timedelta(days=WEEK)).isoformat()}_{rest}"] = people
    return moved


# --- in words ---------------------------------------------------------------------------------------------------------


def finding_line(web: Web, each: Finding, names: Mapping[int, str], texts: Texts) -> Line:
    """What is wrong, for people."""
    who = (names.get(each.person) or texts("Person no. %(n)s", n=each.person)) if each.person else ""
    what = texts.word("roster_finding", each.kind)
    if each.kind in ("gap", "few"):
        what = texts("%(what)s: %(n)s of %(m)s", what=what, n=each.there, m=each.want)
    elif each.kind == "unqualified":
        kinds = " / ".join(texts.word("certificate", kind) for kind in each.lacks)
        what = f"{who} · {what} ({kinds})"
    elif each.kind == "double":
        what = f"{who} · {what}: {place_words(web, each.also, texts)}"
    else:
        hours = texts("%(n)s h", n=f"{each.there / 60:g}")
        what = f"{who} · {what}: {hours}"
    where = place_words(web, f"{each.site}/{each.post}", texts) if each.post else ""
    return Line(each.kind, f"{each.day} {each.shift}".strip(), where, what)


def problem_line(web: Web, each: Problem, cell: Cell, names: Mapping[int, str], texts: Texts) -> Line:
    """Why a cell cannot be planned, for people."""
    what = texts.word("roster_problem", each.code)
    got = each.got
    if each.field == "people":
        number = int(each.got)
        got = names.get(number) or texts("Person no. %(n)s", n=number)
    wanted = " / ".join(
        texts.word("certificate", one) if each.code == "certificate" else place_words(web, one, texts)
        for one in each.want
    )
    what = f"{got} · {what} ({wanted})" if wanted else f"{got} · {what}"
    where = place_words(web, f"{cell.site}/{cell.post}", texts)
    return Line(each.code, f"{cell.day.isoformat()} {cell.shift}", where, what)


def place_words(web: Web, place: str, texts: Texts) -> str:
    """`site/post` or a post or site alone, by its titles."""
    site_id, _, post_id = place.partition("/")
    site = web.inventory.sites.get(site_id)
    if site is None:
        return place
    station = site.station
    post = next((p for p in station.posts if p.id == post_id), None) if station is not None else None
    title = post.title.get(texts.language) if post is not None else post_id
    if len(station_sites(web)) == 1 and title:
        return title
    return f"{site.title.get(texts.language)} · {title}" if title else site.title.get(texts.language)


def _station(site: Site) -> Station:
    assert site.station is not None, "asked of sites with a station only"
    return site.station


__all__ = ["Person", "draft_of", "findings_of", "router", "week_grid"]
