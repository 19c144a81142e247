"""What is wrong with the section `notify` beyond its form: unknown names, missing secrets, forbidden services."""

from __future__ import annotations

from collections.abc import Iterator

from contract.errors import ConfigError
from gateway.notify.settings import NotifySettings, read_secret

Problem = tuple[tuple[int | str, ...], str]
"""Where in the section, and what is wrong there."""
LEAST_SECRET = 16


def problems(settings: NotifySettings) -> Iterator[Problem]:
    """Everything that would make a start fail, or an alarm reach nobody."""
    yield from _repeated(settings)
    yield from _unknown_names(settings)
    yield from _secrets(settings)


def require(settings: NotifySettings) -> None:
    """Raises ConfigError when anything is wrong."""
    found = [f"notify.{_written(loc)}: {text}" for loc, text in problems(settings)]
    if found:
        raise ConfigError("\n".join(found))


def _repeated(settings: NotifySettings) -> Iterator[Problem]:
    lists: list[tuple[tuple[int | str, ...], list[str]]] = [
        (("people",), [person.id for person in settings.people]),
        (("chains",), [chain.id for chain in settings.chains]),
    ]
    for n, person in enumerate(settings.people):
        lists.append((("people", n, "channels"), [channel.id for channel in person.channels]))
    for path, ids in lists:
        for n, one in enumerate(ids):
            if one in ids[:n]:
                yield (*path, n, "id"), f"got {one!r} a second time, want each id once."


def _unknown_names(settings: NotifySettings) -> Iterator[Problem]:
    people = sorted(person.id for person in settings.people)
    chains = sorted(chain.id for chain in settings.chains)
    for c, chain in enumerate(settings.chains):
        for s, step in enumerate(chain.steps):
            for p, person in enumerate(step.people):
                if person not in people:
                    wanted = ", ".join(people) or "a person; notify.people is empty"
                    yield ("chains", c, "steps", s, "people", p), f"got {person!r}, want one of {wanted}."
    for r, route in enumerate(settings.routes):
        if route.chain not in chains:
            wanted = ", ".join(chains) or "a chain; notify.chains is empty"
            yield ("routes", r, "chain"), f"got {route.chain!r}, want one of {wanted}."
    if settings.people and not any("fire" in route.severities for route in settings.routes):
        yield ("routes",), "got no route for severity fire, want one. A fire would reach nobody."


def _secrets(settings: NotifySettings) -> Iterator[Problem]:
    for p, person in enumerate(settings.people):
        for c, channel in enumerate(person.channels):
            if channel.kind == "screen":
                continue
            key = "url_file" if channel.kind == "apprise" else "secret_file"
            path = channel.url_file if channel.kind == "apprise" else channel.secret_file
            where = ("people", p, "channels", c, key)
            try:
                secret = read_secret(path)
            except ConfigError as exc:
                yield where, str(exc)
                continue
            if channel.kind == "webhook":
                if len(secret) < LEAST_SECRET:
                    yield where, f"got a secret of {len(secret)} characters, want at least {LEAST_SECRET}."
            elif (why := wrong_service(secret, settings.schemes)) is not None:
                yield where, f"{path}: {why}"


def wrong_service(url: str, schemes: list[str]) -> str | None:
    """Why apprise may not be handed this address; None when it may. Never quotes more than the scheme."""
    scheme, found, _ = url.partition("://")
    if not found or not scheme.isascii() or not scheme.isalnum():
        return "got something that is no address, want service://… as in docs/operations.md."
    if scheme.lower() not in schemes:
        return (
            f"got a service {scheme.lower()[:20]!r}, want one of {', '.join(schemes)}. "
            "Name it in notify.schemes if it is to be used."
        )
    return None


def _written(loc: tuple[int | str, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in loc).lstrip(".")
