"""Accounts, sessions, tokens and wall displays as the gateway keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.control.client import ControlError
from gateway.control.protocol import Ask
from gateway.installation import load_installation
from gateway.ledger.upgrade import prepare
from gateway.users import ROLES
from tests.gateway.incident_town import write_town
from tests.gateway.world import HOUR_MS, World

HASH = "$argon2id$v=19$x"
KEY = "a1" * 32
OTHER = "b2" * 32


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A town of two streets, an administrator, a maintainer."""
    made = World(load_installation(write_town(tmp_path)))
    for role in ROLES[1:]:
        made.ask("user.create", "local", name=role, role=role, area="", password_hash=HASH)
    return made


def refused(world: World, op: str, actor: str, **args: object) -> str:
    """Why a command is refused: its code."""
    with pytest.raises(ControlError) as caught:
        world.ask(op, actor, **args)
    return caught.value.code


def test_an_account_is_made_once_with_a_one_time_password_and_stands_after_a_restart(world: World) -> None:
    """Name, role and area are checked; the password dies within 24 h; everything is in the audit trail."""
    made = world.ask("user.create", "administrator", name="赵六", role="duty", area="west-side", password_hash=HASH)
    assert made == {"one_time_until_ms": world.now_ms + 24 * HOUR_MS}
    for name, role, area, code in (
        ("赵六", "duty", "", "conflict"),
        ("ADMINISTRATOR", "duty", "", "conflict"),
        ("local", "duty", "", "invalid"),
        ("a b", "duty", "", "invalid"),
        ("../x", "duty", "", "invalid"),
        ("li2", "wall", "", "invalid"),
        ("li2", "duty", "nowhere", "not_found"),
    ):
        fields = {"name": name, "role": role, "area": area, "password_hash": HASH}
        assert refused(world, "user.create", "administrator", **fields) == code, name
    world.restart()
    assert (world.state.users["赵六"], world.state.areas["赵六"]) == ("duty", "west-side")
    rows = world.connection.execute("SELECT action, actor FROM audit WHERE subject = '赵六'").fetchall()
    assert rows == [("user.create", "administrator")]


def test_a_one_time_password_lets_in_once_when_it_is_asked_for_twice_and_after_a_restart(world: World) -> None:
    """Used is used, also after a restart and for whoever checked an earlier one; a new one may be used again."""
    args = {"name": "duty", "password_hash": HASH}
    newer = {"name": "duty", "password_hash": HASH + "y"}
    world.ask("user.create", "local", name="duty", role="duty", area="", password_hash=HASH)
    world.ask("user.use_one_time", "duty", **args)
    assert refused(world, "user.use_one_time", "duty", **args) == "conflict"
    world.restart()
    assert refused(world, "user.use_one_time", "duty", **args) == "conflict"
    world.ask("user.reset", "administrator", **newer)
    assert refused(world, "user.use_one_time", "duty", **args) == "conflict"
    world.restart()
    world.ask("user.use_one_time", "duty", **newer)
    world.ask("user.set_password", "duty", **newer)
    assert refused(world, "user.use_one_time", "duty", **newer) == "conflict"


def test_the_last_administrator_for_everything_stays_when_role_area_or_account_would_go(world: World) -> None:
    """Otherwise nobody could make accounts any more; with a second one it may be done."""
    for op, args in (
        ("user.set_rights", {"role": "duty", "area": ""}),
        ("user.set_rights", {"role": "administrator", "area": "west-side"}),
        ("user.set_area", {"area": "west-side"}),
        ("user.disable", {}),
    ):
        assert refused(world, op, "wang", name="administrator", **args) == "conflict", op
    world.ask("user.create", "local", name="chief", role="administrator", area="", password_hash=HASH)
    world.ask("user.disable", "chief", name="administrator")
    assert refused(world, "user.set_rights", "wang", name="chief", role="duty", area="") == "conflict"
    assert refused(world, "user.disable", "chief", name="chief") == "invalid"
    world.restart()
    assert world.state.disabled == {"administrator"}
    world.ask("user.enable", "chief", name="administrator")
    world.ask("user.set_rights", "administrator", name="chief", role="duty", area="east-side")
    assert (world.state.users["chief"], world.state.areas["chief"]) == ("duty", "east-side")


def test_sessions_and_tokens_go_when_the_account_is_reset_or_switched_off_and_tokens_stay_at_a_change(
    world: World,
) -> None:
    """Whoever had the old password is out; a token is no password, and an account that is off has none."""

    def held() -> list[str]:
        return [row[0] for row in world.connection.execute("SELECT kind FROM session WHERE user='wang' ORDER BY kind")]

    def let_in() -> None:
        world.ask("session.open", "wang", token_hash=KEY, user="wang", expires_ms=world.now_ms + HOUR_MS)
        token = {"token_hash": OTHER, "name": "script", "role": "duty", "expires_ms": world.now_ms + HOUR_MS}
        world.ask("token.create", "wang", **token)
        assert held() == ["browser", "token"]

    let_in()
    world.ask("user.set_password", "wang", name="wang", password_hash=HASH)
    assert held() == ["token"]
    for op, args in (("user.reset", {"password_hash": HASH}), ("session.end_all", {}), ("user.disable", {})):
        let_in()
        world.ask(op, "administrator", name="wang", **args)
        assert held() == [], op
    fields = {"token_hash": KEY, "user": "wang", "expires_ms": world.now_ms + HOUR_MS}
    assert refused(world, "session.open", "wang", **fields) == "conflict"


def test_a_session_is_ended_by_whose_it_is_or_an_administrator(world: World) -> None:
    """Others cannot even tell that it is there."""
    world.ask("session.open", "wang", token_hash=KEY, user="wang", expires_ms=world.now_ms + HOUR_MS)
    assert refused(world, "session.end", "li", id=KEY[:16]) == "not_found"
    world.ask("session.end", "administrator", id=KEY[:16])
    assert refused(world, "session.end", "wang", id=KEY[:16]) == "not_found"


@pytest.mark.parametrize(
    ("actor", "change", "code"),
    [
        ("wang", {"role": "maintainer"}, "invalid"),
        ("wang", {"area": "east-side"}, "not_found"),
        ("wang", {"area": "site:port"}, "not_found"),
        ("wang", {"area": ""}, "not_found"),
        ("wang", {"expires_ms": 2**50}, "invalid"),
        ("wang", {"area": "west-side"}, None),
        ("wang", {"area": "site:shuiye", "read_only": True}, None),
        ("administrator", {"role": "inspector", "area": "town"}, None),
    ],
)
def test_a_token_is_at_most_what_its_person_is(
    world: World, actor: str, change: dict[str, object], code: str | None
) -> None:
    """Role and area of its person, or less; an administrator may give it any role."""
    world.ask("user.set_area", "administrator", name="wang", area="west-side")
    token = {"token_hash": KEY, "name": "script", "role": "duty", "area": "west-side"}
    token |= {"expires_ms": world.now_ms + HOUR_MS, **change}
    if code is not None:
        assert refused(world, "token.create", actor, **token) == code
    else:
        assert world.ask("token.create", actor, **token) == {"id": KEY[:16]}


def test_nobody_holds_tokens_without_end(world: World) -> None:
    """Twenty a person; then one has to go first."""
    for number in range(20):
        token = {"token_hash": f"{number:064d}", "name": f"t{number}", "role": "duty"}
        world.ask("token.create", "wang", **token, expires_ms=world.now_ms + HOUR_MS)
    token = {"token_hash": KEY, "name": "one more", "role": "duty", "expires_ms": world.now_ms + HOUR_MS}
    assert refused(world, "token.create", "wang", **token) == "conflict"


def test_the_code_of_a_wall_display_is_good_once_and_for_a_quarter_of_an_hour(world: World) -> None:
    """It becomes the display's session; typed again, or too late, it is nothing."""
    code = {"code_hash": KEY, "name": "Hall", "area": "site:shuiye", "until_ms": world.now_ms + 600_000}
    assert refused(world, "wall.create", "administrator", **{**code, "until_ms": world.now_ms + HOUR_MS}) == "invalid"
    world.ask("wall.create", "administrator", **code)
    pair = {"code_hash": KEY, "token_hash": OTHER, "expires_ms": world.now_ms + 1000 * HOUR_MS}
    world.now_ms += 600_001
    assert refused(world, "wall.pair", "wall", **pair) == "not_found"
    world.ask("wall.create", "administrator", **{**code, "until_ms": world.now_ms + 600_000})
    assert world.ask("wall.pair", "wall", **pair) == {"name": "Hall"}
    assert refused(world, "wall.pair", "wall", **pair) == "not_found"
    rows = world.connection.execute("SELECT kind, name, area, read_only, token_hash FROM session").fetchall()
    assert rows == [("wall", "Hall", "site:shuiye", 1, OTHER)]


def test_a_command_goes_no_further_than_the_area_of_its_token_and_the_audit_names_it(world: World) -> None:
    """The person may do it everywhere; through this token only in one street."""
    ask = {"id": 1, "op": "hazard.report", "actor": "wang", "area": "west-side", "via": "script"}
    world.turn(ask=Ask(**ask, args={"site": "shuiye", "text": "blocked"}))
    with pytest.raises(ControlError, match="got nothing of area"):
        world.turn(ask=Ask(**ask, args={"site": "east", "text": "blocked"}))
    world.ask("hazard.report", "wang", site="east", text="blocked")
    with pytest.raises(ControlError, match="hazard 2: got nothing of area"):  # named by the hazard, not by its site
        world.turn(ask=Ask(**{**ask, "op": "order.open"}, args={"site": "shuiye", "title": "see to it", "hazard": 2}))
    rows = world.connection.execute(
        "SELECT json_extract(detail, '$.via') FROM audit WHERE action LIKE 'hazard.%' ORDER BY id"
    ).fetchall()
    assert rows == [("script",), (None,)]


def test_passwords_have_a_date_when_the_ledger_was_made_before_it_was_kept(tmp_path: Path) -> None:
    """A ledger of version 3: accounts go on as they were, nothing is let in that was not."""
    world = World(load_installation(write_town(tmp_path)))
    connection = world.connection
    for table, columns in (
        ("user", ("disabled_ms", "password_ms", "signed_in_ms")),
        ("session", ("kind", "name", "role", "area", "read_only", "agent", "address", "used_ms")),
    ):
        for column in columns:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.execute("INSERT INTO session VALUES (?, 'wang', 5, 9)", (KEY,))
    connection.execute("UPDATE user SET created_ms = 7")
    connection.execute("UPDATE meta SET value = '3' WHERE key = 'schema'")
    prepare(connection, tmp_path / "copied")
    assert set(connection.execute("SELECT password_ms, disabled_ms FROM user")) == {(7, None)}
    assert connection.execute("SELECT user, kind, role FROM session").fetchall() == [("wang", "browser", "")]
