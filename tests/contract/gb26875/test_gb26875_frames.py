"""Frames and units from real senders: each reads as stated beside it, and is written back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from contract.gb26875.codec import ANY, Message, decode, decode_unit, encode, encode_unit
from contract.gb26875.describe import describe_bare_unit, describe_frame
from contract.gb26875.frame import FrameError, answer_to, is_stale_confirm, read_frame, write_frame
from contract.gb26875.stream import FrameStream
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import TimeTag

ENTRIES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "frames.json").read_text("utf-8"))
BY_ID = {entry["id"]: entry for entry in ENTRIES}
GOOD_FRAMES = [entry for entry in ENTRIES if entry["kind"] == "frame" and entry["valid"]]
STANDARD = [
    entry for entry in ENTRIES if entry["valid"] and entry["decoded"]["unit"]["layout"] in ("standard", "empty")
]
TOLERATED = {
    "B1": {"main_version", "heartbeat", "unit_one_byte"},
    "B4": {"heartbeat"},
    "B6": {"main_version"},
    "C2": {"main_version", "command_type"},
    "D8": {"text_binary"},
    "D10": {"time_1970", "text_binary"},
    "E1": {"main_version", "time_zero", "time_missing", "unit_malformed"},
    "E4": {"time_zero", "unit_malformed", "tag_report"},
    "F1": {"type_user"},
    "U4": {"bits_reserved"},
    "U8": {"bits_reserved"},
}
"""Entries that leave the standard, and how. All others do not."""


def raw_of(entry: dict[str, Any]) -> bytes:
    return bytes.fromhex(entry["hex"])


def ids(entry: dict[str, Any]) -> str:
    return str(entry["id"])


def describe(entry: dict[str, Any], tables: Tables) -> dict[str, Any]:
    raw = raw_of(entry)
    if entry["kind"] == "frame":
        return describe_frame(raw, tables)
    unit, tolerances = decode_unit(raw, tables)
    return describe_bare_unit(raw, unit, tolerances, tables)


def common(found: Any, stated: Any) -> Any:
    """What was found, cut down to the keys of what was stated."""
    if isinstance(stated, dict) and isinstance(found, dict):
        return {key: common(found[key], value) for key, value in stated.items() if key in found}
    if isinstance(stated, list) and isinstance(found, list) and len(found) == len(stated):
        return [common(mine, theirs) for mine, theirs in zip(found, stated, strict=True)]
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_entry_reads_as_stated_when_described(entry: dict[str, Any], tables: Tables) -> None:
    """Every key stated of a frame or unit is there with its value."""
    found = describe(entry, tables)
    stated = {key: entry[key] for key in ("kind", "hex", "valid", "decoded")}
    assert common(found, stated) == stated


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_reason_is_the_stated_one_when_described(entry: dict[str, Any], tables: Tables) -> None:
    """`why` starts with the stated reason; remarks on a good frame may differ in words."""
    stated = entry["why"] if not entry["valid"] else entry["why"].partition("; ")[0]
    assert describe(entry, tables)["why"].startswith(stated)


@pytest.mark.parametrize("entry", ENTRIES, ids=ids)
def test_tolerances_are_told_when_a_sender_leaves_the_standard(entry: dict[str, Any], tables: Tables) -> None:
    """Each way in which an entry leaves the standard is reported, and nothing else."""
    found = describe(entry, tables)
    assert {item["code"] for item in found["tolerances"]} == TOLERATED.get(entry["id"], set())


@pytest.mark.parametrize("entry", STANDARD, ids=ids)
def test_bytes_come_back_when_a_standard_entry_is_encoded(entry: dict[str, Any], tables: Tables) -> None:
    """encode(decode(x)) == x, from the typed objects; without a tolerance the strict encoder takes it."""
    raw = raw_of(entry)
    if entry["kind"] == "unit":
        assert encode_unit(decode_unit(raw, tables)[0]) == raw
        return
    message = decode(raw, tables)
    frame = type(message.frame)(
        message.frame.serial, message.frame.main_version, message.frame.user_version, TimeTag(message.frame.sent.raw),
        message.frame.src, message.frame.dst, message.frame.command, encode_unit(message.unit),
    )  # fmt: skip
    assert encode(frame, tables, TOLERATED.get(entry["id"], set())) == raw


@pytest.mark.parametrize("entry", GOOD_FRAMES, ids=ids)
def test_bytes_come_back_when_every_tolerance_is_allowed(entry: dict[str, Any], tables: Tables) -> None:
    """Also what is not standard can be passed on unchanged."""
    message = decode(raw_of(entry), tables)
    assert encode(message.frame, tables, ANY) == raw_of(entry)
    assert encode_unit(message.unit) == message.frame.unit


def test_damaged_frame_is_refused_when_checksum_and_end_are_wrong() -> None:
    """Both faults of S1 are named, the first one is the reason to count by."""
    with pytest.raises(FrameError, match="checksum 0x11, sum gives 0x84; end marker 2324, expected 2323") as caught:
        read_frame(raw_of(BY_ID["S1"]))
    assert caught.value.reason == "checksum"


def test_good_frames_are_found_when_each_follows_a_damaged_one() -> None:
    """S1 S2 S1 S2 S1 S2: three refused, three good."""
    found = FrameStream().feed((raw_of(BY_ID["S1"]) + raw_of(BY_ID["S2"])) * 3)
    assert [item.is_good for item in found] == [False, True] * 3
    assert {item.raw for item in found if item.is_good} == {raw_of(BY_ID["S2"])}


@pytest.mark.parametrize(
    ("change", "reason", "text"),
    [
        (lambda raw: raw[:20], "short", "20 bytes, a frame has at least 30"),
        (lambda raw: b"\x40\x41" + raw[2:], "start", "start marker 4041, expected 4040"),
        (lambda raw: raw[:-1], "length", "length 77, expected 78 = 30 + 48"),
        (lambda raw: raw + b"\0", "length", "length 79, expected 78 = 30 + 48"),
        (lambda raw: raw[:24] + b"\x01\x04" + raw[26:], "limit", "unit of 1025 bytes, at most 1024 allowed"),
        (lambda raw: raw[:30] + b"\xff" + raw[31:], "checksum", "checksum 0x46, sum gives 0x44"),
        (lambda raw: raw[:-2] + b"\x35\x35", "end", "end marker 3535, expected 2323"),
    ],
)
def test_frame_is_refused_with_its_reason_when_damaged(change: Any, reason: str, text: str) -> None:
    """Each kind of damage has a stable reason and says got and wanted."""
    with pytest.raises(FrameError) as caught:
        read_frame(change(raw_of(BY_ID["A1"])))
    assert caught.value.reason == reason
    assert text in str(caught.value)


def test_confirm_echoes_the_serial_when_a_frame_is_answered(tables: Tables) -> None:
    """A2 is the centre's answer to A1, made from A1."""
    asked: Message = decode(raw_of(BY_ID["A1"]), tables)
    answer = answer_to(asked.frame, 3, TimeTag(bytes.fromhex("233A091A090C")))
    assert write_frame(answer) == raw_of(BY_ID["A2"])


def test_stale_confirm_is_recognised_when_only_the_command_was_changed() -> None:
    """A confirm made of our own frame with the old checksum is told from damage."""
    raw = raw_of(BY_ID["A4"])
    assert is_stale_confirm(raw[:26] + b"\x03" + raw[27:])
    assert not is_stale_confirm(raw[:26] + b"\x03" + raw[27:30] + b"\xff" + raw[31:])
    assert not is_stale_confirm(raw)
