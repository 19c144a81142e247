"""Who may call what: every route stands here, and one that does not is refused.

Guarded in one place for all routes (guard.py): session, role, and for every unsafe request the CSRF token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

ROLES = ("duty", "maintainer", "inspector", "administrator")
ANYONE = frozenset({"anyone"})
"""Without a sign-in."""
SIGNED_IN = frozenset(ROLES)
ACKNOWLEDGE = frozenset({"duty", "administrator"})
HANDLE = frozenset({"duty", "maintainer", "administrator"})
"""Note, assign, find, shelve."""
MAINTAIN = frozenset({"maintainer", "administrator"})
"""Out of service, maintenance windows, drills, records of work."""
PROVE = frozenset({"duty", "administrator"})
"""Screens that prove the way to people: those of the duty desk."""
ANSWER_DUTY = frozenset({"duty", "administrator"})
"""Say that somebody is here when a monitoring centre asks (查岗)."""
CHECK_DUTY = frozenset({"duty", "administrator"})
"""Ask the person at a transmitter to answer (查岗)."""
PRINT_CODES = frozenset({"administrator"})
"""Print the codes that hang at the posts."""
READ_NOW = frozenset({"duty", "maintainer", "administrator"})
APPROVE = frozenset({"maintainer", "administrator"})
ADMINISTER = frozenset({"administrator"})
WALL = "wall"
"""Role of a wall display: nobody's account, it reads the board, the map and the stream of events."""
WATCH = SIGNED_IN | {WALL}
COOKIELESS = frozenset({"/report", "/report/{code}", "/l/{token}"})
"""For the public: whoever asks is nobody, signed in or not, and what is sent needs no token of a session."""

ROUTES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/healthz"): ANYONE,
    ("GET", "/readyz"): ANYONE,
    ("GET", "/metrics"): MAINTAIN,
    ("GET", "/api"): SIGNED_IN,
    ("GET", "/sign-in"): ANYONE,
    ("POST", "/sign-in"): ANYONE,
    ("GET", "/first-password"): ANYONE,
    ("POST", "/first-password"): ANYONE,
    ("POST", "/preferences"): ANYONE,
    ("POST", "/sign-out"): SIGNED_IN,
    ("GET", "/pair"): ANYONE,
    ("POST", "/pair"): ANYONE,
    ("GET", "/outcome/{mark}"): SIGNED_IN,
    ("GET", "/api/v1/outcomes/{mark}"): SIGNED_IN,
    ("GET", "/account"): SIGNED_IN,
    ("POST", "/account/password"): SIGNED_IN,
    ("POST", "/account/tokens"): SIGNED_IN,
    ("POST", "/account/sessions/{session_id}/end"): SIGNED_IN,
    ("GET", "/admin/accounts"): ADMINISTER,
    ("POST", "/admin/accounts"): ADMINISTER,
    ("POST", "/admin/accounts/{name}/rights"): ADMINISTER,
    ("POST", "/admin/accounts/{name}/reset"): ADMINISTER,
    ("POST", "/admin/accounts/{name}/{act}"): ADMINISTER,
    ("GET", "/admin/walls"): ADMINISTER,
    ("POST", "/admin/walls"): ADMINISTER,
    ("POST", "/admin/walls/{wall_id}/end"): ADMINISTER,
    ("GET", "/api/v1/accounts"): ADMINISTER,
    ("POST", "/api/v1/accounts"): ADMINISTER,
    ("POST", "/api/v1/accounts/{name}/rights"): ADMINISTER,
    ("POST", "/api/v1/accounts/{name}/reset"): ADMINISTER,
    ("POST", "/api/v1/accounts/{name}/{act}"): ADMINISTER,
    ("GET", "/wall"): WATCH,
    ("GET", "/map"): WATCH,
    ("GET", "/map/plans/{plan_id}/picture"): WATCH,
    ("POST", "/map/plans"): MAINTAIN,
    ("POST", "/map/plans/{plan_id}"): MAINTAIN,
    ("POST", "/map/plans/{plan_id}/remove"): MAINTAIN,
    ("POST", "/map/plans/{plan_id}/place"): MAINTAIN,
    ("POST", "/map/plans/{plan_id}/unplace"): MAINTAIN,
    ("POST", "/sound-check"): ACKNOWLEDGE,
    ("GET", "/alarms/{alarm_id}/acts"): HANDLE,
    ("POST", "/alarms/{alarm_id}/advice"): HANDLE,
    ("GET", "/"): WATCH,
    ("GET", "/devices"): SIGNED_IN,
    ("POST", "/devices/approve"): APPROVE,
    ("POST", "/refused/{refused_id}/dismiss"): APPROVE,
    ("GET", "/devices/{site}/{device}"): SIGNED_IN,
    ("GET", "/alarms"): SIGNED_IN,
    ("GET", "/alarms/{alarm_id}"): SIGNED_IN,
    ("POST", "/devices/{site}/{device}/read"): READ_NOW,
    ("POST", "/alarms/acknowledge"): ACKNOWLEDGE,
    ("POST", "/alarms/{alarm_id}/acknowledge"): ACKNOWLEDGE,
    ("POST", "/alarms/{alarm_id}/assign"): HANDLE,
    ("POST", "/alarms/{alarm_id}/note"): HANDLE,
    ("POST", "/alarms/{alarm_id}/find"): HANDLE,
    ("POST", "/alarms/{alarm_id}/shelve"): HANDLE,
    ("POST", "/alarms/{alarm_id}/unshelve"): HANDLE,
    ("POST", "/service/take-out"): MAINTAIN,
    ("POST", "/service/return"): MAINTAIN,
    ("GET", "/duty"): ANSWER_DUTY,
    ("POST", "/duty/{check_id}/answer"): ANSWER_DUTY,
    ("GET", "/shift"): SIGNED_IN,
    ("GET", "/shift/handovers/{number}"): SIGNED_IN,
    ("GET", "/shift/codes"): PRINT_CODES,
    ("GET", "/shift/answer/{check_id}"): ANSWER_DUTY,
    ("POST", "/shift/sign-on"): ANSWER_DUTY,
    ("POST", "/shift/sign-off"): ANSWER_DUTY,
    ("POST", "/shift/sign"): ANSWER_DUTY,
    ("POST", "/shift/log"): ANSWER_DUTY,
    ("GET", "/here/{site}/{post}/{code}"): ANYONE,
    ("POST", "/here/{site}/{post}/{code}"): ANYONE,
    ("GET", "/api/v1/shifts/{site}"): SIGNED_IN,
    ("GET", "/api/v1/shifts/{site}/sheet"): SIGNED_IN,
    ("GET", "/api/v1/shifts/{site}/handovers"): SIGNED_IN,
    ("GET", "/api/v1/shifts/{site}/checks"): SIGNED_IN,
    ("GET", "/api/v1/shifts/{site}/log"): SIGNED_IN,
    ("POST", "/api/v1/shifts/{site}/log"): ANSWER_DUTY,
    ("POST", "/api/v1/shifts/{site}/sign-on"): ANSWER_DUTY,
    ("POST", "/api/v1/shifts/{site}/sign-off"): ANSWER_DUTY,
    ("POST", "/api/v1/shifts/{site}/sign"): ANSWER_DUTY,
    ("GET", "/drills"): SIGNED_IN,
    ("POST", "/drills"): MAINTAIN,
    ("GET", "/drills/{drill_id}"): SIGNED_IN,
    ("POST", "/drills/{drill_id}/close"): MAINTAIN,
    ("GET", "/maintenance"): SIGNED_IN,
    ("POST", "/maintenance"): MAINTAIN,
    ("POST", "/maintenance/{window_id}/close"): MAINTAIN,
    ("POST", "/devices/{site}/{device}/work"): MAINTAIN,
    ("GET", "/station"): SIGNED_IN,
    ("POST", "/station/{site}/risks"): ADMINISTER,
    ("POST", "/station/risks/{risk_id}/withdraw"): ADMINISTER,
    ("GET", "/equipment"): SIGNED_IN,
    ("POST", "/equipment/{site}/{item}"): HANDLE,
    ("GET", "/quality"): SIGNED_IN,
    ("GET", "/notifications"): SIGNED_IN,
    ("GET", "/rules"): SIGNED_IN,
    ("GET", "/rules/{rule_id}"): SIGNED_IN,
    ("GET", "/r/{token}"): ANYONE,
    ("POST", "/r/{token}"): ANYONE,
    ("GET", "/report"): ANYONE,
    ("POST", "/report"): ANYONE,
    ("GET", "/report/{code}"): ANYONE,
    ("GET", "/incidents"): SIGNED_IN,
    ("POST", "/incidents"): ACKNOWLEDGE,
    ("GET", "/incidents/{incident_id}"): SIGNED_IN,
    ("GET", "/incidents/{incident_id}/sheet"): SIGNED_IN,
    ("POST", "/incidents/{incident_id}/steps"): ACKNOWLEDGE,
    ("GET", "/grid"): SIGNED_IN,
    ("GET", "/api/v1/incidents"): SIGNED_IN,
    ("GET", "/api/v1/incidents/{incident_id}"): SIGNED_IN,
    ("POST", "/api/v1/incidents"): ACKNOWLEDGE,
    ("POST", "/api/v1/incidents/{incident_id}/steps"): ACKNOWLEDGE,
    ("GET", "/api/v1/grid"): SIGNED_IN,
    ("GET", "/upkeep"): SIGNED_IN,
    ("GET", "/upkeep/orders"): SIGNED_IN,
    ("POST", "/upkeep/orders"): HANDLE,
    ("GET", "/upkeep/orders/new"): HANDLE,
    ("GET", "/upkeep/orders/{order_id}"): SIGNED_IN,
    ("POST", "/upkeep/orders/{order_id}/steps"): HANDLE,
    ("GET", "/upkeep/dates"): SIGNED_IN,
    ("GET", "/upkeep/dates.csv"): SIGNED_IN,
    ("GET", "/upkeep/lines"): SIGNED_IN,
    ("GET", "/upkeep/lines/{site}/{line}"): SIGNED_IN,
    ("POST", "/upkeep/lines/{site}/{line}/reports"): MAINTAIN,
    ("GET", "/upkeep/quarantine"): APPROVE,
    ("POST", "/upkeep/quarantine/approve"): APPROVE,
    ("POST", "/upkeep/quarantine/forget"): APPROVE,
    ("POST", "/upkeep/quarantine/dismiss"): APPROVE,
    ("GET", "/upkeep/lab"): MAINTAIN,
    ("POST", "/upkeep/lab"): MAINTAIN,
    ("GET", "/upkeep/lab/{token}"): MAINTAIN,
    ("GET", "/upkeep/profiles"): SIGNED_IN,
    ("GET", "/upkeep/profiles/{profile_id}"): SIGNED_IN,
    ("GET", "/api/v1/dates"): SIGNED_IN,
    ("GET", "/api/v1/lines/{site}/{line}/reports"): SIGNED_IN,
    ("POST", "/api/v1/lines/{site}/{line}/reports"): MAINTAIN,
    ("GET", "/api/v1/causes"): SIGNED_IN,
    ("GET", "/api/v1/near-limits"): SIGNED_IN,
    ("GET", "/api/v1/orders"): SIGNED_IN,
    ("POST", "/api/v1/orders"): HANDLE,
    ("GET", "/api/v1/orders/{order_id}"): SIGNED_IN,
    ("GET", "/api/v1/orders/{order_id}/history"): SIGNED_IN,
    ("POST", "/api/v1/orders/{order_id}/steps"): HANDLE,
    ("GET", "/hazards"): SIGNED_IN,
    ("POST", "/hazards"): HANDLE,
    ("GET", "/hazards/new"): HANDLE,
    ("GET", "/hazards/links"): MAINTAIN,
    ("GET", "/hazards/{hazard_id}"): SIGNED_IN,
    ("POST", "/hazards/{hazard_id}/steps"): HANDLE,
    ("GET", "/api/v1/hazards"): SIGNED_IN,
    ("POST", "/api/v1/hazards"): HANDLE,
    ("GET", "/api/v1/hazards/{hazard_id}"): SIGNED_IN,
    ("GET", "/api/v1/hazards/{hazard_id}/history"): SIGNED_IN,
    ("POST", "/api/v1/hazards/{hazard_id}/steps"): HANDLE,
    ("GET", "/api/v1/hazard-counts"): SIGNED_IN,
    ("GET", "/people"): SIGNED_IN,
    ("POST", "/people"): ADMINISTER,
    ("GET", "/people/{person_id}"): SIGNED_IN,
    ("POST", "/people/{person_id}"): ADMINISTER,
    ("POST", "/people/{person_id}/leave"): ADMINISTER,
    ("POST", "/people/{person_id}/back"): ADMINISTER,
    ("POST", "/people/{person_id}/erase"): ADMINISTER,
    ("POST", "/people/{person_id}/pin"): HANDLE,
    ("GET", "/people/template.{kind}"): ADMINISTER,
    ("POST", "/people/import"): ADMINISTER,
    ("GET", "/roster/template.{kind}"): ADMINISTER,
    ("POST", "/roster/import"): ADMINISTER,
    ("GET", "/roster"): SIGNED_IN,
    ("POST", "/roster"): ADMINISTER,
    ("GET", "/api/v1/people"): SIGNED_IN,
    ("POST", "/api/v1/people"): ADMINISTER,
    ("POST", "/api/v1/people/import"): ADMINISTER,
    ("GET", "/api/v1/people/{person_id}"): SIGNED_IN,
    ("PUT", "/api/v1/people/{person_id}"): ADMINISTER,
    ("POST", "/api/v1/people/{person_id}/leave"): ADMINISTER,
    ("POST", "/api/v1/people/{person_id}/back"): ADMINISTER,
    ("POST", "/api/v1/people/{person_id}/erase"): ADMINISTER,
    ("POST", "/api/v1/people/{person_id}/pin"): HANDLE,
    ("GET", "/api/v1/people/{person_id}/export"): ADMINISTER,
    ("POST", "/api/v1/roster"): ADMINISTER,
    ("POST", "/api/v1/roster/import"): ADMINISTER,
    ("GET", "/api/v1/roster/{site}"): SIGNED_IN,
    ("GET", "/api/v1/openapi.json"): SIGNED_IN,
    ("GET", "/api/v1/session"): SIGNED_IN,
    ("GET", "/api/v1/status"): SIGNED_IN,
    ("GET", "/api/v1/sites"): SIGNED_IN,
    ("GET", "/api/v1/devices"): SIGNED_IN,
    ("GET", "/api/v1/devices/{site}/{device}"): SIGNED_IN,
    ("GET", "/api/v1/values"): SIGNED_IN,
    ("GET", "/api/v1/alarms"): SIGNED_IN,
    ("GET", "/api/v1/alarms/{alarm_id}"): SIGNED_IN,
    ("POST", "/api/v1/alarms/{alarm_id}/acknowledge"): ACKNOWLEDGE,
    ("POST", "/api/v1/alarms/{alarm_id}/assign"): HANDLE,
    ("POST", "/api/v1/alarms/{alarm_id}/note"): HANDLE,
    ("POST", "/api/v1/alarms/{alarm_id}/find"): HANDLE,
    ("POST", "/api/v1/alarms/{alarm_id}/shelve"): HANDLE,
    ("POST", "/api/v1/alarms/{alarm_id}/unshelve"): HANDLE,
    ("GET", "/api/v1/alarms/{alarm_id}/advice"): SIGNED_IN,
    ("POST", "/api/v1/alarms/{alarm_id}/advice"): HANDLE,
    ("GET", "/api/v1/floor-plans"): SIGNED_IN,
    ("GET", "/api/v1/floor-plans/{plan_id}"): SIGNED_IN,
    ("GET", "/api/v1/floor-plans/{plan_id}/picture"): SIGNED_IN,
    ("POST", "/api/v1/floor-plans/{plan_id}/place"): MAINTAIN,
    ("POST", "/api/v1/floor-plans/{plan_id}/unplace"): MAINTAIN,
    ("POST", "/api/v1/service/take-out"): MAINTAIN,
    ("POST", "/api/v1/service/return"): MAINTAIN,
    ("GET", "/api/v1/standing"): SIGNED_IN,
    ("POST", "/api/v1/drills"): MAINTAIN,
    ("POST", "/api/v1/drills/{drill_id}/close"): MAINTAIN,
    ("POST", "/api/v1/maintenance"): MAINTAIN,
    ("POST", "/api/v1/maintenance/{window_id}/close"): MAINTAIN,
    ("POST", "/api/v1/devices/{site}/{device}/work"): MAINTAIN,
    ("GET", "/api/v1/rules"): SIGNED_IN,
    ("GET", "/api/v1/readiness"): SIGNED_IN,
    ("GET", "/api/v1/readiness/{site}"): SIGNED_IN,
    ("POST", "/api/v1/readiness/{site}/risks"): ADMINISTER,
    ("POST", "/api/v1/risks/{risk_id}/withdraw"): ADMINISTER,
    ("GET", "/api/v1/equipment"): SIGNED_IN,
    ("POST", "/api/v1/equipment/{site}/{item}/tick"): HANDLE,
    ("GET", "/api/v1/quality"): SIGNED_IN,
    ("GET", "/api/v1/notices"): SIGNED_IN,
    ("GET", "/api/v1/proofs"): SIGNED_IN,
    ("POST", "/api/v1/path-receipt"): PROVE,
    ("GET", "/api/v1/centres"): SIGNED_IN,
    ("GET", "/api/v1/duty-checks"): SIGNED_IN,
    ("POST", "/api/v1/duty-checks/{check_id}/answer"): ANSWER_DUTY,
    ("POST", "/api/v1/devices/{site}/{device}/duty-check"): CHECK_DUTY,
    ("GET", "/photos/{name}"): SIGNED_IN,
    ("GET", "/patrols"): SIGNED_IN,
    ("POST", "/patrols/start"): HANDLE,
    ("GET", "/patrols/rounds/{round_id}"): SIGNED_IN,
    ("GET", "/patrols/rounds/{round_id}/stops/{spot}"): HANDLE,
    ("GET", "/patrols/at/{token}"): SIGNED_IN,
    ("POST", "/patrols/rounds/{round_id}/tick"): HANDLE,
    ("POST", "/patrols/rounds/{round_id}/finish"): HANDLE,
    ("POST", "/patrols/rounds/{round_id}/judge"): HANDLE,
    ("GET", "/patrols/labels/{site}"): HANDLE,
    ("GET", "/training"): SIGNED_IN,
    ("POST", "/training"): HANDLE,
    ("GET", "/api/v1/patrols"): SIGNED_IN,
    ("GET", "/api/v1/patrols/completion"): SIGNED_IN,
    ("GET", "/api/v1/patrols/rounds"): SIGNED_IN,
    ("POST", "/api/v1/patrols/rounds"): HANDLE,
    ("GET", "/api/v1/patrols/rounds/{round_id}"): SIGNED_IN,
    ("POST", "/api/v1/patrols/rounds/{round_id}/tick"): HANDLE,
    ("POST", "/api/v1/patrols/rounds/{round_id}/finish"): HANDLE,
    ("POST", "/api/v1/patrols/rounds/{round_id}/judge"): HANDLE,
    ("GET", "/api/v1/trainings"): SIGNED_IN,
    ("POST", "/api/v1/trainings"): HANDLE,
    ("POST", "/api/v1/photos"): HANDLE,
    ("GET", "/api/v1/history"): SIGNED_IN,
    ("GET", "/api/v1/charts"): SIGNED_IN,
    ("GET", "/assessment"): SIGNED_IN,
    ("GET", "/assessment.csv"): SIGNED_IN,
    ("GET", "/api/v1/assessment"): SIGNED_IN,
    ("GET", "/admin/channels"): ADMINISTER,
    ("GET", "/admin"): ADMINISTER,
    ("GET", "/admin/sites"): ADMINISTER,
    ("GET", "/admin/sites/{site}/file"): ADMINISTER,
    ("GET", "/admin/sites/{site}/devices.{kind}"): ADMINISTER,
    ("GET", "/admin/sites/{site}/versions/{version_id}/file"): ADMINISTER,
    ("GET", "/admin/sites/{site}/change/{token}"): ADMINISTER,
    ("POST", "/admin/sites/{site}/file"): ADMINISTER,
    ("POST", "/admin/sites/{site}/devices"): ADMINISTER,
    ("POST", "/admin/sites/{site}/versions/{version_id}"): ADMINISTER,
    ("POST", "/admin/sites/{site}/change/{token}"): ADMINISTER,
    ("GET", "/api/v1/site-files"): ADMINISTER,
    ("GET", "/api/v1/administration"): ADMINISTER,
    ("GET", "/admin/audit"): ADMINISTER,
    ("GET", "/admin/backups"): ADMINISTER,
    ("POST", "/admin/backups"): ADMINISTER,
    ("POST", "/admin/backups/{backup_id}/verify"): ADMINISTER,
    ("GET", "/admin/backups/{backup_id}/file"): ADMINISTER,
    ("GET", "/api/v1/backups"): ADMINISTER,
    ("POST", "/api/v1/backups"): ADMINISTER,
    ("POST", "/api/v1/backups/{backup_id}/verify"): ADMINISTER,
    ("POST", "/admin/audit/verify"): ADMINISTER,
    ("GET", "/admin/audit/head.json"): ADMINISTER,
    ("GET", "/admin/audit.csv"): ADMINISTER,
    ("GET", "/api/v1/audit"): ADMINISTER,
    ("GET", "/api/v1/audit-chain"): ADMINISTER,
    ("POST", "/api/v1/audit-chain/verify"): ADMINISTER,
    ("POST", "/admin/channels/{person}/{channel}/test"): ADMINISTER,
    ("GET", "/api/v1/channels"): ADMINISTER,
    ("POST", "/api/v1/channels/{person}/{channel}/test"): ADMINISTER,
    ("GET", "/records"): SIGNED_IN,
    ("GET", "/records/former"): SIGNED_IN,
    ("GET", "/records/readiness"): SIGNED_IN,
    ("GET", "/records/rectification"): SIGNED_IN,
    ("GET", "/records/exports"): SIGNED_IN,
    ("POST", "/records/exports"): SIGNED_IN,
    ("GET", "/records/exports/{job_id}"): SIGNED_IN,
    ("GET", "/records/exports/{job_id}/file"): SIGNED_IN,
    ("POST", "/records/exports/{job_id}/drop"): SIGNED_IN,
    ("GET", "/records/check"): SIGNED_IN,
    ("POST", "/records/check"): SIGNED_IN,
    ("GET", "/records/labels/{site}"): SIGNED_IN,
    ("POST", "/records/labels/{site}"): HANDLE,
    ("GET", "/records/{site}/{device}/label"): SIGNED_IN,
    ("POST", "/records/{site}/{device}/label"): HANDLE,
    ("POST", "/records/{site}/{device}/label/revoke"): HANDLE,
    ("GET", "/l/{token}"): ANYONE,
    ("GET", "/api/v1/records"): SIGNED_IN,
    ("GET", "/api/v1/records/{site}/{device}"): SIGNED_IN,
    ("GET", "/api/v1/records/{site}/{device}/completeness"): SIGNED_IN,
    ("POST", "/api/v1/exports"): SIGNED_IN,
    ("GET", "/api/v1/exports/{job_id}"): SIGNED_IN,
    ("GET", "/api/v1/exports/{job_id}/file"): SIGNED_IN,
    ("GET", "/records/{site}/{device}"): SIGNED_IN,
    ("GET", "/records/{site}/{device}/completeness"): SIGNED_IN,
    ("GET", "/api/v1/stream"): WATCH,
    ("GET", "/api/v1/heartbeat"): WATCH,
}
"""(method, path) -> roles that may call it."""

ALL_AREAS = frozenset(
    {
        "/metrics",
        "/admin/accounts",
        "/admin/accounts/{name}/rights",
        "/admin/accounts/{name}/reset",
        "/admin/accounts/{name}/{act}",
        "/admin/walls",
        "/admin/walls/{wall_id}/end",
        "/api/v1/accounts",
        "/api/v1/accounts/{name}/rights",
        "/api/v1/accounts/{name}/reset",
        "/api/v1/accounts/{name}/{act}",
        "/admin/channels",
        "/admin/channels/{person}/{channel}/test",
        "/api/v1/channels",
        "/api/v1/channels/{person}/{channel}/test",
        "/admin",
        "/admin/sites",
        "/admin/sites/{site}/file",
        "/admin/sites/{site}/devices",
        "/admin/sites/{site}/devices.{kind}",
        "/admin/sites/{site}/versions/{version_id}",
        "/admin/sites/{site}/versions/{version_id}/file",
        "/admin/sites/{site}/change/{token}",
        "/api/v1/site-files",
        "/api/v1/administration",
        "/admin/audit",
        "/admin/backups",
        "/admin/backups/{backup_id}/verify",
        "/admin/backups/{backup_id}/file",
        "/api/v1/backups",
        "/api/v1/backups/{backup_id}/verify",
        "/admin/audit/verify",
        "/admin/audit/head.json",
        "/admin/audit.csv",
        "/api/v1/audit",
        "/api/v1/audit-chain",
        "/api/v1/audit-chain/verify",
    }
)
"""Paths about the whole installation: for a person of one area they are not there."""
PROBES = frozenset({"/healthz", "/readyz"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
STREAMS = frozenset({"/api/v1/stream", "/api/v1/heartbeat"})
"""What a page asks for by itself, again and again: not begun from another site's page, which could listen."""
IN_PERSON = ("/account", "/admin/accounts", "/admin/walls", "/api/v1/accounts", "/sign-out")
"""Beginnings of the paths that are for a person at a browser: a token makes no accounts, passwords or tokens."""


class Person(NamedTuple):
    """Who asks. csrf: the token their forms must carry."""

    name: str
    role: str
    csrf: str
    area: str = ""
    """Area of the grid the person is for; `site:NAME`: one site; '': everything."""
    via: str = ""
    """What they act through, where it is no browser: the name of a token."""
    reads_only: bool = False
    key: str = ""
    """Hash of the session."""

    def may(self, roles: frozenset[str]) -> bool:
        """Whether the person has one of the roles."""
        return self.role in roles


class SignInNeeded(Exception):
    """Nobody is signed in; pages go to the sign-in, the API answers 401."""


class Refused(Exception):
    """The request is not allowed. `status` is the HTTP status; the text is a msgid."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def new_token() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is kept of a token: a thief of the ledger cannot sign in with it."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_of(token: str) -> str:
    """The CSRF token that belongs to a session (or pre-session) token; gives nothing of it away."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()
