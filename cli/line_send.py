"""A report of the line doctor on its way to the gateway's web pages, kept there as if it had been uploaded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from contract.errors import ConfigError, RetryLater, StartError

VARIABLE = "WEIZHAN_TOKEN"
TIMEOUT_S = 20.0
_WHY = {
    401: "the token is not known or has expired. Make one at /account of the web pages",
    403: "the token may not keep reports. Want one of a maintainer or administrator that may do more than read",
    404: "there is no such line for this token. Compare site and line with the site file, and the token's area",
    413: "the report is too large",
    429: "too many requests. Try again in a minute",
}
"""What to do about an answer."""


class Goal(NamedTuple):
    """Where a report goes. base: address of the pages, without a path; ca: file of the certificates to trust."""

    base: str
    site: str
    line: str
    token: str
    ca: Path | None = None


def goal(send: str, place: str, token_file: Path | None, ca: Path | None) -> Goal:
    """Where a report goes, checked before anything is measured.

    Args:
        send: such as https://weizhan.example.cn. place: SITE/LINE.

    Raises:
        ConfigError: an address, a line or a token that cannot be.
    """
    try:
        url = httpx.URL(send)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.path not in ("", "/") or url.query:
        raise ConfigError(f"--send: got {send!r}, want the address of the web pages: https://weizhan.example.cn.")
    site, _, line = place.partition("/")
    if not site or not line or "/" in line:
        raise ConfigError(f"--as: got {place!r}, want SITE/LINE as the site file names them: shuiye/rs485.")
    if ca is not None and not ca.is_file():
        raise ConfigError(f"--ca: got {ca}, want a file with the certificates to trust.")
    return Goal(str(url).rstrip("/"), site, line, _token(token_file), ca)


def _token(file: Path | None) -> str:
    """The API token; it is never printed."""
    where = f"the environment variable {VARIABLE}" if file is None else str(file)
    try:
        text = os.environ.get(VARIABLE, "") if file is None else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"--token-file: {file}: cannot be read ({type(exc).__name__}), want a file of one line."
        ) from exc
    token = text.strip()
    if not token or not token.isascii() or any(char.isspace() for char in token):
        raise ConfigError(
            f"--send: got no usable token in {where}, want an API token in one line. "
            f"Name its file with --token-file, or set {VARIABLE}."
        )
    return token


def send_report(to: Goal, report: dict[str, Any]) -> int:
    """Have it kept; gives its number. The same report again is kept once.

    Raises:
        RetryLater: the pages do not answer. StartError: they refuse it, and why.
    """
    path = f"/api/v1/lines/{quote(to.site, safe='')}/{quote(to.line, safe='')}/reports"
    verify: Any = True if to.ca is None else httpx.create_ssl_context(verify=str(to.ca))
    try:
        with httpx.Client(base_url=to.base, verify=verify, timeout=TIMEOUT_S) as client:
            answer = client.post(path, json=report, headers={"Authorization": f"Bearer {to.token}"})
    except httpx.HTTPError as exc:
        raise RetryLater(
            f"{to.base}: got no answer ({exc or type(exc).__name__}). Is it running and in reach?"
        ) from exc
    if answer.status_code == 200:
        try:
            return int(answer.json()["id"])
        except (ValueError, KeyError, TypeError):
            raise StartError(f"{to.base}: got an answer that is none of Weizhan's. Check the address.") from None
    why = _WHY.get(answer.status_code) or _detail(answer)
    raise StartError(f"{to.base}: got {answer.status_code} for {to.site}/{to.line}: {why}.")


def _detail(answer: httpx.Response) -> str:
    """What a problem+json says."""
    try:
        return str(answer.json()["detail"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return "this is no page of Weizhan. Check the address"


def deliver(to: Goal, report: dict[str, Any]) -> str:
    """Have it kept; gives what to tell. What cannot be sent is put aside as a file, and the error names it."""
    try:
        number = send_report(to, report)
    except (RetryLater, StartError) as exc:
        path = put_aside(report, to)
        raise type(exc)(f"{exc} The report is in {path}; it can be uploaded on the page of the line.") from exc
    return f"kept as report {number}: {to.base}/upkeep/lines/{quote(to.site)}/{quote(to.line)}#report-{number}"


def put_aside(report: dict[str, Any], to: Goal) -> Path:
    """Write a report that could not be sent into the working folder."""
    path = Path(f"line-report-{to.site}-{to.line}-{report['at_ms']}.json")
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2), "utf-8")
    return path
