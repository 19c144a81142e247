"""Figures for Prometheus, in its text format: what the gateway counts, agents, screens, messages, ledger and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.history.base import HistoryStatus
from gateway.web.alarm_cards import SEVERITIES
from gateway.web.context import Web
from gateway.web.latency import Sample

METRICS: dict[str, tuple[str, str]] = {
    "weizhan_gateway_connected": ("gauge", "1 while the gateway answers; without it only what the pages know is told."),
    "weizhan_gateway_start_time_seconds": ("gauge", "When the gateway started."),
    "weizhan_messages_received_total": ("counter", "Messages taken from the broker."),
    "weizhan_messages_passed_total": ("counter", "Messages committed or known already."),
    "weizhan_messages_dropped_total": ("counter", "Messages given up, by reason; their agents send them again."),
    "weizhan_messages_pending": ("gauge", "Messages between received and passed."),
    "weizhan_queue_messages": ("gauge", "Messages that wait, by lane."),
    "weizhan_readings_stored_total": ("counter", "Readings committed to the ledger."),
    "weizhan_commits_total": ("counter", "Transactions of the ledger."),
    "weizhan_ledger_fault": ("gauge", "1 while the ledger cannot be written."),
    "weizhan_broker_connected": ("gauge", "1 while the gateway is connected to the broker."),
    "weizhan_broker_connects_total": ("counter", "Connections to the broker since the start."),
    "weizhan_history_received_total": ("counter", "Rows taken for the history."),
    "weizhan_history_passed_total": ("counter", "Rows kept by the history."),
    "weizhan_history_dropped_total": ("counter", "Rows the history refused, by reason; they stay in the ledger."),
    "weizhan_history_errors_total": ("counter", "Tries of the history that failed."),
    "weizhan_history_lag_seconds": ("gauge", "How far the history is behind the ledger."),
    "weizhan_history_bytes": ("gauge", "Size of the history; absent where the store does not tell."),
    "weizhan_notifications_total": ("counter", "Messages to people by how they went."),
    "weizhan_notifications_pending": ("gauge", "Messages to people that wait."),
    "weizhan_agent_connected": ("gauge", "1 while an agent is connected."),
    "weizhan_agent_heard_seconds": ("gauge", "Seconds since an agent was heard."),
    "weizhan_agent_outbox_batches": ("gauge", "Batches that wait in an agent's outbox, by lane."),
    "weizhan_agent_clock_offset_seconds": ("gauge", "An agent's clock minus the gateway's."),
    "weizhan_alarms_active": ("gauge", "Alarms whose condition holds, by severity."),
    "weizhan_alarms_waiting": ("gauge", "Alarms nobody acknowledged, by severity."),
    "weizhan_alarm_to_screen_seconds": ("histogram", "From measured to told to the screens, of alarms not told late."),
    "weizhan_streams": ("gauge", "Live streams that are open."),
    "weizhan_streams_dropped_total": ("counter", "Live streams cut off because they did not keep up."),
    "weizhan_streams_refused_total": ("counter", "Live streams that were asked for and not given."),
    "weizhan_ledger_bytes": ("gauge", "Size of the ledger's file."),
    "weizhan_disk_free_bytes": ("gauge", "Free space where the ledger lies."),
}
"""Name -> (type, what it is). The page docs/api.md lists them."""


def web_samples(web: Web, history: HistoryStatus | None) -> Iterator[Sample]:
    """What the web process knows by itself."""
    picture, now_ms = web.picture, web.now_ms()
    yield Sample("weizhan_gateway_connected", picture.connected)
    for agent in picture.agents.values():
        labels = {"site": agent.site, "agent": agent.agent}
        yield Sample("weizhan_agent_connected", agent.online and picture.connected, labels)
        yield Sample("weizhan_agent_heard_seconds", max(0, now_ms - agent.heard_ms) / 1000, labels)
        if agent.clock_offset_ms is not None:
            yield Sample("weizhan_agent_clock_offset_seconds", agent.clock_offset_ms / 1000, labels)
        outbox = agent.state.get("outbox") if isinstance(agent.state, dict) else None
        for lane in ("alarm", "telemetry"):
            waiting = outbox.get(lane) if isinstance(outbox, dict) else None
            if isinstance(waiting, (int, float)):
                yield Sample("weizhan_agent_outbox_batches", waiting, {**labels, "lane": lane})
    alarms = list(picture.alarms.values())
    for severity in SEVERITIES:
        mine = [alarm for alarm in alarms if alarm.severity == severity]
        yield Sample("weizhan_alarms_active", sum(alarm.active for alarm in mine), {"severity": severity})
        waits = sum(alarm.state in ("unacknowledged", "returned_unacknowledged") for alarm in mine)
        yield Sample("weizhan_alarms_waiting", waits, {"severity": severity})
    yield from web.latency.samples()
    yield Sample("weizhan_streams", web.hub.screens)
    yield Sample("weizhan_streams_dropped_total", web.hub.dropped)
    yield Sample("weizhan_streams_refused_total", web.hub.refused)
    if history is not None and history.bytes is not None:
        yield Sample("weizhan_history_bytes", history.bytes)
    path = web.ledger.path
    if path.exists():
        yield Sample("weizhan_ledger_bytes", path.stat().st_size)
        yield Sample("weizhan_disk_free_bytes", shutil.disk_usage(path.parent).free)


def gateway_samples(status: Mapping[str, Any]) -> Iterator[Sample]:
    """What the gateway says in its `status`."""
    yield Sample("weizhan_gateway_start_time_seconds", status["started_ms"] / 1000)
    yield Sample("weizhan_messages_received_total", status["received"])
    yield Sample("weizhan_messages_passed_total", status["passed"])
    for reason, count in sorted(status["dropped"].items()):
        yield Sample("weizhan_messages_dropped_total", count, {"reason": str(reason)})
    yield Sample("weizhan_messages_pending", status["pending"])
    for lane, count in status["queued"].items():
        yield Sample("weizhan_queue_messages", count, {"lane": lane})
    yield Sample("weizhan_readings_stored_total", status["readings_stored"])
    yield Sample("weizhan_commits_total", status["commits"])
    yield Sample("weizhan_ledger_fault", status["ledger_fault"] is not None)
    yield Sample("weizhan_broker_connected", status["broker"]["connected"])
    yield Sample("weizhan_broker_connects_total", status["broker"]["connects"])
    history = status["history"]
    yield Sample("weizhan_history_received_total", history["received"])
    yield Sample("weizhan_history_passed_total", history["passed"])
    yield Sample("weizhan_history_dropped_total", history["refused"], {"reason": "refused"})
    yield Sample("weizhan_history_errors_total", history["errors"])
    yield Sample("weizhan_history_lag_seconds", history["lag_s"])
    for result, count in sorted(status["notify"]["counts"].items()):
        yield Sample("weizhan_notifications_total", count, {"result": str(result)})
    yield Sample("weizhan_notifications_pending", status["notify"]["pending"])


def exposition(samples: Iterable[Sample]) -> str:
    """The text Prometheus reads (format 0.0.4): by name, each with its help and type."""
    by_name: dict[str, list[Sample]] = {name: [] for name in METRICS}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines = []
    for name, found in by_name.items():
        if found:
            kind, text = METRICS[name]
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{each.suffix}{_labels(each.labels)} {float(each.value):.15g}" for each in found]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escaped = {k: v.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for k, v in labels.items()}
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"
