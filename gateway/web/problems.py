"""Errors of the API by name: the `type` of a problem (RFC 9457) is stable, its words may change."""

from __future__ import annotations

from typing import NamedTuple


class ProblemKind(NamedTuple):
    """A kind of error. meaning: what happened and what the caller does."""

    status: int
    name: str
    title: str
    meaning: str

    @property
    def type(self) -> str:
        """The URI a client may compare with."""
        return f"urn:weizhan:problem:{self.name}"


KINDS = (
    ProblemKind(400, "bad-request", "Bad request", "The request cannot be read. Correct it."),
    ProblemKind(401, "sign-in-needed", "Sign-in needed", "No session and no token that holds. Sign in, or renew it."),
    ProblemKind(403, "not-allowed", "Not allowed", "The role, token or CSRF token does not allow this."),
    ProblemKind(404, "not-found", "Not found", "There is no such thing, or it lies in another area."),
    ProblemKind(405, "method-not-allowed", "Method not allowed", "The address knows other methods only."),
    ProblemKind(409, "conflict", "Conflict", "It stands otherwise by now. Read it again, then decide anew."),
    ProblemKind(413, "too-large", "Too large", "The body is larger than this address takes."),
    ProblemKind(415, "wrong-content", "Wrong content", "The body is of another kind than this address takes."),
    ProblemKind(422, "invalid", "Not acceptable", "A field is missing or out of range; `errors` says which."),
    ProblemKind(429, "too-many", "Too many requests", "Wait as long as `Retry-After` says, then try again."),
    ProblemKind(500, "internal", "Internal error", "A fault in the product. Report it with what was asked."),
    ProblemKind(
        504, "not-known-yet", "Not known yet", "Asked, and not answered yet. `Location` leads to what came of it."
    ),
    ProblemKind(503, "unavailable", "Try again later", "The gateway does not answer; nothing was changed. Try again."),
)
_BY_STATUS = {kind.status: kind for kind in KINDS}


def kind_of(status: int) -> ProblemKind:
    """The kind of a status; one that has no kind of its own counts as the first of its hundred."""
    return _BY_STATUS.get(status) or _BY_STATUS[500 if status >= 500 else 400]
