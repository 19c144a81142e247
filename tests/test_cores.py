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
    "socket": {"socket.socket", "socket.create_connection", "aiomqtt.Client", "httpx.", "serial."},
    "file": {
        "open", "os.open", "sqlite3.connect", ".read_text", ".read_bytes", ".write_text", ".write_bytes", ".unlink",
        ".mkdir", "tempfile.", "subprocess.",
    },
}  # fmt: skip
SHELLS = {
    # The web process and its pages: no alarm passes through it.
    "gateway/web/": "time chance loop socket file",
    # Composition roots, owners of a line, a connection, a file or a task; what they decide stands in cores.
    "contract/configfile.py": "file",
    "contract/mqtt.py": "file",
    "contract/point_map.py": "file",
    "rules/golden.py": "file",
    "edge_agents/agent.py": "loop file",
    "edge_agents/bus/line.py": "loop",
    "edge_agents/bus/listening.py": "chance loop",
    "edge_agents/bus/modbus.py": "loop",
    "edge_agents/bus/mqtt.py": "chance loop socket file",
    "edge_agents/bus/panel.py": "chance loop socket",
    "edge_agents/bus/panel_session.py": "loop",
    "edge_agents/bus/panel_tcp.py": "loop",
    "edge_agents/bus/printer.py": "chance loop socket",
    "edge_agents/clock.py": "time chance file",
    "edge_agents/drivers/gb26875/line.py": "loop",
    "edge_agents/drivers/gb26875/owed.py": "loop",
    "edge_agents/field/learned.py": "file",
    "edge_agents/field/wire.py": "loop socket file",
    "edge_agents/foreign/refused.py": "loop file",
    "edge_agents/mqtt_client.py": "loop",
    "edge_agents/outbox.py": "loop",
    "edge_agents/outbox_file.py": "file",
    "edge_agents/outside.py": "chance",
    "edge_agents/panels/tables.py": "file",
    "edge_agents/panels/text.py": "file",
    "edge_agents/recorder.py": "loop",
    "edge_agents/salvage.py": "file",
    "edge_agents/site_watch.py": "loop",
    "edge_agents/uplink.py": "loop",
    "gateway/app.py": "time loop",
    "gateway/backup/make.py": "file",
    "gateway/backup/restore.py": "file",
    "gateway/backup/sealing.py": "chance file",
    "gateway/backup/service.py": "loop file",
    "gateway/control/client.py": "loop",
    "gateway/control/server.py": "loop socket file",
    "gateway/exports/checking.py": "file",
    "gateway/exports/desk.py": "chance loop file",
    "gateway/exports/pdf_file.py": "file",
    "gateway/exports/render.py": "file",
    "gateway/forgetting.py": "loop",
    "gateway/history/embedded.py": "file",
    "gateway/history/influx1.py": "socket",
    "gateway/history/influx2.py": "socket",
    "gateway/history/mirror.py": "chance loop",
    "gateway/history/remote.py": "socket",
    "gateway/history/settings.py": "file",
    "gateway/ingest/subscriber.py": "chance loop",
    "gateway/ledger/audit.py": "file",
    "gateway/ledger/personal.py": "loop",
    "gateway/ledger/reader.py": "file",
    "gateway/ledger/secret.py": "chance",
    "gateway/ledger/store.py": "file",
    "gateway/ledger/upgrade.py": "file",
    "gateway/notify/receipts.py": "chance file",
    "gateway/notify/sender.py": "loop",
    "gateway/notify/state.py": "chance",
    "gateway/notify/targets.py": "loop socket",
    "gateway/own_facts.py": "loop file",
    "gateway/patience.py": "loop",
    "gateway/pipeline.py": "loop",
    "gateway/reload.py": "loop",
    "gateway/retention.py": "loop",
    "gateway/sites/changer.py": "loop file",
    "gateway/sites/checking.py": "file",
    "gateway/sites/register.py": "file",
    "gateway/upward/feeder.py": "loop",
    "gateway/upward/link.py": "chance loop",
    "gateway/upward/outbox.py": "loop",
    "gateway/upward/service.py": "loop",
    "gateway/users.py": "chance file",
}


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
    return {path: set(kinds.split()) for path, kinds in SHELLS.items()}


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
