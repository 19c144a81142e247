"""I9: everything that has a bound keeps it, on disk and in memory, whatever came in and however long it waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_agents.outbox_file import WINDOW_ROWS
from edge_agents.recorder import TELEMETRY_BOUND
from gateway.control.feed import QUEUE, QUEUE_BYTES
from gateway.ingest.subscriber import REQUESTS
from gateway.pipeline import ASIDE, ASKS, GROUP
from gateway.turn import QUARANTINE_SOURCES
from rules.horizon import MOST_HELD
from rules.wiring import MOST_POINTS

if TYPE_CHECKING:
    from tests.world.nodes import AgentProcess, GatewayProcess
    from tests.world.world import World

SENT_BYTES = 12 * 1024
"""What may have been sent already stays beside the budget: 32 batches, small ones here."""
OUTBOX_LOG_BYTES, LEDGER_LOG_BYTES = 8 * 1024 * 1024, 32 * 1024 * 1024
"""A write-ahead log is brought into its file every 4 MiB, 16 MiB; the last transaction may pass that."""
REFUSED_ROWS = 1000
TIMERS = 2000
"""Far more than this station has things to wait for: a collection that only grows passes it within two hours."""
Held = tuple[str, int, int]
"""What it is, how much is held, how much may be."""


def broken_limit(world: World) -> str | None:
    """The first bound that is not kept, in words."""
    for name, agent in world.agents.items():
        if agent.is_up and agent.agent is not None and agent.connection() is not None:
            for what, held, most in _of_agent(world, agent):
                if held > most:
                    return f"{name}: its {what} has {held}, {most} are allowed"
    gateway = world.gateway
    if gateway.is_up and gateway.pipeline is not None and gateway.pipeline._state is not None:
        for what, held, most in _of_gateway(world, gateway):
            if held > most:
                return f"the gateway's {what} has {held}, {most} are allowed"
    return None


def _of_agent(world: World, process: AgentProcess) -> Iterator[Held]:
    connection, agent = process.connection(), process.agent
    assert connection is not None
    assert agent is not None
    ask = connection.execute
    pages, free = (ask(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count"))
    yield "outbox (bytes)", (pages - free) * 4096, world.plan.limits.outbox_bytes + SENT_BYTES
    yield "outbox's log (bytes)", process.disk.log_bytes(), OUTBOX_LOG_BYTES
    yield "refused batches", ask("SELECT count(*) FROM refused").fetchone()[0], REFUSED_ROWS
    recorder = getattr(agent, "recorder", None)
    if recorder is None:
        return  # it is still starting
    yield "reserve of alarms", len(recorder._waiting["alarm"]), process.settings.outbox.reserve_edges
    yield "telemetry in memory", len(recorder._waiting["telemetry"]), TELEMETRY_BOUND
    yield "kept state in memory", len(recorder._keep), TIMERS
    for lane, window in agent.uplink._windows.items():
        yield f"window of {lane}", len(window._in_flight), WINDOW_ROWS
        yield f"digests of {lane}", len(window._digests), 8 * WINDOW_ROWS


def _of_gateway(world: World, process: GatewayProcess) -> Iterator[Held]:
    pipeline, settings = process.pipeline, process.settings
    assert pipeline is not None
    intake, state, most = pipeline._intake, pipeline.working, world.plan.limits.queue_messages
    for name, lane in (("alarm", intake.alarm), ("telemetry", intake.telemetry)):
        # What was taken and not judged stands at the front again.
        yield f"{name} queue", len(lane), most + min(most, GROUP)
        yield f"{name} queue (bytes)", lane._held, 2 * settings.queue_bytes
    yield "queue of what is tried again", len(intake.again), 2 * GROUP
    yield "queue of commands", len(pipeline._asks), ASKS
    yield "list of what later stages refused", len(pipeline._aside), ASIDE
    yield "list of refused sources", len(state.quarantine), QUARANTINE_SOURCES + 1
    yield "list of unknown devices", len(state.unknown), settings.unknown_devices
    yield "ledger's log (bytes)", process.disk.log_bytes(), LEDGER_LOG_BYTES
    if process.subscriber is not None:
        yield "queue of requests", len(process.subscriber._requests), REQUESTS
        # One for each life of an outbox that was heard of.
        yield "receipts to be sent", len(process.subscriber._receipts), len(state.watermarks) + 2
    yield "feed of a screen", process.screen._lines.qsize(), QUEUE
    yield "feed of a screen (bytes)", process.screen._held, QUEUE_BYTES
    engine = state.engine._world
    yield "held back readings", max((len(course.held) for course in engine.courses.values()), default=0), MOST_HELD
    yield "points of a device", max((len(device.points) for device in engine.devices.values()), default=0), MOST_POINTS
    yield "timers of silence", len(state.engine._presence._timers), TIMERS
    yield "timers of rules", len(state.engine._progress._wakes), TIMERS
    yield "times of messages", len(state.notification.planner._heap), TIMERS
    yield "open tests of ways", len(state.notification.proofs._asked_ms), 100
