"""Templates and what every page has: language, person, theme, the state of the connection to the gateway."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.web.access import (
    ACKNOWLEDGE,
    ANSWER_DUTY,
    APPROVE,
    COOKIELESS,
    HANDLE,
    MAINTAIN,
    PROVE,
    READ_NOW,
    WALL,
    Person,
    csrf_of,
    new_token,
)
from gateway.web.context import THEME_COOKIE, Web, web_of
from gateway.web.duty import duty_lines
from gateway.web.navigation import place_of, sections_of
from gateway.web.texts import Texts

HERE = Path(__file__).parent
STATIC = HERE / "static"
WALL_S = 400 * 86_400
"""How long a wall display's browser keeps its cookie: as long as one may; every page of the display renews it."""
THEMES = ("auto", "light", "dark")


def make_environment() -> jinja2.Environment:
    """The templates: everything escaped, an unknown name is an error."""
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    pages.filters["path"] = lambda text: quote(str(text), safe="/")
    pages.globals["asset"] = Assets(STATIC)
    return pages


def version_of(folder: Path) -> str:
    """A digest of everything the pages are made of, so that an open page notices that there is a newer one."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".js", ".css", ".html", ".svg", ".po"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Assets:
    """Address of a static file with a digest of its content, so that browsers may keep it for ever."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """/static/NAME?v=digest; without the digest when the file is not there."""
        if name not in self._known:
            path = self._folder / name
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""
            self._known[name] = f"/static/{name}?v={digest}" if digest else f"/static/{name}"
        return self._known[name]


def wants_fragment(request: Request) -> bool:
    """Whether the page's own script asks for the changing part only."""
    return request.headers.get("hx-request") == "true" and request.headers.get("hx-boosted") != "true"


def page(request: Request, template: str, *, status: int = 200, fragment: str | None = None, **values: Any) -> Response:
    """Render a page, or only its changing part (`fragment`) when the page's script asks for that."""
    web = web_of(request)
    texts = web.texts(request)
    person: Person | None = getattr(request.state, "person", None)
    before = request.cookies.get(web.cookies.before)
    fresh = None
    if person is None and not before and getattr(request.scope.get("route"), "path", "") not in COOKIELESS:
        before = fresh = new_token()
    theme = request.cookies.get(THEME_COOKIE)
    sections = sections_of(person) if person else []
    section, here_page = place_of(request.url.path, sections)
    name = fragment if fragment is not None and wants_fragment(request) else template
    html = web.pages.get_template(name).render(
        _=texts,
        t=texts,
        lang="zh-CN" if texts.language == "zh" else "en",
        theme=theme if theme in THEMES else "auto",
        person=person,
        csrf=person.csrf if person else csrf_of(before or ""),
        once=secrets.token_urlsafe(9),
        may_acknowledge=bool(person and person.may(ACKNOWLEDGE)),
        may_handle=bool(person and person.may(HANDLE)),
        may_maintain=bool(person and person.may(MAINTAIN)),
        may_prove=bool(person and person.may(PROVE)),
        may_read=bool(person and person.may(READ_NOW)),
        may_approve=bool(person and person.may(APPROVE)),
        may_answer=bool(person and person.may(ANSWER_DUTY)),
        duty=duty_lines(web.picture.duty, web.inventory, texts, web.now_ms()) if person else [],
        duty_waits=web.picture.waiting_duty() if person else [],
        now_ms=web.now_ms(),
        connected=web.picture.connected,
        since_ms=web.picture.since_ms,
        siren=web.picture.waiting_fires() if person else [],
        changes=web.picture.changes,
        faults=web.picture.waiting_faults() if person else (0, 0),
        version=web.hub.version,
        here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        sections=sections,
        section=section,
        here_page=here_page,
        script_texts={**script_texts(texts), "zone": web.settings.timezone},
        **values,
    )
    response = HTMLResponse(
        html, status_code=status, headers={"Vary": "Cookie, HX-Request", "Cache-Control": "no-store"}
    )
    if fresh:
        set_cookie(web, response, web.cookies.before, fresh, max_age=None)
    if person is not None and person.role == WALL and (token := request.cookies.get(web.cookies.session)):
        set_cookie(web, response, web.cookies.session, token, max_age=WALL_S)
    return response


def set_cookie(web: Web, response: Response, name: str, value: str, *, max_age: int | None) -> None:
    """A cookie no script can read."""
    response.set_cookie(
        name, value, max_age=max_age, path="/", httponly=True, samesite="lax", secure=web.cookies.secure
    )


def drop_cookie(web: Web, response: Response, name: str) -> None:
    """Take a cookie back."""
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=web.cookies.secure)


def script_texts(texts: Texts) -> dict[str, Any]:
    """What the page's script says by itself."""
    _ = texts
    return {
        "now": _("just now"),
        "s": _("%(n)s s ago", n="{n}"),
        "min": _("%(n)s min ago", n="{n}"),
        "h": _("%(n)s h ago", n="{n}"),
        "d": _("%(n)s d ago", n="{n}"),
        "dh": _("%(d)s d %(h)s h", d="{d}", h="{h}"),
        "yes": _("yes"),
        "no": _("no"),
        "lost": _("No connection to the server since %(time)s. Nothing here is current.", time="{time}"),
        "away": _("The gateway has not answered since %(time)s. Nothing here is current.", time="{time}"),
        "busy": _("The server has had too many connections since %(time)s. Nothing here is current.", time="{time}"),
        "asking": _("This page asks for news every two seconds instead of being told at once."),
        "sound_on": _("Sound on"),
        "sound_off": _("Turn sound on"),
        "heard": _("Written down: the sound of this screen is heard."),
        "not_heard": _("Written down. Check loudspeaker, plug and volume, then test once more."),
        "not_saved": _("This could not be saved. Try again in a moment."),
        "plan_svg": _("SVG drawings are not taken: they can carry scripts. Save the plan as PNG and send that."),
        "plan_large": _("The file is larger than 8 MB. Save the plan with fewer pixels."),
        "highest": _("Highest"),
        "lowest": _("Lowest"),
        "mean": _("Mean"),
        "time": _("Time"),
        "no_data": _("No values in this period."),
        "failed": _("The chart could not be loaded."),
        "gap": _("no data"),
        "limit_moved": _("Limit changed"),
        "happened": {
            "alarm": _("Alarm"),
            "work": _("Work"),
            "duty": _("Duty check"),
            "drill": _("Drill"),
        },
        "quality": texts.family("quality"),
        "cause": texts.family("cause"),
        "state": texts.family("state"),
        "severity": texts.family("severity"),
    }


def local_path(text: str | None, default: str = "/") -> str:
    """A path within this site to go on to; anything that could lead elsewhere gives the default."""
    if not text or not text.startswith("/") or text.startswith(("//", "/\\")) or any(c in text for c in "\r\n\t\\"):
        return default
    return text
