"""SIA DC-09 (and Contact ID in it): an alarm transmitter reports over TCP or UDP and wants an answer.

    LF | CRC, 4 hex | length, 4 hex | "id" seq [Rrcv] Lpref [#acct] [data] [_HH:MM:SS,MM-DD-YYYY] | CR

CRC-16/ARC over everything from the quoted id to the end. The length is written in hex by the standard and in decimal by
some: the CRC is believed, a wrong length is said. `*` before the id is AES: kept, said, not understood without the key.
Answers: ACK taken, DUH readable but not understood (another format, encrypted). A wrong CRC gets none, the sender tries
again; a message that comes again is acknowledged again and is no second event. NAK (wrong time) is for receivers that
insist on the sender's clock.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar

from msgspec.structs import replace

from contract.panel import EventClass, PanelEvent, clean, is_address, raw_hex
from edge_agents.panels.receiver import Frame, FrameReceiver, Noise, Repeats, Taken, Transmission, crc16
from edge_agents.panels.tables import Meaning, meanings, table

LF, CR = 0x0A, 0x0D
LONGEST = 1024
_REPEAT_MS = 120_000
_CLOCK_S = 40
"""NAK when the sender's clock is so far off, where the time is insisted on."""
_MESSAGE = re.compile(
    r'(?P<crc>[0-9A-Fa-f]{4})(?P<length>[0-9A-Fa-f]{4})'
    r'(?P<rest>"(?P<star>\*?)(?P<id>[A-Z0-9-]{3,12})"(?P<seq>\d{4})(?P<receiver>R[0-9A-Fa-f]{1,6})?'
    r"(?P<line>L[0-9A-Fa-f]{1,6})?(?:#(?P<account>[0-9A-Za-z]{1,16}))?\[(?P<content>.*?)\]?"
    r"(?P<time>_\d\d:\d\d:\d\d,\d\d-\d\d-\d{4})?)",
    re.DOTALL,
)  # fmt: skip
_SIA = re.compile(
    r"[NO]?(?:ti\d\d:\d\d(?::\d\d)?/?|id\w+/?|pi\d+/?|ri(?P<area>\d+)/?)*(?P<code>[A-Z]{2})(?P<zone>\d{0,6})"
)
_CID = re.compile(r"(?P<q>[136])(?P<event>[0-9A-F]{3}) (?P<group>[0-9A-F]{2}) (?P<zone>[0-9A-F]{3})")
_ANSWER = re.compile(
    rb'\n[0-9A-F]{8}"(ACK|DUH|NAK)"\d{4}(R[0-9A-Fa-f]{1,6})?(L[0-9A-Fa-f]{1,6})?(#[0-9A-Za-z]{1,16})?\[\]'
    rb"(_\d\d:\d\d:\d\d,\d\d-\d\d-\d{4})?\r"
)
_QUALIFIERS = {1: "new", 3: "restore", 6: "status"}


def message(content: str) -> bytes:
    """A whole message around its content from the quoted id on."""
    data = content.encode("ascii")
    return f"\n{crc16(data, 0):04X}{len(data):04X}{content}\r".encode("ascii")


class SiaReceiver(FrameReceiver):
    """One connection, or one UDP sender.

    Args:
        many_accounts: name points by account too.
        insists_on_time: NAK a message whose time is off.
    """

    longest: ClassVar[int] = LONGEST
    quiet_ms: ClassVar[int] = 1500
    idle = frozenset({LF, CR})

    def __init__(self, *, many_accounts: bool = False, insists_on_time: bool = False) -> None:
        super().__init__()
        self._many = many_accounts
        self._insists = insists_on_time
        self._repeats = Repeats(100, _REPEAT_MS)
        self._owed: list[Transmission] = []
        self._is_closing = False

    def sibling(self) -> SiaReceiver:
        """A receiver for a further connection; what came on one and comes again on another is a repeat."""
        made = SiaReceiver(many_accounts=self._many, insists_on_time=self._insists)
        made._repeats = self._repeats
        return made

    def permits(self, data: bytes) -> bool:
        """ACK, DUH and NAK, whole and with nothing behind them."""
        return _ANSWER.fullmatch(data) is not None

    def due(self, now_ms: int) -> list[Transmission]:  # noqa: ARG002  # the same call for every receiver
        """Answers owed."""
        owed, self._owed = self._owed, []
        return owed

    def feed(self, data: bytes, now_ms: int) -> list[Frame | Noise]:
        """Messages; each that could be read is owed an answer."""
        return self._owe(super().feed(data, now_ms), now_ms)

    def flush(self, now_ms: int) -> list[Frame | Noise]:
        """A message without its CR, as UDP senders write it."""
        return self._owe(super().flush(now_ms), now_ms)

    def _walk(self, now_ms: int, *, is_closing: bool) -> list[Frame | Noise]:
        self._is_closing = is_closing
        return super()._walk(now_ms, is_closing=is_closing)

    def _take(self, buffer: bytes, at: int, now_ms: int) -> Taken | None:
        if buffer[at] in (LF, CR):
            return Taken(1)
        ends = [end for mark in (b"\r", b"\n") if (end := buffer.find(mark, at)) >= 0]
        if not ends and not self._is_closing:
            return None
        end = min(ends, default=len(buffer))
        raw = buffer[at:end]
        if len(raw) > LONGEST:
            return Taken(len(raw), None, "too_long")
        match = _MESSAGE.fullmatch(raw.decode("latin-1"))
        if match is None:
            return Taken(len(raw), None, "bad_form")
        if int(match["crc"], 16) != crc16(match["rest"].encode("latin-1"), 0):
            return Taken(len(raw), None, "bad_crc")
        return Taken(len(raw), self._frame(raw, match, now_ms))

    def _frame(self, raw: bytes, match: re.Match[str], now_ms: int) -> Frame:
        content = match["content"]
        inner, _, data = content.partition("|")
        account = match["account"] or (inner.removeprefix("#") if inner.startswith("#") else None)
        time = match["time"]
        fields: dict[str, Any] = {
            "text": match.group(), "crc": match["crc"], "length_field": match["length"],
            "length_bytes": len(match["rest"]), "message_type": match["star"] + match["id"], "sequence": match["seq"],
            "receiver": match["receiver"], "line": match["line"], "account": account, "data": data,
            "timestamp": time[1:] if time else None,
        }  # fmt: skip
        if match["star"]:
            fields["encrypted"] = True
            event = PanelEvent(
                event=EventClass.OTHER, received_ms=now_ms, text=f"encrypted {match['id']}, account {account}",
                raw=raw_hex(raw),
            )  # fmt: skip
            return self._once(raw, fields, [event], now_ms)
        if match["id"] == "NULL":
            return Frame(raw, fields, [])
        reader = {"SIA-DCS": self._read_sia, "ADM-CID": self._read_cid}.get(match["id"])
        event_or_none = reader(data, account, fields) if reader is not None else None
        if event_or_none is None:
            fields["understood"] = False
            event_or_none = PanelEvent(event=EventClass.OTHER, received_ms=0, text=clean(match.group()))
        event = _stamped(event_or_none, now_ms, raw_hex(raw), fields["timestamp"] or "")
        return self._once(raw, fields, [event], now_ms)

    def _once(self, raw: bytes, fields: dict[str, Any], events: list[PanelEvent], now_ms: int) -> Frame:
        return Frame(raw, fields, [] if self._repeats.is_repeat(raw, now_ms) else events)

    def _read_sia(self, data: str, account: str | None, fields: dict[str, Any]) -> PanelEvent | None:
        match = _SIA.match(data)
        if match is None:
            return None
        area, code, zone = match["area"], match["code"], match["zone"]
        fields |= {"area": area, "event_code": code, "zone": zone or None}
        said = meanings("sia_dc09", "sia").get(code, Meaning(EventClass.OTHER))
        return PanelEvent(
            event=said.event, restored=said.restored, received_ms=0, point=zone or None,
            address=self._address(zone, account), text=clean(f"{code} area {area or '-'} account {account or '-'}"),
        )  # fmt: skip

    def _read_cid(self, data: str, account: str | None, fields: dict[str, Any]) -> PanelEvent | None:
        match = _CID.match(data)
        if match is None or not match["event"].isdecimal():
            return None
        qualifier, number, zone = int(match["q"]), int(match["event"]), match["zone"]
        known = table("sia_dc09")
        entry = known["contact_id"].get(number) or known["contact_id_hundreds"].get(number // 100)
        word, zh, en = entry or ("other", f"事件 {number}", f"event {number}")
        said = EventClass(word)
        fields |= {
            "qualifier": qualifier, "event": number, "group": match["group"], "zone": zone,
            "meaning": _tell(qualifier, number, en, zone, said),
        }  # fmt: skip
        if qualifier == 6:
            said = EventClass.OTHER
        return PanelEvent(
            event=said, restored=qualifier == 3 and said not in (EventClass.OTHER, EventClass.RESET), received_ms=0,
            point=zone, address=self._address(zone, account),
            device_zh=zh, device_en=en, text=clean(f"{number} {zh} group {match['group']} account {account or '-'}"),
        )  # fmt: skip

    def _address(self, zone: str, account: str | None) -> str | None:
        head = f"c{account.lower()}" if self._many and account else ""
        name = f"{head}z{zone.lower()}"
        return name if zone and zone.strip("0") and is_address(name) else None

    def _owe(self, items: list[Frame | Noise], now_ms: int) -> list[Frame | Noise]:
        for item in items:
            if isinstance(item, Frame):
                word = "ACK" if item.fields.get("understood", True) and not item.fields.get("encrypted") else "DUH"
                if self._insists and _is_off(item.fields["timestamp"], now_ms):
                    word = "NAK"
                self._owed.append(Transmission(_answer(word, item.fields, now_ms), must_be_durable=True))
        return items


def _answer(word: str, fields: dict[str, Any], now_ms: int) -> bytes:
    account = f"#{fields['account']}" if fields["account"] else ""
    time = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("_%H:%M:%S,%m-%d-%Y") if word == "NAK" else ""
    return message(f'"{word}"{fields["sequence"]}{fields["receiver"] or ""}{fields["line"] or ""}{account}[]{time}')


def _is_off(timestamp: str | None, now_ms: int) -> bool:
    if timestamp is None:
        return False
    try:
        sent = datetime.strptime(timestamp, "%H:%M:%S,%m-%d-%Y").replace(tzinfo=UTC)
    except ValueError:
        return True
    return abs(sent.timestamp() - now_ms / 1000) > _CLOCK_S


def _stamped(event: PanelEvent, now_ms: int, raw: str, time: str) -> PanelEvent:
    return replace(event, received_ms=now_ms, raw=raw, panel_time=time)


def _tell(qualifier: int, number: int, title: str, zone: str, said: EventClass) -> str:
    who = f" by user {int(zone)}" if 400 <= number < 500 and zone.isdecimal() else f", zone {zone}"
    not_fire = "" if said in (EventClass.FIRE, EventClass.PRE_ALARM) else ", not a fire event"
    head = "" if qualifier == 1 else f"{_QUALIFIERS[qualifier]} of "
    return f"{head}{title}{who}{not_fire}"
