"""The cores read no clock, draw no chance, open nothing: time, randomness and I/O are handed in.

Every module of the four packages is a core unless it stands in SHELLS with what it may touch, so a new module is a
core until somebody says otherwise here. A default value of a parameter may name the real thing
(`monotonic: Callable[[], float] = time.monotonic`): that is where it is handed in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("contract", "rules", "edge_agents", "gateway")
KINDS = {
    "time": {
        "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.sleep",
        "time.clock_gettime_ns", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today",
        "datetime.date.today",
    },
    "chance": {
        "random.", "uuid.uuid1", "uuid.uuid4", "secrets.", "os.urandom",
    },
    "loop": {
        "asyncio.sleep", "asyncio.timeout", "asyncio.wait_for", "asyncio.to_thread", "asyncio.create_task",
        "asyncio.open_connection", "asyncio.start_server", "asyncio.create_subprocess_exec",
    },
    "socket": {"socket.socket", "socket.create_connection", "aiomqtt.Client", "BrokerClient", "httpx.", "serial."},
    "file": {
        "open", "os.open", "sqlite3.connect", ".read_text", ".read_bytes", ".write_text", ".write_bytes", ".unlink",
        ".mkdir", "tempfile.", "subprocess.",
    },
}  # fmt: skip
SHELLS: dict[str, tuple[str, str]] = {
    "gateway/web/": ("time chance loop socket file", "the web process: no alarm passes through it"),
    "contract/configfile.py": ("file", "reads the file it is given"),
    "contract/mqtt.py": ("file", "reads the password's file"),
    "contract/mqtt_client.py": ("socket", "is the client to a broker; who makes one is in this list itself"),
    "contract/point_map.py": ("file", "reads the file it is given"),
    "rules/golden.py": ("file", "writes golden cases for who asks"),
    "edge_agents/agent.py": ("loop file", "the agent's root: starts, supervises, locks, status file"),
    "edge_agents/bus/line.py": ("loop", "owns a line: waits between two tries to open"),
    "edge_agents/bus/listening.py": ("loop", "owns a listening socket and its connections"),
    "edge_agents/bus/modbus.py": ("loop", "owns a port: waits for answers, drains"),
    "edge_agents/bus/mqtt.py": ("loop socket file", "owns a connection to a broker of sensors"),
    "edge_agents/bus/panel.py": ("loop socket", "owns a serial port of a panel"),
    "edge_agents/bus/panel_session.py": ("loop", "the loop over one panel's connection; judging is in panels/"),
    "edge_agents/bus/panel_tcp.py": ("loop", "owns one panel's connection"),
    "edge_agents/bus/printer.py": ("loop socket", "owns a serial port of a printer"),
    "edge_agents/clock.py": ("time chance file", "where the agent's clock comes from; it is handed on"),
    "edge_agents/drivers/gb26875/line.py": ("loop", "owns the task that answers what is owed"),
    "edge_agents/drivers/gb26875/owed.py": ("loop", "waits for the disk before it answers"),
    "edge_agents/field/learned.py": ("file", "removes what was learned, for who asks"),
    "edge_agents/field/wire.py": ("loop socket file", "owns a wire for a person's look at the field"),
    "edge_agents/foreign/refused.py": ("loop file", "owns the list of strangers on disk"),
    "edge_agents/mqtt_client.py": ("loop", "connects and closes"),
    "edge_agents/outbox.py": ("loop", "owns the writer's thread"),
    "edge_agents/outbox_file.py": ("file", "owns the outbox's file"),
    "edge_agents/outside.py": ("chance", "where the real outside comes from; it is handed on"),
    "edge_agents/panels/tables.py": ("file", "reads its own table"),
    "edge_agents/panels/text.py": ("file", "reads its patterns"),
    "edge_agents/recorder.py": ("loop", "owns the task that writes; waits after a failure"),
    "edge_agents/salvage.py": ("file", "opens a damaged file"),
    "edge_agents/site_watch.py": ("loop", "owns the watch over files"),
    "edge_agents/uplink.py": ("loop", "owns the connection and its tasks"),
    "gateway/app.py": ("time loop", "the gateway's root: its clocks come from here"),
    "gateway/backup/make.py": ("file", "writes an archive"),
    "gateway/backup/restore.py": ("file", "reads an archive, writes a folder"),
    "gateway/backup/sealing.py": ("chance file", "keys and nonces of archives"),
    "gateway/backup/service.py": ("loop file", "owns the task that makes archives"),
    "gateway/control/client.py": ("loop", "owns a connection to the gateway"),
    "gateway/control/server.py": ("loop socket file", "owns the control socket"),
    "gateway/exports/checking.py": ("file", "unpacks what is to be checked"),
    "gateway/exports/checking_desk.py": ("loop file", "owns the process that checks a file"),
    "gateway/exports/desk.py": ("chance loop file", "owns the process that renders, and its folder"),
    "gateway/exports/pdf_file.py": ("file", "embeds the spool"),
    "gateway/exports/render.py": ("file", "the process that renders"),
    "gateway/forgetting.py": ("loop", "owns a task that wakes now and then"),
    "gateway/history/embedded.py": ("file", "owns the history's files"),
    "gateway/history/influx1.py": ("socket", "speaks to a server"),
    "gateway/history/influx2.py": ("socket", "speaks to a server"),
    "gateway/history/mirror.py": ("chance loop", "owns the task that mirrors"),
    "gateway/history/remote.py": ("socket", "speaks to a server"),
    "gateway/history/settings.py": ("file", "reads a token's file"),
    "gateway/ingest/subscriber.py": ("chance loop", "owns the connection to the broker"),
    "gateway/ledger/audit.py": ("file", "opens a ledger for who verifies it"),
    "gateway/ledger/personal.py": ("loop", "waits for readers before it empties the log"),
    "gateway/ledger/reader.py": ("file", "opens the ledger to read"),
    "gateway/ledger/secret.py": ("chance", "makes the ledger's secret once"),
    "gateway/ledger/store.py": ("file", "owns the ledger's file and its thread"),
    "gateway/ledger/upgrade.py": ("file", "copies and compares a file of an older version"),
    "gateway/notify/receipts.py": ("chance file", "makes and reads the key of receipts"),
    "gateway/notify/sender.py": ("loop", "owns a task for each way"),
    "gateway/notify/state.py": ("chance", "where tokens come from when none are handed in"),
    "gateway/notify/targets.py": ("loop socket", "speaks to services"),
    "gateway/own_facts.py": ("loop file", "looks at disk and certificates now and then"),
    "gateway/patience.py": ("loop", "the pipeline's waiting itself"),
    "gateway/pipeline.py": ("loop", "owns the pipeline's task; judging is in turn.py"),
    "gateway/reload.py": ("loop", "owns the watch over files"),
    "gateway/retention.py": ("loop", "owns a task that wakes now and then"),
    "gateway/sites/changer.py": ("loop file", "replaces a site's file"),
    "gateway/sites/checking.py": ("file", "writes a candidate to check it"),
    "gateway/sites/register.py": ("file", "writes versions of a site's file"),
    "gateway/upward/feeder.py": ("loop", "owns the task that follows the ledger"),
    "gateway/upward/link.py": ("loop", "owns the connection to a centre"),
    "gateway/upward/outbox.py": ("loop", "reads the ledger in a thread"),
    "gateway/upward/service.py": ("loop", "owns the tasks of each centre"),
    "gateway/users.py": ("chance file", "the first administrator's password and its file"),
}
"""Module -> what it touches, and why it must. What it decides stands in a core."""


def _modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def _name(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "")
    return ".".join(reversed(parts))


def _kind(name: str) -> str | None:
    for kind, words in KINDS.items():
        for word in words:
            if word.startswith(".") and name.endswith(word):
                return kind
            if word.endswith(".") and name.startswith(word):
                return kind
            if name == word:
                return kind
    return None


def touches(tree: ast.AST) -> dict[str, list[int]]:
    """Kind -> lines of a module that touch the world themselves."""
    handed_in = set()
    hints = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            handed_in |= {id(one) for one in (*node.args.defaults, *node.args.kw_defaults) if one is not None}
        if isinstance(node, ast.ClassDef):  # the fields of a record of things that are handed in
            handed_in |= {id(one.value) for one in node.body if isinstance(one, ast.AnnAssign) and one.value}
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(hint, ast.expr):
                hints |= {id(one) for one in ast.walk(hint)}
    found: dict[str, list[int]] = {}
    imported = set(_imported(tree))
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
        elif isinstance(node, ast.Attribute) and id(node) not in handed_in | hints:
            name = _name(node)
            if name.partition(".")[0] not in imported:
                name = f".{node.attr}"  # of an object, not of a module
        if (kind := _kind(name)) is not None:
            found.setdefault(kind, []).append(node.lineno)  # type: ignore[attr-defined]  # a call or an attribute
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)


def _shells() -> dict[str, set[str]]:
    return {path: set(kinds.split()) for path, (kinds, _) in SHELLS.items()}


def test_no_core_touches_the_world_by_itself() -> None:
    """What does is a shell, and the list says what of the world it touches; nothing on the list is out of date."""
    shells, wrong, used = _shells(), [], dict[str, set[str]]()
    for path in _modules():
        name = path.relative_to(ROOT).as_posix()
        shell = next((key for key in shells if name == key or (key.endswith("/") and name.startswith(key))), None)
        for kind, lines in touches(ast.parse(path.read_text("utf-8"))).items():
            if shell is None or kind not in shells[shell]:
                wrong.append(f"{name}:{lines[0]}: touches {kind} itself; hand it in, or name the module in SHELLS")
            else:
                used.setdefault(shell, set()).add(kind)
    idle = [f"SHELLS[{key!r}]: {kinds - used.get(key, set())} is not used" for key, kinds in shells.items()]
    assert wrong + [line for line in idle if "set()" not in line] == []


def test_the_lint_sees_what_it_is_for() -> None:
    """A clock that is read is found; one that is handed in is not."""
    bad = "import time\ndef f():\n    return time.monotonic()\n"
    good = "import time\ndef f(now=time.monotonic):\n    return now()\n"
    assert touches(ast.parse(bad)) == {"time": [3]}
    assert touches(ast.parse(good)) == {}
