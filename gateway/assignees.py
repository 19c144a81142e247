"""Whom something may be given: an account that can sign in, sees the place and may act there."""

from __future__ import annotations

from contract.site import SYSTEM_SITE
from gateway.commands_form import refuse
from gateway.turn import Turn

READS = frozenset({"inspector"})
"""Roles that look and change nothing: what is given to them is done by nobody."""


def must_see_to(turn: Turn, name: str, site: str, actor: str) -> None:
    """Check that the account can see to something of a site.

    site: '' or the gateway's own: what everybody sees. actor: who gives it; people of one area are not told which
    accounts others have.

    Raises:
        ControlError: there is no such account, it is switched off, is not for that site, or only reads.
    """
    if name not in turn.state.users or (actor in turn.state.areas and not _sees(turn, name, site)):
        raise refuse("not_found", f"person {name[:100]!r}: got no such user.")
    must_not_be_idle(turn, name, site)


def must_not_be_idle(turn: Turn, name: str, site: str) -> None:
    """The same for a name that may also be a unit's or a contractor's, which has no account and is taken as it is."""
    if name not in turn.state.users:
        return
    must_be_let_in(turn, name, site)
    if (role := turn.state.users[name]) in READS:
        raise refuse("invalid", f"user {name!r}: is {role} and changes nothing. Choose somebody of another role.")


def must_be_let_in(turn: Turn, name: str, site: str) -> None:
    """Check that an account may sign in and sees the site."""
    if name in turn.state.disabled:
        raise refuse("conflict", f"user {name!r}: is switched off. Choose somebody else, or switch the account on.")
    if not _sees(turn, name, site):
        raise refuse("invalid", f"user {name!r}: does not see site {site!r}. Choose somebody whose area it lies in.")


def _sees(turn: Turn, name: str, site: str) -> bool:
    reach = turn.state.installation.grid.reach(turn.state.areas.get(name, ""))
    return reach is None or site in ("", SYSTEM_SITE) or site in reach
