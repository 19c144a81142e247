"""Fields of objects: text, time tags, bits; tables of codes, dialects and editions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import ConfigError, MessageError
from contract.gb26875 import status
from contract.gb26875.codec import TOLERANCES
from contract.gb26875.edition import GB26875_3_2011, edition_of
from contract.gb26875.frame import read_frame
from contract.gb26875.tables import Tables, dialect_names, read_dialect
from contract.gb26875.text import Text, fit_text, free_text, text_field
from contract.gb26875.time_tag import TimeTag, tag_from_ms

MakeFrame = Callable[..., bytes]
PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40)


@pytest.mark.parametrize(
    ("raw", "text", "leftover", "is_cut"),
    [
        (bytes(31), "", b"", False),
        (b" " * 30 + b"\0", "", b"", False),
        ("三层东".encode("gb18030") + b" " * 25, "三层东", b"", False),
        ("三层东".encode("gb18030") + bytes(25), "三层东", b"", False),
        (b"A\0" + b"old" + bytes(26), "A", b"old", False),
        (b"\0" + b"old" + bytes(27), "", b"old", False),
        ("感".encode("gb18030") * 15 + b"\xd5", "感" * 15, b"", True),
        (b"\xff" * 31, None, b"", False),
        (b"\x01\x02\x03" + bytes(28), None, b"", False),
        (b"\xd5", None, b"", False),
        (b"", "", b"", False),
    ],
)
def test_text_is_read_when_padded_cut_or_binary(raw: bytes, text: str | None, leftover: bytes, is_cut: bool) -> None:
    """Text ends at NUL, trailing spaces are padding, the rest is told, and what is no text is None."""
    field = Text(raw)
    assert field.text == text
    assert field.is_cut == is_cut
    if text is not None:
        assert field.leftover == leftover


@given(raw=st.binary(max_size=40))
def test_text_never_fails_when_bytes_are_any(raw: bytes) -> None:
    """Reading gives text or None."""
    field = Text(raw)
    assert field.text is None or "\0" not in field.text


@given(text=PRINTABLE)
def test_text_comes_back_when_it_fits(text: str) -> None:
    """What is written is read, but for trailing spaces, which are padding; what is too long is refused or cut whole."""
    size = len(text.encode("gb18030"))
    if size <= 31:
        assert text_field(text).text == text.rstrip(" ")
    else:
        with pytest.raises(MessageError, match=f"got {size} bytes of GB 18030, want at most 31"):
            text_field(text)
    fitted = fit_text(text)
    assert len(fitted.raw) == 31
    assert fitted.text is not None
    assert text.startswith(fitted.text)
    assert not fitted.is_cut
    assert free_text(text).raw == text.encode("gb18030")


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "\x85"])
def test_text_is_refused_when_it_holds_control_characters(text: str) -> None:
    """Nothing is written that would not be read again."""
    with pytest.raises(MessageError, match="control character"):
        text_field(text)


@pytest.mark.parametrize(
    ("raw", "state", "iso"),
    [
        ("203A091A090C", "ok", "2012-09-26T09:58:32"),
        ("3B3B171F0C63", "ok", "2099-12-31T23:59:59"),
        ("000000010100", "ok", "2000-01-01T00:00:00"),
        ("0000001D0218", "ok", "2024-02-29T00:00:00"),
        ("000000000000", "all-zero", None),
        ("0132020101E2", "invalid", None),
        ("013202010146", "invalid", None),
        ("0000001D0217", "invalid", None),
        ("3C0000010101", "invalid", None),
        ("000000000101", "invalid", None),
        ("000000010164", "invalid", None),
        ("0000", "invalid", None),
    ],
)
def test_time_is_none_when_it_is_no_usable_instant(raw: str, state: str, iso: str | None) -> None:
    """Zeros, 1970 in both spellings and dates that do not exist are no time; the bytes stay."""
    tag = TimeTag(bytes.fromhex(raw))
    assert (tag.state, tag.iso, tag.raw) == (state, iso, bytes.fromhex(raw))
    assert (tag.utc_ms() is None) == (iso is None)


@given(utc_s=st.integers(946_684_800, 2_208_988_799), offset_h=st.integers(-12, 14))
def test_instant_comes_back_when_written_in_any_zone(utc_s: int, offset_h: int) -> None:
    """Seconds survive the way through a tag; China's eight hours are only the default."""
    try:
        tag = tag_from_ms(utc_s * 1000 + 999, offset_h * 3600)
    except MessageError:
        # Only the first hours of 2000 fall outside in zones behind UTC.
        assert utc_s < 946_684_800 + 12 * 3600
        return
    assert tag.utc_ms(offset_h * 3600) == utc_s * 1000


def test_time_of_day_is_local_when_the_zone_is_china() -> None:
    """2012-09-26 01:58:32 UTC is 09:58:32 on the wire."""
    assert tag_from_ms(1_348_624_712_000).raw.hex().upper() == "203A091A090C"


@pytest.mark.parametrize("utc_ms", [0, 4_102_444_800_000, 10**18, 3_155_760_000_000 + 5 * 3600_000])
def test_time_is_refused_when_a_tag_cannot_carry_it(utc_ms: int) -> None:
    """1970, 2100, far beyond, and the day that reads as an unset clock."""
    with pytest.raises(MessageError, match="time: got"):
        tag_from_ms(utc_ms)


def test_bits_have_the_names_of_the_standard_when_all_are_set() -> None:
    """Bit tables of types 1, 2, 21, 4 and 24, lowest bit first."""

    def names(table: status.Bits) -> list[str]:
        return [bit.name for bit in status.bits_set(table, 0xFFFF)]

    shared = ["normal", "fire", "fault", "shield", "supervisory", "start", "feedback", "delay"]
    assert names(status.SYSTEM_STATUS) == [
        *shared, "mainPowerFault", "backupPowerFault", "busFault", "manual", "configurationChanged", "reset",
        "reserved14", "reserved15",
    ]  # fmt: skip
    assert names(status.COMPONENT_STATUS) == [*shared, "powerFault", *[f"reserved{n}" for n in range(9, 16)]]
    assert names(status.TRANSMITTER_STATUS) == [
        "normal", "fire", "fault", "mainPowerFault", "backupPowerFault", "channelFault", "lineFault", "reserved7",
    ]  # fmt: skip
    operations = ["reset", "silence", "manualAlarm", "alarmCleared", "selfTest"]
    assert names(status.OPERATION) == [*operations, "confirm", "test", "reserved7"]
    assert names(status.TRANSMITTER_OPERATION) == [*operations, "dutyCheckReply", "test", "reserved7"]


def test_mask_is_the_sum_of_bits_when_names_are_given() -> None:
    """A transmitter's duty-check answer is bit 5; an unknown name is refused."""
    assert status.mask_of(status.TRANSMITTER_OPERATION, "dutyCheckReply") == 0x20
    assert status.mask_of(status.SYSTEM_STATUS, "fire", "mainPowerFault", "fire") == 0x102
    with pytest.raises(KeyError):
        status.mask_of(status.OPERATION, "dutyCheckReply")


def test_private_code_is_only_hinted_at_when_no_dialect_is_named(tables: Tables) -> None:
    """128 means water pressure to one maker and a printer fault to another: it is not guessed."""
    assert tables.name("component_types", 128).en == "user range"
    assert {hint.dialect: hint.name.en for hint in tables.hints("component_types", 128)} == {
        "sanjiang": "printer fault", "water": "water pressure", "weizhan": "water pressure",
    }  # fmt: skip
    named = Tables("sanjiang")
    assert named.name("component_types", 128).en == "printer fault"
    assert named.hints("component_types", 128) == []


def test_later_dialect_wins_when_two_know_a_code() -> None:
    """The order in which a site names dialects decides."""
    assert Tables("water", "sanjiang").name("component_types", 128).en == "printer fault"
    assert Tables("sanjiang", "water").name("component_types", 128).en == "water pressure"


@pytest.mark.parametrize("name", dialect_names())
def test_dialect_leaves_the_standard_alone_when_loaded(name: str, tables: Tables) -> None:
    """Dialects name codes of the user range, or reserved types; only analog code 1 of one maker is taken over."""
    dialect = read_dialect(name)
    for kind in ("system_types", "component_types", "unit_types", "commands"):
        for code in getattr(dialect, kind):
            assert name == "common" or tables.name(kind, code).en in ("user range", "reserved"), (kind, code)
    overridden = {"short-objects": {1}}.get(name, set())
    assert {code for code in dialect.analog_types if code < 128} == overridden


def test_dialect_is_refused_when_there_is_none_of_that_name() -> None:
    """The error lists those there are."""
    with pytest.raises(ConfigError, match="dialect: got 'nosuch', want one of common, "):
        Tables("nosuch")


@pytest.mark.parametrize(
    ("unit", "command", "answer"), [("", 2, ""), ("16", 2, "17"), ("", 254, ""), ("0102", 254, "")]
)
def test_heartbeat_is_known_when_it_is_one_of_the_common_forms(
    unit: str, command: int, answer: str, tables: Tables, frame_of: MakeFrame
) -> None:
    """The three forms in use, with their answers."""
    beat = tables.heartbeat(read_frame(frame_of(unit, command=command)))
    assert beat is not None
    assert (beat.answer_command, beat.answer_unit) == (3, answer)
    assert tables.heartbeat(read_frame(frame_of("19010101"))) is None


def test_edition_is_the_newest_known_when_the_main_version_is_unknown() -> None:
    """Version bytes never decide whether a frame is read, only by which tables."""
    assert edition_of(1) == (GB26875_3_2011, True)
    assert edition_of(16) == (GB26875_3_2011, False)


def test_reserved_and_user_codes_are_told_apart_when_they_have_no_name(tables: Tables) -> None:
    """2 is reserved, 200 the user's; type flag 255 is neither."""
    found = [tables.name("system_types", code).en for code in (2, 23, 200)]
    assert found == ["reserved", "fire power supply", "user range"]
    assert tables.name("unit_types", 255).en == "reserved"


def test_page_names_every_tolerance_and_dialect_when_read() -> None:
    """docs/gb26875.md is complete."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "gb26875.md").read_text("utf-8")
    assert [name for name in (*TOLERANCES, *dialect_names()) if f"`{name}`" not in page] == []
