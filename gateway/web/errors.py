"""Errors as answers: a page for people, problem+json (RFC 9457) for the API."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from contract.errors import RetryLater
from gateway.control.client import ControlError, NotKnownYet
from gateway.web.access import SAFE, Refused, SignInNeeded
from gateway.web.context import web_of
from gateway.web.link import has_done
from gateway.web.outcomes import HEADER
from gateway.web.problems import kind_of
from gateway.web.refusals import in_words
from gateway.web.render import local_path, page, wants_fragment
from gateway.web.texts import msgid

_STATUS = {"not_found": 404, "conflict": 409, "invalid": 422, "unavailable": 503}
_SAID = {
    "not_found": msgid("This is not there any more. Load the page again."),
    "conflict": msgid("Somebody was faster. Load the page again to see the present state."),
    "invalid": msgid("The gateway did not take this. Check what you entered."),
    "unavailable": msgid("The gateway is not answering, so nothing was changed. Try again in a moment."),
}
"""What a person reads when the gateway refuses with words that no catalogue knows; the API tells the gateway's own."""


def install(app: FastAPI) -> None:
    """Teach the app how each of our errors is told."""

    @app.exception_handler(SignInNeeded)
    async def _sign_in(request: Request, _: SignInNeeded) -> Response:
        if _is_api(request) or "authorization" in request.headers:
            answer = _problem(request, 401, "Sign in at /sign-in first, or send a token that is valid.")
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.method not in SAFE or wants_fragment(request):
            # Back to where the form stands: the page puts what was entered into it again (static/typed.js).
            target = _came_from(request)
        onward = "/sign-in" if target == "/" else f"/sign-in?next={quote(target)}"
        if wants_fragment(request):
            # The session ended while the page was open: the whole page has to go to the sign-in.
            return Response(status_code=401, headers={"HX-Redirect": onward})
        return RedirectResponse(onward, 303)

    @app.exception_handler(Refused)
    async def _refused(request: Request, exc: Refused) -> Response:
        return _tell(request, exc.status, exc.text)

    @app.exception_handler(RetryLater)
    async def _later(request: Request, _: RetryLater) -> Response:
        if has_done.get():
            return _tell(
                request,
                409,
                msgid(
                    "The gateway stopped answering when a part of this was done. Look at the present state before you "
                    "send it again."
                ),
            )
        return _tell(request, 503, _SAID["unavailable"])

    @app.exception_handler(NotKnownYet)
    async def _not_known(request: Request, exc: NotKnownYet) -> Response:
        answer = _tell_unknown(request, exc.mark)
        answer.headers[HEADER] = exc.mark
        return answer

    @app.exception_handler(ControlError)
    async def _control(request: Request, exc: ControlError) -> Response:
        status = _STATUS.get(exc.code, 422)
        if _is_api(request):
            return _problem(request, status, str(exc))
        said = in_words(str(exc), web_of(request).texts(request).language)
        return _tell(request, status, said or _SAID.get(exc.code, _SAID["invalid"]))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, exc: RequestValidationError) -> Response:
        # What fits none of several forms has no field of its own.
        fields = ", ".join(sorted({str(error["loc"][-1] if error["loc"] else "—") for error in exc.errors()}))
        if _is_api(request):
            errors = [
                {"field": ".".join(map(str, error["loc"][1:])), "text": str(error["msg"])} for error in exc.errors()
            ]
            detail = "; ".join(f"{error['field']}: {error['text']}" for error in errors)
            return _problem(request, 422, detail, errors)
        return _tell(request, 422, msgid("A field is missing or has an odd value: %(fields)s."), fields=fields)

    @app.exception_handler(OverflowError)
    async def _beyond(request: Request, _: OverflowError) -> Response:
        # A number in the address or the query that no row of the ledger can have.
        return _tell(request, 404, _SAID["not_found"])

    @app.exception_handler(HTTPException)
    async def _http(request: Request, exc: HTTPException) -> Response:
        known = {
            404: msgid("There is no such page."),
            413: msgid("This is too large and was not taken: a file may have 8 MB, everything else 64 kB."),
        }
        if exc.status_code not in known and _is_api(request):
            return _problem(request, exc.status_code, str(exc.detail))
        text = known.get(exc.status_code, msgid("This request cannot be carried out."))
        return _tell(request, exc.status_code, text)


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _tell(request: Request, status: int, text: str, **values: str) -> Response:
    said = web_of(request).texts(request)(text, **values)
    if _is_api(request):
        return _problem(request, status, said)
    posted = request.method not in SAFE
    return page(request, "error.html", status=status, fragment="_error.html", code=status, said=said, posted=posted)


def _tell_unknown(request: Request, mark: str) -> Response:
    """It may have been done: somebody signed in is led to where that is looked up, the others are told."""
    if getattr(request.state, "person", None) is None:
        return _tell(
            request,
            504,
            msgid(
                "The gateway has not answered yet, so it is not known whether this was done. Look again in a moment "
                "before you send it once more."
            ),
        )
    if _is_api(request) or wants_fragment(request):
        answer = _tell(
            request,
            504,
            msgid(
                "The gateway has not said yet what came of this; it may still do it. Look at the present state before "
                "you do it again."
            ),
        )
        if _is_api(request):
            answer.headers["Location"] = f"/api/v1/outcomes/{mark}"
        return answer
    back = urlsplit(_came_from(request)).path
    part = {"part": "1"} if has_done.get() else {}
    return RedirectResponse(f"/outcome/{mark}?{urlencode({'back': back, **part})}", 303)


def _came_from(request: Request) -> str:
    """The page of ours that a request was sent from; the board where that is not known."""
    page_url = urlsplit(request.headers.get("referer", ""))
    if page_url.netloc != request.headers.get("host"):
        return "/"
    return local_path(page_url.path + (f"?{page_url.query}" if page_url.query else ""))


def _problem(request: Request, status: int, detail: str, errors: list[dict[str, str]] | None = None) -> Response:
    kind = kind_of(status)
    body = {
        "type": kind.type,
        "title": kind.title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "errors": errors or [],
    }
    headers = {"Retry-After": "2"} if status in (429, 503) else None
    return JSONResponse(body, status_code=status, media_type="application/problem+json", headers=headers)
