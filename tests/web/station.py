"""A station for the web tests: site, ledger, history, and a gateway's control socket that speaks the protocol.

The control socket here stands in for the gateway at its lowest border: it commits to a real ledger file and answers
and tells as gateway/control/protocol.py says. The whole product together is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from argon2 import PasswordHasher

from gateway.control.client import SOCKET
from gateway.control.protocol import Answer, Ask, Event, Problem
from gateway.history import open_history
from gateway.history.base import Row
from gateway.history.settings import EmbeddedSettings
from gateway.ledger.alarm_rows import ALARMS, alarm_view
from gateway.ledger.secret import SECRET, make_secret
from gateway.ledger.store import FILE
from gateway.ledger.upgrade import SCHEMA
from gateway.settings import GatewaySettings
from gateway.web.app import run
from gateway.web.settings import WebSettings
from tests.web.acts import Acts
from tests.web.board_acts import BoardActs

PASSWORD = "correct horse 站"
ONE_TIME = "K7QM-2XWD-94TB"
HOUR_MS = 3_600_000
_HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Cheap; a sign-in replaces what it makes by a real one."""
_encode = msgspec.json.Encoder().encode

HERE = Path(__file__).parent
SITE = (HERE / "shuiye.yaml").read_text("utf-8")
GOOD_VALUES: dict[str, dict[str, Any]] = json.loads((HERE / "good_values.json").read_text("utf-8"))
"""device -> point -> a value nobody worries about"""


def now_ms() -> int:
    """Wall clock, ms UTC."""
    return time.time_ns() // 1_000_000


class Station:
    """Ledger, history and control socket of one station. `async with station.gateway():` opens the socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.data_dir.mkdir(parents=True)
        self.site_file = folder / "shuiye.yaml"
        self.site_file.write_text(SITE, "utf-8")
        self.db = sqlite3.connect(self.data_dir / FILE, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.executescript(SCHEMA.read_text("utf-8"))
        self.db.execute("INSERT INTO meta VALUES (?, ?)", (SECRET, make_secret()))
        self.values: dict[str, list[Any]] = {}
        self.agents: dict[str, dict[str, Any]] = {}
        self.asked: list[Ask] = []
        self.acts = Acts(self)
        self.board = BoardActs(self)
        self.entries: dict[str, list[dict[str, Any]]] = {}
        """Open rows of further registers, as a snapshot has them."""
        self.proofs: list[dict[str, Any]] = []
        self.notices: dict[str, Any] = {}
        self.centres: dict[str, dict[str, Any]] = {}
        """As `status` has them."""
        self.tokens: set[str] = set()
        """Receipts that are known."""
        self.mute = False
        """A gateway that hangs: takes connections and says nothing."""
        self.cut_off: set[str] = set()
        """Commands at which the connection breaks, before anything is done."""
        self.cut_after: set[str] = set()
        """Commands that are done once; at the next one the connection breaks."""
        self._writers: dict[asyncio.StreamWriter, bool] = {}

    # --- what there is -----------------------------------------------------------------------------------------------

    def settings(self) -> GatewaySettings:
        """What the gateway would run on."""
        return GatewaySettings(sites=[self.site_file], data_dir=self.data_dir)

    def user(self, name: str, role: str | None = None, *, one_time_until_ms: int | None = None) -> None:
        """A person with PASSWORD, or with ONE_TIME when it is a one-time password."""
        password = ONE_TIME if one_time_until_ms is not None else PASSWORD
        self.db.execute(
            "INSERT OR REPLACE INTO user (name, role, password_hash, one_time_until_ms, created_ms, password_ms) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (name, role or name, _HASHER.hash(password), one_time_until_ms, now_ms(), now_ms()),
        )

    def all_good(self) -> None:
        """Every device answers, every value is good and fresh."""
        at = now_ms() - 2_000
        for device, points in GOOD_VALUES.items():
            for point, value in {**points, "online": True}.items():
                self.values[f"shuiye/{device}/{point}"] = [at, value, "good"]
        for agent in ("edge1", "edge2"):
            self.agent(agent, online=True, tell=False)

    def agent(self, agent: str, *, online: bool, heard_ms: int | None = None, tell: bool = True) -> None:
        """Set an agent's state."""
        state = {"heartbeat_s": 3600.0, "outbox": {"alarm": 0, "telemetry": 0}}
        row = {
            "site": "shuiye",
            "agent": agent,
            "online": online,
            "heard_ms": heard_ms or now_ms(),
            "clock_offset_ms": 12,
            "state": state,
        }
        self.agents[agent] = row
        if tell:
            self._tell("agent", row)

    def read(self, point: str, value: Any, quality: str = "good", *, observed_ms: int | None = None) -> None:
        """A reading was committed: tell it."""
        key = f"shuiye/{point}"
        self.values[key] = [observed_ms or now_ms(), value, quality]
        self._tell("reading", [[key, *self.values[key]]])

    def alarm(
        self,
        rule: str,
        subject: str,
        severity: str,
        *,
        ago_s: float = 0,
        cleared: bool = False,
        by: str | None = None,
        **inputs: Any,
    ) -> int:
        """An alarm was raised (and cleared, and acknowledged by somebody): commit and tell it. Gives its id."""
        raised = now_ms() - int(ago_s * 1000)
        state = {(0, 0): "unacknowledged", (0, 1): "acknowledged", (1, 0): "returned_unacknowledged", (1, 1): "normal"}[
            (cleared, by is not None)
        ]
        parts = subject.split("/")
        device = None if rule == "agent-lost" else parts[1]
        ends = (raised + 60_000 if cleared else None, raised + 30_000 if by else None)
        told = json.dumps(inputs)
        row = self.db.execute(
            "INSERT INTO alarm (rule, rule_version, subject, site, device, severity, state, active, raised_ms, "
            "recorded_ms, cleared_ms, acknowledged_ms, acknowledged_by, inputs) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                *(rule, "v1", subject, parts[0], device, severity, state, not cleared, raised, raised + 40),
                *ends,
                by,
                told,
            ),
        )
        alarm_id = int(row.lastrowid or 0)
        self._step(alarm_id, "raise", "normal", "unacknowledged", raised, "rule", "", json.dumps(inputs))
        if by:
            self._step(alarm_id, "acknowledge", "unacknowledged", "acknowledged", raised + 30_000, by, "", "{}")
        if cleared:
            self._step(
                alarm_id, "clear", "acknowledged" if by else "unacknowledged", state, raised + 60_000, "rule", "", "{}"
            )
        self._tell("alarm", self._view(alarm_id))
        return alarm_id

    async def remember(self, rows: list[Row]) -> None:
        """Put rows into the history."""
        async with open_history(EmbeddedSettings(kind="embedded"), self.data_dir) as history:
            await history.write(rows, lambda *_: None)

    def close(self) -> None:
        """Let go of the ledger."""
        self.db.close()

    # --- the control socket ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[None]:
        """The control socket, open while this is held."""
        path = self.data_dir / SOCKET
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, str(path), limit=1024 * 1024)
        try:
            yield
        finally:
            server.close()
            for writer in list(self._writers):
                writer.close()
            await server.wait_closed()
            while self._writers:
                await asyncio.sleep(0.01)
            path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers[writer] = False
        try:
            while line := await reader.readline():
                ask = msgspec.json.decode(line, type=Ask)
                if self.mute:
                    continue
                if ask.op in self.cut_off:
                    break
                if ask.op in self.cut_after:
                    self.cut_off.add(ask.op)
                self.asked.append(ask)
                writer.write(_encode(self._answer(ask)) + b"\n")
                if ask.op == "subscribe":
                    writer.write(_encode(Event(event="snapshot", data=self._snapshot())) + b"\n")
                    self._writers[writer] = True
                await writer.drain()
        except OSError:
            pass
        finally:
            del self._writers[writer]
            writer.close()

    def _answer(self, ask: Ask) -> Answer:
        args = ask.args
        if ask.op == "alarm.acknowledge":
            view = self._view(args["alarm_id"])
            if view is None:
                return Answer(
                    id=ask.id, ok=False, error=Problem("not_found", f"alarm {args['alarm_id']}: no such alarm.")
                )
            if view["state"] not in ("unacknowledged", "returned_unacknowledged"):
                return Answer(id=ask.id, ok=False, error=Problem("conflict", "acknowledged already."))
            state = "acknowledged" if view["active"] else "normal"
            self.db.execute(
                "UPDATE alarm SET state = ?, acknowledged_ms = ?, acknowledged_by = ? WHERE id = ?",
                (state, now_ms(), ask.actor, args["alarm_id"]),
            )
            self._step(args["alarm_id"], "acknowledge", view["state"], state, now_ms(), ask.actor, args["note"], "{}")
            self._tell("alarm", self._view(args["alarm_id"]))
        elif ask.op == "session.open":
            row = (args["token_hash"], args["user"], now_ms(), args["expires_ms"])
            query = "INSERT INTO session (token_hash, user, created_ms, expires_ms) VALUES (?, ?, ?, ?)"
            self.db.execute(query, row)
        elif ask.op == "session.close":
            self.db.execute("DELETE FROM session WHERE token_hash = ?", (args["token_hash"],))
        elif ask.op == "user.set_password":
            query = "UPDATE user SET password_hash = ?, one_time_until_ms = NULL WHERE name = ?"
            self.db.execute(query, (args["password_hash"], args["name"]))
        elif ask.op == "user.use_one_time":
            query = "UPDATE user SET one_time_used_ms = ? WHERE name = ? AND one_time_used_ms IS NULL"
            if not self.db.execute(query, (now_ms(), args["name"])).rowcount:
                return Answer(id=ask.id, ok=False, error=Problem("conflict", "used already."))
        elif ask.op == "device.approve":
            where = (args["site"], args["device"])
            row = self.db.execute("SELECT agent FROM unknown_device WHERE site = ? AND device = ?", where).fetchone()
            self.db.execute("DELETE FROM unknown_device WHERE site = ? AND device = ?", where)
            self.db.execute(
                "INSERT INTO approved_device VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*where, row[0], args["profile"], args["title_zh"], args["title_en"], now_ms(), ask.actor),
            )
        elif ask.op == "quarantine.dismiss":
            self.db.execute("DELETE FROM quarantine WHERE id = ?", (args["id"],))
        elif ask.op == "outcome":
            return Answer(id=ask.id, ok=True, result={"state": "unknown"})
        elif ask.op == "status":
            return Answer(id=ask.id, ok=True, result={"centres": self.centres})
        elif ask.op == "duty.answer" and args["id"] not in self.acts.checks:
            return Answer(
                id=ask.id, ok=False, error=Problem("not_found", f"duty check {args['id']}: got no such check.")
            )
        elif ask.op == "duty.answer" and self.acts.checks[args["id"]]["state"] not in ("open", "unanswered"):
            return Answer(
                id=ask.id, ok=False, error=Problem("conflict", f"duty check {args['id']}: was answered already.")
            )
        elif ask.op == "notice.receipt" and args["token"] not in self.tokens:
            return Answer(id=ask.id, ok=False, error=Problem("not_found", "token: got none of a message."))
        elif ask.op.startswith("alarm.") and self._view(args["alarm_id"]) is None:
            return Answer(id=ask.id, ok=False, error=Problem("not_found", f"alarm {args['alarm_id']}: no such alarm."))
        else:
            return Answer(id=ask.id, ok=True, result=self.acts.do(ask) or self.board.do(ask.op, ask.actor, args) or {})
        return Answer(id=ask.id, ok=True, result={})

    def _snapshot(self) -> dict[str, Any]:
        ids = [row[0] for row in self.db.execute("SELECT id FROM alarm WHERE state <> 'normal'")]
        rows = self.db.execute("SELECT site, device, agent, readings FROM unknown_device").fetchall()
        return {
            "at_ms": now_ms(),
            "values": self.values,
            "alarms": [self._view(n) for n in ids],
            "agents": list(self.agents.values()),
            "unknown_devices": [dict(zip(("site", "device", "agent", "readings"), row, strict=True)) for row in rows],
            "proofs": self.proofs,
            "notices": self.notices,
            "entries": {**self.board.rows(), **self.entries},
            **self.acts.snapshot(),
        }

    def _view(self, alarm_id: int) -> dict[str, Any] | None:
        row = self.db.execute(ALARMS + "WHERE id = ?", (alarm_id,)).fetchone()
        return None if row is None else dict(msgspec.to_builtins(alarm_view(row)))

    def _step(self, *row: Any) -> None:
        alarm_id, event, was, became, at, actor, note, inputs = row
        self.db.execute(
            "INSERT INTO transition (alarm_id, event, from_state, to_state, event_ms, recorded_ms, actor, note, "
            "inputs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (alarm_id, event, was, became, at, at + 40, actor, note, inputs),
        )

    def _tell(self, event: Any, data: Any) -> None:
        line = _encode(Event(event=event, data=data)) + b"\n"
        for writer, subscribed in self._writers.items():
            if subscribed and not self.mute:
                writer.write(line)


@asynccontextmanager
async def serving(station: Station, settings: WebSettings | None = None) -> AsyncIterator[str]:
    """The web process's `run` on a free port; gives the address."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(
        run(
            settings or WebSettings(port=0),
            station.settings(),
            EmbeddedSettings(kind="embedded"),
            ready=ready.set_result,
            stop=stop,
        ),
        name="web",
    )
    try:
        await asyncio.wait({task, ready}, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        yield await asyncio.wait_for(ready, 1)
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)


class Browser(httpx.AsyncClient):
    """A client that keeps cookies and fills in forms like a browser."""

    def __init__(self, address: str, language: str = "en") -> None:
        super().__init__(base_url=address, headers={"Accept-Language": language}, timeout=15)

    async def submit(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Load `page`, take its CSRF token, post the fields to `action`."""
        token = csrf_in((await self.get(page)).text)
        return await self.post(action, data={"csrf": token, **fields})

    async def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in through the form."""
        return await self.submit("/sign-in", "/sign-in", name=name, password=password)

    async def csrf(self) -> str:
        """The token of the session, as the API gives it."""
        return str((await self.get("/api/v1/session")).json()["csrf"])


def csrf_in(html: str) -> str:
    """The CSRF token in a page's forms."""
    return html.split('name="csrf" value="')[1].split('"')[0]
