"""Every driver against a simulated panel on a pseudo-terminal or a socket: idle traffic, events, noise, splits."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from contract.panel_profile import Panel
from simulators.panels.gst import GstCrtPanel, GstNetworkPanel, crt_frame, net_frame, printer_frame
from simulators.panels.jade_bird import JadeBirdPanel, jbf_frame
from simulators.panels.leader import LeaderPanel
from simulators.panels.panel import SimulatedPanel
from simulators.panels.songjiang import SongjiangPanel, point_bytes, songjiang_frame
from simulators.panels.terminal import PanelTerminal
from simulators.panels.transmitter import report, sia_message
from simulators.printer import PrintedEvent, print_bytes, print_lines
from tests.simulators.clients import until
from tests.simulators.panels.bench_line import PlainPort, RunningLine

AT = datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001  # a panel's own clock


def jbf(command: int, point: int, loop: int = 1) -> bytes:
    """A frame of controller 1."""
    return jbf_frame(command, 1, loop, point, 21, AT)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_jbf_events_arrive_when_pushed_through_noise(tmp_path: Path, seed: int) -> None:
    """Fire, fault and its end, power; heartbeats between them are no events; nothing is ever sent."""
    panel, link = JadeBirdPanel(), tmp_path / "port"
    async with PanelTerminal(panel, link, seed=seed, noise=12, most=7), RunningLine("jbf", link) as line:
        await until(lambda: line.line.is_open, "the port")
        for frame in (jbf(0x00, 0), jbf(0x80, 2), jbf(0x81, 3), jbf(0x82, 3), jbf(0x71, 0, 0x80), jbf(0x71, 0, 0x90)):
            panel.say(frame)
            await until(lambda: panel.is_done, "the frame on the line")
        await until(lambda: len(line.events) == 5, "five events")
    assert line.kinds == ["fire", "fault", "-fault", "main_power", "-main_power"]
    assert line.last == {"online": True, "l001p002": "fire", "l001p003": "normal", "main_power": "normal"}
    assert line.events[0].panel_time == "2024-05-06T07:08:09"
    assert bytes(panel.heard) == b""


async def test_jbf_events_arrive_when_the_panel_is_asked(tmp_path: Path) -> None:
    """The panel says one frame for each question, a heartbeat when it has none."""
    panel, link = JadeBirdPanel(asked=True), tmp_path / "port"
    panel.say(jbf(0x80, 2))
    async with PanelTerminal(panel, link), RunningLine("jbf", link, asks=True) as line:
        await until(lambda: len(line.events) == 1, "the fire")
    assert line.kinds == ["fire"]
    assert bytes(panel.forbidden) == b""


async def test_gst_crt_events_arrive_when_the_panel_is_called(tmp_path: Path) -> None:
    """Call with mark, read and taken with space: the panel hears just that, and tells all it has."""
    panel, link = GstCrtPanel(address=9), tmp_path / "port"
    panel.say(crt_frame("0DDD", "001004", 3, 0x01))
    panel.say(crt_frame("0EEE", "001005", 3, 0x01))
    panel.say(crt_frame("0DDD", "000001", 76, 0x02))
    panel.say(bytes.fromhex("0AAABB"))
    async with PanelTerminal(panel, link), RunningLine("gst_crt", link, controller=9) as line:
        await until(lambda: len(line.events) == 4, "four events")
        await until(lambda: panel.is_done, "the last taken")
    assert line.kinds == ["fire", "disablement", "start", "reset"]
    assert line.last == {"online": True, "p001004": "normal", "p001005": "disabled", "p000001": "normal"}
    assert bytes(panel.forbidden) == b""
    assert set(bytes(panel.heard)) <= {9, 0, 0x0F, 0x1F}


@pytest.mark.parametrize("seed", [1, 2])
async def test_gst_network_events_arrive_once_when_sent_three_times(tmp_path: Path, seed: int) -> None:
    """Three copies and noise make one event with its place."""
    panel, link = GstNetworkPanel(), tmp_path / "port"
    async with PanelTerminal(panel, link, seed=seed, noise=9), RunningLine("gst_net", link) as line:
        await until(lambda: line.line.is_open, "the port")
        for frame in (
            bytes.fromhex("AA081221122118"),
            net_frame(0x15, "365089", 3, "5#楼中16层"),
            net_frame(0x22, "003219", 30, "3#楼东"),
            bytes.fromhex("AA045555555502"),
        ):
            panel.say(frame)
        await until(lambda: len(line.events) >= 3, "three events")
        await until(lambda: panel.is_done, "the last copy")
    assert line.kinds == ["fire", "feedback", "reset"]
    assert [event.text for event in line.events] == ["5#楼中16层", "3#楼东", ""]
    assert line.last["p365089"] == "normal"
    assert bytes(panel.heard) == b""


async def test_gst_micro_printer_events_arrive_when_glyphs_are_printed(tmp_path: Path) -> None:
    """Filler, then glyphs."""
    panel, link = SimulatedPanel(), tmp_path / "port"
    async with PanelTerminal(panel, link, most=3), RunningLine("gst_printer", link) as line:
        await until(lambda: line.line.is_open, "the port")
        panel.say(printer_frame(10, 20, "14:44", 0x11, "1-027", 0x23))
        panel.say(printer_frame(10, 20, "14:45", 0x16, "-----", 0x2C))
        panel.say(printer_frame(10, 20, "14:46", 0x1D, "-----", 0x21))
        await until(lambda: len(line.events) == 3, "three events")
    assert line.kinds == ["fire", "main_power", "reset"]
    assert line.last == {"online": True, "l001p027": "normal", "main_power": "fault"}


@pytest.mark.parametrize("low_first", [True, False])
async def test_songjiang_panel_is_acknowledged_when_it_speaks(tmp_path: Path, low_first: bool) -> None:
    """Each frame is acknowledged once, in the panel's own byte order; a poll is acknowledged too."""
    panel, link = SongjiangPanel(3, low_first=low_first), tmp_path / "port"
    fire = songjiang_frame(3, 110, [point_bytes(3, 3, 30, AT), point_bytes(3, 3, 29, AT)], low_first=low_first)
    for frame in (songjiang_frame(3, 100, [], low_first=low_first), fire):
        panel.say(frame)
    panel.say(songjiang_frame(3, 111, [point_bytes(3, 74, 1, AT)], low_first=low_first))
    async with PanelTerminal(panel, link, most=5), RunningLine("songjiang", link) as line:
        await until(lambda: panel.acknowledged == 3, "three acknowledgements")
    assert line.kinds == ["fire", "fire", "main_power"]
    assert line.last == {"online": True, "l003p030": "fire", "l003p029": "fire", "main_power": "fault"}
    assert bytes(panel.forbidden) == b""


async def test_ld128e_events_arrive_when_the_panel_is_asked(tmp_path: Path) -> None:
    """20 and nothing else; 7F is idle traffic."""
    panel, link = LeaderPanel(), tmp_path / "port"
    for answer in (b"\x01\x04\x05", b"\x02\x04\x06", b"\x05\x04\x06", b"\x50\x00\x00"):
        panel.say(answer)
    async with PanelTerminal(panel, link), RunningLine("ld128e", link) as line:
        await until(lambda: len(line.events) == 4, "four events")
    assert line.kinds == ["fire", "fault", "-fault", "reset"]
    assert line.last == {"online": True, "l004p005": "normal", "l004p006": "normal"}
    assert bytes(panel.forbidden) == b""
    assert set(bytes(panel.heard)) == {0x20}


async def test_printed_events_arrive_when_lines_are_split(tmp_path: Path) -> None:
    """GB 18030 with ESC fonts, cut anywhere."""
    panel, link = SimulatedPanel(), tmp_path / "port"
    async with PanelTerminal(panel, link, most=3), RunningLine("esc_printer", link) as line:
        await until(lambda: line.line.is_open, "the port")
        for event in (
            PrintedEvent("首次火警", 4, 4, "裙楼一层上空", "感烟探测器"),
            PrintedEvent("火警后续", 4, 5, "裙楼二层", "手动按钮"),
            PrintedEvent("屏蔽", 4, 6, "裙楼三层", "感烟探测器"),
            PrintedEvent("系统复位"),
        ):
            panel.say(print_bytes(print_lines(event, 1_700_000_000_000)))
        await until(lambda: len(line.events) == 4, "four events")
    assert line.kinds == ["fire", "fire_subsequent", "disablement", "reset"]
    assert line.last == {"online": True, "l004p004": "normal", "l004p005": "normal", "l004p006": "disabled"}
    assert bytes(panel.heard) == b""


async def test_western_lines_arrive_when_a_notifier_prints(tmp_path: Path) -> None:
    """What is cleared is not taken for what came."""
    panel, link = SimulatedPanel(), tmp_path / "port"
    lines = (
        "FIRE ALARM: HATCH  SMOKE(PHOTO) 09:30:17A TUE FEB 12, 2008 N001L01D003",
        "TROUBLE IN SYSTEM  GROUND FAULT 09:31:17A TUE FEB 12, 2008",
        "SUPERVISORY: VALVE TAMPER       09:32:17A TUE FEB 12, 2008 N001L01M004",
        "CLEARED FIRE ALARM: HATCH       09:33:17A TUE FEB 12, 2008 N001L01D003",
        "SYSTEM NORMAL                   09:34:17A TUE FEB 12, 2008",
    )
    async with PanelTerminal(panel, link), RunningLine("notifier", link) as line:
        await until(lambda: line.line.is_open, "the port")
        for text in lines:
            panel.say(f"{text:<80}\r\n".encode())
        await until(lambda: len(line.events) == 5, "five events")
    assert line.kinds == ["fire", "fault", "supervisory", "-fire", "-other"]
    assert line.last == {"online": True, "l001d003": "normal", "controller": "normal", "l001m004": "normal"}


async def test_line_opens_again_when_the_panel_is_unplugged(tmp_path: Path) -> None:
    """After a replug the old fire is uncertain until the panel speaks of it, and new events arrive."""
    link = tmp_path / "port"
    async with RunningLine("jbf", link) as line:
        for point in (1, 2):
            panel = JadeBirdPanel()
            async with PanelTerminal(panel, link):
                await until(lambda: line.line.is_open, "the port")
                panel.say(jbf(0x80, point))
                await until(lambda n=point: len(line.events) == n, "the fire")
            await until(lambda: not line.line.is_open, "the port gone")
    assert ("l001p001", "fire", "uncertain:missed_events") in line.readings


async def test_unknown_dialect_is_reported_when_nothing_can_be_read(tmp_path: Path) -> None:
    """Bytes of another protocol: kept, counted and reported, here after a second instead of a hundred."""
    panel, link = SimulatedPanel(), tmp_path / "port"
    section = Panel.model_validate({"driver": "songjiang", "unreadable_after_s": 1})
    async with PanelTerminal(panel, link), RunningLine("songjiang", link, section) as line:
        await until(lambda: line.line.is_open, "the port")
        panel.say(b"7E 01 02 03 7E" * 4)
        await until(lambda: "unreadable" in line.kinds, "the report")
        status = line.line.status()
    assert ("online", True, "bad:unreadable") in line.readings
    assert status["unread"] == (b"7E 01 02 03 7E" * 4).hex()
    assert bytes(panel.heard) == b""


async def test_transmitter_is_answered_when_it_reports_over_tcp(free_port: int) -> None:
    """ACK for what is understood, DUH for what is readable only, none for a wrong CRC; a repeat is one event."""
    fire = sia_message("SIA-DCS", 1, "1234", "Nri1/FA012")
    async with RunningLine("sia_dc09", free_port) as line:
        await until(lambda: line.line.is_open, "the port")
        for message, answer in (
            (fire, b'"ACK"0001L0#1234[]'),
            (fire, b'"ACK"0001L0#1234[]'),
            (sia_message("ADM-CID", 2, "1234", "3301 01 000"), b'"ACK"0002L0#1234[]'),
            (sia_message("SIA-DCS", 3, "1234", "???"), b'"DUH"0003L0#1234[]'),
            (sia_message("*SIA-DCS", 4, "1234", "0011223344"), b'"DUH"0004L0#1234[]'),
        ):
            said = await report("127.0.0.1", free_port, message)
            assert said[9:-1] == answer
        assert await report("127.0.0.1", free_port, fire.replace(b"FA", b"FB"), wait_s=0.3) == b""
        await until(lambda: len(line.events) == 4, "four events")
    assert line.kinds == ["fire", "-main_power", "other", "other"]
    assert line.last["z012"] == "fire"


async def test_transmitter_is_answered_when_it_reports_over_udp(free_port: int) -> None:
    """One datagram in, one answer out to where it came from."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    class Sender(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            answers.put_nowait(data)

    async with RunningLine("sia_dc09", free_port) as line:
        await until(lambda: line.line.is_open, "the port")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Sender, remote_addr=("127.0.0.1", free_port))
        try:
            transport.sendto(sia_message("ADM-CID", 9, "77", "1110 01 003"))
            async with asyncio.timeout(5):
                answer = await answers.get()
        finally:
            transport.close()
        await until(lambda: line.kinds == ["fire"], "the fire")
    assert b'"ACK"0009L0#77[]' in answer


async def test_line_says_so_when_its_port_has_no_mark_parity(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A panel that cannot be called is reported down, with the reason; nothing is sent with the wrong ninth bit."""
    panel, link = GstCrtPanel(), tmp_path / "port"
    async with PanelTerminal(panel, link), RunningLine("gst_crt", link, new_port=PlainPort) as line:
        await until(lambda: ("online", None, "unknown:line") in line.readings, "the line down")
    assert "cannot send with mark or space parity" in caplog.text
    assert bytes(panel.heard) == b""


async def test_newest_connection_is_taken_when_a_serial_server_comes_again(free_port: int) -> None:
    """A serial server that lost its connection without a word is heard at once when it connects anew."""
    async with RunningLine("jbf", free_port) as line:
        await until(lambda: line.line.is_open, "the port")
        _, old = await asyncio.open_connection("127.0.0.1", free_port)
        _, new = await asyncio.open_connection("127.0.0.1", free_port)
        try:
            new.write(jbf(0x80, 2))
            await until(lambda: line.kinds == ["fire"], "the fire")
        finally:
            for writer in (old, new):
                writer.close()
