"""What `weizhan check` says about the section `notify`."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.errors import ConfigError
from gateway.notify.check import problems, require
from gateway.notify.settings import NotifySettings, QuietHours

BASE = {
    "people": [{"id": "wang", "name": "w", "channels": [{"kind": "screen"}]}],
    "chains": [{"id": "duty", "steps": [{"after_s": 0, "people": ["wang"]}]}],
    "routes": [{"chain": "duty"}],
}


def found(**changes: object) -> list[tuple[str, str]]:
    settings = NotifySettings.model_validate(BASE | changes)
    return [(".".join(map(str, loc)), text) for loc, text in problems(settings)]


def test_nothing_is_found_when_the_section_is_absent_or_right() -> None:
    """No people is no error: alarms stand on the pages."""
    assert list(problems(NotifySettings())) == []
    assert found() == []


def test_unknown_people_and_chains_are_found_with_their_place() -> None:
    """The place is the line a person has to change."""
    chains = [{"id": "duty", "steps": [{"after_s": 0, "people": ["wang", "wong"]}]}]
    routes = [{"chain": "duty"}, {"chain": "dudy"}]
    assert found(chains=chains, routes=routes) == [
        ("chains.0.steps.0.people.1", "got 'wong', want one of wang."),
        ("routes.1.chain", "got 'dudy', want one of duty."),
    ]


def test_an_unknown_chain_is_found_when_it_is_the_only_one() -> None:
    """A wrong name is an error of the file, not of the program."""
    assert found(routes=[{"chain": "dudy"}], chains=[]) == [
        ("routes.0.chain", "got 'dudy', want one of a chain; notify.chains is empty.")
    ]


def test_it_is_found_when_a_fire_would_reach_nobody() -> None:
    """People and chains without a route for fire."""
    assert found(routes=[{"chain": "duty", "severities": ["warning"]}]) == [
        ("routes", "got no route for severity fire, want one. A fire would reach nobody.")
    ]


def test_a_secret_is_refused_when_others_can_read_it_or_it_is_missing(tmp_path: Path) -> None:
    """The text names the file and never its content."""
    open_to_all, short = tmp_path / "a", tmp_path / "b"
    open_to_all.write_text("dingtalk://canarytoken@canarysecret\n")
    open_to_all.chmod(0o644)
    short.write_text("canary\n")
    short.chmod(0o600)
    channels = [
        {"kind": "apprise", "id": "one", "url_file": open_to_all},
        {"kind": "apprise", "id": "two", "url_file": tmp_path / "none"},
        {"kind": "webhook", "id": "three", "url": "https://x.example/h", "secret_file": short},
    ]
    said = found(people=[{"id": "wang", "name": "w", "channels": channels}])
    assert [where for where, _ in said] == [
        "people.0.channels.0.url_file",
        "people.0.channels.1.url_file",
        "people.0.channels.2.secret_file",
    ]
    assert "0644" in said[0][1]
    assert "canary" not in str(said)
    with pytest.raises(ConfigError, match=r"notify\.people\[0\]\.channels\[0\]\.url_file"):
        require(NotifySettings.model_validate(BASE | {"people": [{"id": "wang", "name": "w", "channels": channels}]}))


def test_a_forbidden_service_is_found_when_the_file_names_one(tmp_path: Path) -> None:
    """The allow-list is checked before a start, not at the first fire."""
    url = tmp_path / "url"
    url.write_text("syslog://canary\n")
    url.chmod(0o600)
    said = found(people=[{"id": "wang", "name": "w", "channels": [{"kind": "apprise", "id": "x", "url_file": url}]}])
    assert "got a service 'syslog', want one of dingtalk" in said[0][1]
    assert "canary" not in said[0][1]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://10.0.0.1/x", "want https"),
        ("https://u:p@x/y", "want neither"),
        ("https://x/y?token=1", "want neither"),
        ("ftp://x/", "want https"),
    ],
)
def test_a_webhook_is_refused_when_its_address_is_open_or_holds_a_secret(url: str, text: str) -> None:
    """Plain http only to this machine."""
    channel = {"kind": "webhook", "id": "h", "url": url, "secret_file": "s"}
    with pytest.raises(ValueError, match=text):
        NotifySettings.model_validate({"people": [{"id": "w", "name": "w", "channels": [channel]}]})


def test_quiet_hours_cannot_hold_fire_when_somebody_tries() -> None:
    """The form does not allow it."""
    with pytest.raises(ValueError, match="severities"):
        QuietHours.model_validate({"from": "22:00", "to": "06:00", "severities": ["fire"]})
