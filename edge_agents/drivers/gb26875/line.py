"""Transmitters that come to us over TCP or UDP: who they are, what is answered, what is asked of them.

    bytes ─> Session (frames, answers owed) ─> TransmitterReport of the sender ─> recorder ─> on disk? ─> confirm

A transmitter is known by its six address bytes. One that stands in no site file is taken all the same, under a name
made of its address: the gateway keeps what it says among the unknown devices until somebody approves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from contract.gb26875 import frame as f
from contract.gb26875 import objects as o
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import tag_from_ms
from contract.gb26875.units import Unit, standard_unit
from contract.site import Gb26875Line, Placed
from edge_agents.bus.listening import Bounds, Listener, Peer, end_task
from edge_agents.bus.presence import LinePresence
from edge_agents.drivers.gb26875.report import TransmitterReport
from edge_agents.drivers.gb26875.session import Heard, Session, is_question
from edge_agents.foreign.refused import RefusedFile
from edge_agents.recorder import Recorder
from edge_agents.reporting import Reported

MOST_CONNECTIONS = 2000
MOST_STRANGERS = 100
"""Transmitters of no site file that are taken; frames of further ones are kept aside unconfirmed."""
IDLE_S = 900.0
"""A connection that says nothing for so long is closed."""
RETURN_S = 10.0
"""A transmitter whose connection closed is offline when it has not come back by then."""
DURABLE_S = 8.0
"""Longest wait for a message to reach the disk; then it is not confirmed and comes again."""
DATAGRAM_BOUND = 4096
READ_BYTES = 8192
SYNC_S = 86_400.0
"""The clock of a transmitter is set at most this often."""
SYNC_OFF_S = 5.0
"""...and only when it is off by more than this."""
MOST_REFS = 22
"""Components of one read (type 62)."""
Write = Callable[[bytes], Awaitable[None]]


class Way(NamedTuple):
    """How a transmitter can be spoken to now."""

    session: Session
    write: Write
    is_stream: bool


class TransmitterLine:
    """All transmitters of one port.

    Args:
        line: where to listen.
        placed: those of the site file, by their address.
        recorder: takes what they report; says when it is on disk.
        now_ms: wall clock.
        refused: where frames that are not taken are kept; written here.
        monotonic: seconds.
    """

    def __init__(
        self,
        line: Gb26875Line,
        placed: list[Placed],
        kept: Mapping[str, Reported],
        recorder: Recorder,
        now_ms: Callable[[], int],
        refused: RefusedFile,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = line.id
        self._line = line
        self._tables = Tables(*line.dialects)
        self._recorder = recorder
        self._now_ms = now_ms
        self._refused = refused
        self._monotonic = monotonic
        self._reports: dict[bytes, TransmitterReport] = {}
        self._known: set[bytes] = set()
        self._ways: dict[bytes, Way] = {}
        self._fresh: set[bytes] = set()
        """Come just now, or on another connection than before."""
        self._gone_s: dict[bytes, float] = {}
        self._synced_s: dict[bytes, float] = {}
        self._peers: dict[Peer, Way] = {}
        self._work: set[asyncio.Task[None]] = set()
        self.presence = LinePresence(line.id, recorder.record, now_ms)
        """Whether the line can be reached."""
        bounds = Bounds(MOST_CONNECTIONS, DATAGRAM_BOUND, READ_BYTES)
        self._listener = Listener(line, self.presence, self._serve, self._take_datagram, bounds)
        self.counts = dict.fromkeys(
            ("frames", "refused_frames", "unconfirmed", "denied_to_us", "unanswered", "strangers_dropped"), 0
        )
        self._place(placed, kept)

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._listener.is_open

    def _place(self, placed: list[Placed], kept: Mapping[str, Reported]) -> None:
        for one in placed:
            assert one.entry.address is not None
            source = bytes.fromhex(one.entry.address.lower())
            report = TransmitterReport(one.entry.id, self._tables, one.profile.max_silence_s, self._line.silent_after_s)
            report.restore(kept)
            self._reports[source] = report
            self._known.add(source)

    def status(self) -> dict[str, object]:
        """Counters for the status file."""
        return {
            "open": self.is_open, **self._listener.counts, **self.counts, "connected": len(self._ways),
            "strangers": [report.device for source, report in self._reports.items() if source not in self._known],
        }  # fmt: skip

    def request(self, device_id: str | None) -> None:
        """Ask a transmitter (all, without an id) for its state and that of everything it has told of."""
        for source, report in list(self._reports.items()):
            if device_id in (None, report.device) and source in self._ways:
                self._spawn(self._read_all(source, report))

    def check_duty(self, device_id: str, minutes: int) -> bool:
        """Ask the person at the transmitter to answer within so many minutes (type 91); False: not connected."""
        for source, report in self._reports.items():
            if report.device == device_id and source in self._ways:
                self._spawn(self._ask(source, f.CONTROL, standard_unit(91, o.DutyCheck(minutes))))
                return True
        return False

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            await self._listener.run(lambda: None, self._refresh, self._down)
        finally:
            for task in list(self._work):
                await end_task(task)

    def _down(self) -> None:
        for report in self._reports.values():
            self._recorder.record(report.line_down(self._now_ms()))

    async def _refresh(self) -> None:
        now_ms, now_s = self._now_ms(), self._monotonic()
        for source, report in list(self._reports.items()):
            gone_s = self._gone_s.get(source)
            is_connected = source in self._ways or (gone_s is not None and now_s - gone_s < RETURN_S)
            if source not in self._ways and source in self._known and gone_s is None:
                self._gone_s[source] = now_s  # counts from our own start
                continue
            reports = report.tick(now_ms, is_connected=is_connected)
            if reports.alarm or reports.telemetry:
                self._recorder.record(reports)
        for way in {id(way): way for way in self._ways.values()}.values():
            await self._send_again(way, now_s)
        await self._refused.settle()

    async def _send_again(self, way: Way, now_s: float) -> None:
        again, over = way.session.due(now_s)
        self.counts["unanswered"] += len(over)
        for raw in again:
            with contextlib.suppress(OSError):
                await way.write(raw)
        await self._take_all(way.session.expire(now_s), way)

    # --- connections ---------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(raw: bytes) -> None:
            writer.write(raw)
            await writer.drain()

        way = Way(Session(self._tables, self._now_ms), write, True)
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    data = await reader.read(READ_BYTES)
                if not data:
                    break
                await self._take_all(way.session.feed(data, self._monotonic()), way)
            await self._take_all(way.session.finish(), way)
        finally:
            for source in [source for source, known in self._ways.items() if known is way]:
                del self._ways[source]
                self._gone_s[source] = self._monotonic()

    async def _take_datagram(self, data: bytes, peer: Peer) -> None:
        way = self._peers.get(peer)
        if way is None:
            if len(self._peers) >= MOST_CONNECTIONS:
                self._peers.pop(next(iter(self._peers)))

            async def write(raw: bytes) -> None:
                self._listener.send(raw, peer)

            way = self._peers[peer] = Way(Session(self._tables, self._now_ms), write, False)
        heard = way.session.feed(data, self._monotonic()) + way.session.finish()  # a datagram is whole
        self._spawn(self._take_all(heard, way))

    # --- messages ------------------------------------------------------------------------------------------------

    async def _take_all(self, heard: list[Heard], way: Way) -> None:
        """Take what came together, then answer all of it once it is on disk."""
        owed = [answer for one in heard if (answer := self._take(one, way)) is not None]
        if owed:
            await self._answer(owed, heard, way)
        for source in {one.source for one in heard} & self._fresh:
            self._fresh.discard(source)
            self._spawn(self._greet(source, self._reports[source]))

    async def _answer(self, owed: list[bytes], heard: list[Heard], way: Way) -> None:
        if any(one.kind in ("data", "other") for one in heard):
            try:
                async with asyncio.timeout(DURABLE_S):
                    await self._recorder.durable()
            except TimeoutError:
                self.counts["unconfirmed"] += len(owed)
                return
        with contextlib.suppress(OSError):
            await way.write(b"".join(owed) if way.is_stream else owed[0])
            for answer in owed[1:] if not way.is_stream else ():
                await way.write(answer)

    def _take(self, heard: Heard, way: Way) -> bytes | None:
        """Apply one message; gives its answer."""
        self.counts["frames"] += 1
        if heard.message is None or heard.kind == "refused":
            self.counts["refused_frames"] += 1
            self._refused.add(self._now_ms(), heard.source.hex(), heard.why, heard.raw)
            return heard.answer
        report = self._report_of(heard.source)
        if report is None:
            self.counts["strangers_dropped"] += 1
            self._refused.add(self._now_ms(), heard.source.hex(), "too many unknown transmitters", heard.raw)
            return None
        is_new = self._ways.get(heard.source) is not way
        self._ways[heard.source] = way
        self._gone_s.pop(heard.source, None)
        now_ms = self._now_ms()
        if heard.kind in ("data", "response", "other"):
            self._recorder.record(report.took(heard.message, heard.raw, now_ms))
        else:
            self._recorder.record(report.heard(heard.message, now_ms))
        if heard.kind == "answer" and heard.why:
            self.counts["denied_to_us"] += 1
        if is_new and heard.source in self._known:
            self._fresh.add(heard.source)
        return heard.answer

    def _report_of(self, source: bytes) -> TransmitterReport | None:
        report = self._reports.get(source)
        if report is None and len(self._reports) - len(self._known) < MOST_STRANGERS:
            report = TransmitterReport(f"uitd-{source.hex()}", self._tables, 3600.0, self._line.silent_after_s)
            self._reports[source] = report
        return report

    # --- questions -----------------------------------------------------------------------------------------------

    async def _greet(self, source: bytes, report: TransmitterReport) -> None:
        """A transmitter that has come (again): set its clock if it is off, and read what was missed."""
        now_s = self._monotonic()
        is_due = now_s - self._synced_s.get(source, -SYNC_S) >= SYNC_S
        if self._line.sync_clock and is_due and abs(report.clock_offset_s) > SYNC_OFF_S:
            self._synced_s[source] = now_s
            await self._ask(source, f.CONTROL, standard_unit(90, o.Clock(tag_from_ms(self._now_ms()))))
        if report.picture.states:
            await self._read_all(source, report)

    async def _read_all(self, source: bytes, report: TransmitterReport) -> None:
        await self._ask(source, f.REQUEST, standard_unit(81, o.Reserved()))
        systems = report.picture.systems
        if systems:
            await self._ask(source, f.REQUEST, standard_unit(61, *[o.SystemRef(*one) for one in systems[:102]]))
        components = report.picture.components
        for at in range(0, len(components), MOST_REFS):
            refs = [o.ComponentRef(*one) for one in components[at : at + MOST_REFS]]
            await self._ask(source, f.REQUEST, standard_unit(62, *refs))

    async def _ask(self, source: bytes, command: int, unit: Unit) -> None:
        assert unit.type is not None
        assert is_question(unit.type) == (command == f.REQUEST)
        way = self._ways.get(source)
        raw = way.session.ask(source, command, unit, self._monotonic()) if way is not None else None
        if raw is None or way is None:
            return
        with contextlib.suppress(OSError):
            await way.write(raw)

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        task.set_name(f"line.{self.id}.work")
        self._work.add(task)
        task.add_done_callback(self._work.discard)
