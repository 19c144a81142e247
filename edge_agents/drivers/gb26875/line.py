"""Transmitters that come to us over TCP or UDP: who they are, what is answered, what is asked of them.

    bytes ─> Session (frames, answers owed) ─> TransmitterReport of the sender ─> recorder ─> on disk? ─> confirm

A transmitter is known by its six address bytes. One that stands in no site file is taken all the same, under a name
made of its address: the gateway keeps what it says among the unknown devices until somebody approves it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from contract.gb26875 import frame as f
from contract.gb26875 import objects as o
from contract.gb26875.tables import Tables
from contract.gb26875.time_tag import tag_from_ms
from contract.gb26875.units import Unit, standard_unit
from contract.messages import LANES
from contract.site import Gb26875Line, Placed
from edge_agents.bus.listening import Bounds, Listener, Peer, end_task
from edge_agents.bus.presence import LinePresence
from edge_agents.drivers.gb26875.owed import EVENTS, KINDS, MOST_OWED, Owed, Way
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
MOST_UNREAD = 64 * 1024
"""Bytes that a sender may leave unread; then its connection is closed."""
DATAGRAM_BOUND = 4096
READ_BYTES = 8192
SYNC_S = 86_400.0
"""The clock of a transmitter is set at most this often."""
SYNC_OFF_S = 5.0
"""...and only when it is off by more than this."""
MOST_REFS = 22
"""Components of one read (type 62)."""


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
        self._streams: set[Way] = set()
        self._owed = Owed(recorder.durable)
        self.presence = LinePresence(line.id, recorder.record, now_ms)
        """Whether the line can be reached."""
        bounds = Bounds(MOST_CONNECTIONS, DATAGRAM_BOUND, READ_BYTES)
        self._listener = Listener(line, self.presence, self._serve, self._take_datagram, bounds)
        self.counts = dict.fromkeys(("frames", "refused_frames", "denied_to_us", "unanswered", "strangers_dropped"), 0)
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
            "open": self.is_open, **self._listener.counts, **self.counts, "unconfirmed": self._owed.unconfirmed,
            "connected": len(self._ways),
            "strangers": [report.device for source, report in self._reports.items() if source not in self._known],
        }  # fmt: skip

    def request(self, device_id: str | None) -> None:
        """Ask a transmitter (all, without an id) for its state and that of everything it has told of."""
        for source, report in list(self._reports.items()):
            if device_id in (None, report.device) and source in self._ways:
                self._read_all(source, report)

    def check_duty(self, device_id: str, minutes: int) -> bool:
        """Ask the person at the transmitter to answer within so many minutes (type 91); False: not connected."""
        for source, report in self._reports.items():
            if report.device == device_id and source in self._ways:
                self._ask(source, f.CONTROL, standard_unit(91, o.DutyCheck(minutes)))
                return True
        return False

    async def run(self) -> None:
        """Listen until cancelled."""
        names = ("events", "all")
        answering = [
            asyncio.create_task(self._owed.run(lanes), name=f"line.{self.id}.{name}")
            for lanes, name in zip(KINDS, names, strict=True)
        ]
        try:
            await self._listener.run(lambda: None, self._refresh, self._down)
        finally:
            for task in answering:
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
        for way in set(self._ways.values()):
            self._send_again(way, now_s)
        self._greet_fresh(set(self._fresh))
        for way in [way for way in self._streams if now_s - way.heard_s > IDLE_S]:
            way.close()
        await self._refused.settle()

    def _send_again(self, way: Way, now_s: float) -> None:
        again, over = way.session.due(now_s)
        self.counts["unanswered"] += len(over)
        for raw in again:
            way.write(raw)
        self._take_all(way.session.expire(now_s), way)

    # --- connections ---------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def write(raw: bytes) -> None:
            if writer.is_closing():
                return
            writer.write(raw)
            if writer.transport.get_write_buffer_size() > MOST_UNREAD:
                writer.transport.abort()

        way = Way(Session(self._tables, self._now_ms), write, True, writer.close, self._monotonic())
        self._streams.add(way)
        try:
            while data := await reader.read(READ_BYTES):
                way.heard_s = self._monotonic()
                self._take_all(way.session.feed(data, way.heard_s), way)
                fresh = {source for source in self._fresh if self._ways.get(source) is way}
                # Nothing is asked of who has come before what it came with is answered.
                await self._owed.fewer(way, 1 if fresh else MOST_OWED)
                self._greet_fresh(fresh)
            self._take_all(way.session.finish(), way)
            await self._owed.fewer(way, 1)  # who has said all there is still wants to hear that it was taken
        finally:
            self._streams.discard(way)
            for source in [source for source, known in self._ways.items() if known is way]:
                del self._ways[source]
                self._gone_s[source] = self._monotonic()

    async def _take_datagram(self, data: bytes, peer: Peer) -> None:
        now_s, way = self._monotonic(), self._peers.get(peer)
        if way is None:
            if len(self._peers) >= MOST_CONNECTIONS:
                self._peers.pop(next(iter(self._peers)))

            def write(raw: bytes) -> None:
                with contextlib.suppress(OSError):
                    self._listener.send(raw, peer)

            way = self._peers[peer] = Way(Session(self._tables, self._now_ms), write, False, lambda: None, now_s)
        self._take_all(way.session.feed(data, now_s) + way.session.finish(), way)  # a datagram is whole

    # --- messages ------------------------------------------------------------------------------------------------

    def _take_all(self, heard: list[Heard], way: Way) -> None:
        """Take what came together; what is data is answered once it is on disk."""
        for one in heard:
            self._take(one, way)

    def _take(self, heard: Heard, way: Way) -> None:
        """Apply one message, and answer it now or when it is on disk."""
        self.counts["frames"] += 1
        if heard.message is None or heard.kind == "refused":
            self.counts["refused_frames"] += 1
            self._refused.add(self._now_ms(), heard.source.hex(), heard.why, heard.raw)
            if heard.answer is not None:
                way.write(heard.answer)
            return
        report = self._report_of(heard.source)
        if report is None:
            self.counts["strangers_dropped"] += 1
            self._refused.add(self._now_ms(), heard.source.hex(), "too many unknown transmitters", heard.raw)
            return
        is_new = self._ways.get(heard.source) is not way
        self._ways[heard.source] = way
        self._gone_s.pop(heard.source, None)
        now_ms, is_data = self._now_ms(), heard.kind in ("data", "response", "other")
        self._recorder.record(
            report.took(heard.message, heard.raw, now_ms) if is_data else report.heard(heard.message, now_ms)
        )
        if heard.kind == "answer" and heard.why:
            self.counts["denied_to_us"] += 1
        if is_new and heard.source in self._known:
            self._fresh.add(heard.source)
        if heard.answer is None:
            return
        if is_data:
            # A repeat reports nothing: what it repeats may be on its way to the disk still.
            is_measured = any(isinstance(item, o.AnalogValue) for item in heard.message.unit.objects)
            self._owed.add(way, heard.answer, LANES if is_measured else EVENTS)
        else:
            way.write(heard.answer)

    def _report_of(self, source: bytes) -> TransmitterReport | None:
        report = self._reports.get(source)
        if report is None and len(self._reports) - len(self._known) < MOST_STRANGERS:
            report = TransmitterReport(f"uitd-{source.hex()}", self._tables, 3600.0, self._line.silent_after_s)
            self._reports[source] = report
        return report

    # --- questions -----------------------------------------------------------------------------------------------

    def _greet_fresh(self, sources: set[bytes]) -> None:
        for source in sources & self._fresh:
            self._fresh.discard(source)
            self._greet(source, self._reports[source])

    def _greet(self, source: bytes, report: TransmitterReport) -> None:
        """A transmitter that has come (again): set its clock if it is off, and read what was missed."""
        now_s = self._monotonic()
        is_due = now_s - self._synced_s.get(source, -SYNC_S) >= SYNC_S
        if self._line.sync_clock and is_due and abs(report.clock_offset_s) > SYNC_OFF_S:
            self._synced_s[source] = now_s
            self._ask(source, f.CONTROL, standard_unit(90, o.Clock(tag_from_ms(self._now_ms()))))
        if report.picture.states:
            self._read_all(source, report)

    def _read_all(self, source: bytes, report: TransmitterReport) -> None:
        self._ask(source, f.REQUEST, standard_unit(81, o.Reserved()))
        systems = report.picture.systems
        if systems:
            self._ask(source, f.REQUEST, standard_unit(61, *[o.SystemRef(*one) for one in systems[:102]]))
        components = report.picture.components
        for at in range(0, len(components), MOST_REFS):
            refs = [o.ComponentRef(*one) for one in components[at : at + MOST_REFS]]
            self._ask(source, f.REQUEST, standard_unit(62, *refs))

    def _ask(self, source: bytes, command: int, unit: Unit) -> None:
        assert unit.type is not None
        assert is_question(unit.type) == (command == f.REQUEST)
        way = self._ways.get(source)
        raw = way.session.ask(source, command, unit, self._monotonic()) if way is not None else None
        if raw is not None and way is not None:
            way.write(raw)
