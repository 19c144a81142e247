"""Points that no profile file names: of every device and line, and of what the system knows of itself."""

from __future__ import annotations

from contract.point import Point

ONLINE = "online"
"""Point every device has beside those of its profile: true while it answers. The agent makes it; alarm lane."""


def _health(
    name: str, zh: str, en: str, deadband: float, least: float | None = None, most: float | None = None
) -> Point:
    limits = None if least is None or most is None else (least, most)
    return Point.model_validate({"name": name, "title": {"zh": zh, "en": en}, "deadband": deadband, "range": limits})


def _count(name: str, zh: str, en: str, least: float = 0) -> Point:
    raw = {"name": name, "title": {"zh": zh, "en": en}, "lane": "alarm", "deadband": 0.5, "range": (least, 1e9)}
    return Point.model_validate(raw)


def _truth(name: str, zh: str, en: str) -> Point:
    return Point.model_validate({"name": name, "title": {"zh": zh, "en": en}, "lane": "alarm", "type": "bit", "bit": 0})


def _word(name: str, zh: str, en: str, *words: str) -> Point:
    raw = {"name": name, "title": {"zh": zh, "en": en}, "lane": "alarm", "type": "state"}
    return Point.model_validate({**raw, "states": dict(enumerate(words))})


def _hop() -> Point:
    return _word(
        "path_hop", "报警通路验证", "Proof of the alarm path", "ok", "answer", "commit", "judge", "send", "receipt"
    )


ONLINE_POINT = _truth(ONLINE, "在线", "Online")


HEALTH_POINTS: tuple[Point, ...] = (
    _health("response_ms", "应答时间", "Answer time", 20.0),
    _health("errors_count", "通信错误次数", "Communication errors", 1.0),
    _health("last_answer_s", "距上次应答", "Since the last good answer", 60.0),
    Point.model_validate({"name": "errors", "title": {"zh": "错误分类", "en": "Errors by kind"}, "text": True}),
)
"""Points every polled device has beside those of its profile: how its line sees it. `response_ms` is the 95th
percentile since the last report; the errors count from the agent's start, `errors` by kind (`no_answer 3, bad_crc 1`).
Telemetry lane, at most one a minute."""


def _told(name: str, zh: str, en: str) -> Point:
    return Point.model_validate({"name": name, "title": {"zh": zh, "en": en}, "text": True})


IDENTITY_POINTS: tuple[Point, ...] = (
    _told("vendor", "制造商", "Maker"),
    _told("product", "产品型号", "Product code"),
    _told("revision", "固件版本", "Firmware revision"),
)
"""What a polled device tells of itself (Modbus Read Device Identification, basic objects 0, 1, 2 in this order), said
when it changes. Bytes that are no printable UTF-8 are shown as `\\xNN`, a backslash too, so that nothing is lost;
padding (NUL, blanks) at the end is not. Without a value: `unknown:refused` (it does not have the function),
`unknown:not_told` (it leaves this object out), `unknown:no_answer`, `unknown:bad_answer`, `unknown:hung_up` (it
closes the connection), `unknown:line_busy` (the line is never idle for as long as it takes to ask)."""
BUILT_IN = {point.name: point for point in (ONLINE_POINT, *HEALTH_POINTS, *IDENTITY_POINTS)}
"""Points the agent makes itself, by name."""
LINE_POINTS: tuple[Point, ...] = (
    _health("busy_pct", "线路占用率", "Share of line time used", 5.0),
    _health("failed_pct", "失败请求占比", "Share of requests that failed", 1.0, 0, 100),
    _health("timeouts_count", "无应答次数", "Requests without an answer", 1.0),
    _health("bad_frames_count", "错误帧次数", "Damaged and foreign frames", 1.0),
    _health("late_count", "迟到应答次数", "Late answers", 1.0),
    _health("retries_count", "重试次数", "Retries", 1.0),
    _health("reconnects_count", "重新连接次数", "Reconnections", 1.0),
    _health("drift_ms", "轮询滞后", "Delay of the schedule", 100.0),
)
"""Points of a line's own health, reported as the device `line-<id>`. Counts are from the agent's start; `busy_pct`,
`failed_pct` (without an answer, or with a damaged one) and `drift_ms` (how late the latest of the reads began) are of
the last minute."""

AGENT_POINTS: tuple[Point, ...] = (
    _health("outbox_count", "待补传批次", "Batches not acknowledged", 50.0, 0, 1e9),
    _health("outbox_age_s", "最早未确认数据", "Age of the oldest unacknowledged data", 60.0, 0, 1e9),
    _health("clock_offset_ms", "时钟偏差", "Clock offset", 200.0, -1e13, 1e13),
    _health("clock_stepped_ms", "时钟跳变", "Clock stepped by", 200.0, -1e13, 1e13),
    Point.model_validate(
        {"name": "proof", "title": {"zh": "通路验证口令", "en": "Proof token"}, "lane": "alarm", "text": True}
    ),
    _hop(),
)
"""Points of an agent, as the device `agent-<id>`. Offset and step: the agent's clock minus the gateway's; a step is the
latest one. `path_hop`: `ok`, or the hop of the last proof that did not happen in time: the agent's answer, the
gateway's commit, the rules, the sending on a channel, the receipt of a person."""
REGISTER_POINTS: tuple[Point, ...] = (
    _word("crew", "在岗人员", "Crew on duty", "ok", "short", "absent", "unqualified"),
    _count("crew_count", "在岗人数", "People on duty"),
    _word("duty_check", "查岗", "Duty check", "ok", "asked", "unanswered"),
    _word("handover", "交接班", "Handover", "ok", "due", "unsigned"),
    _word("shift", "本班时长", "Length of this shift", "ok", "long"),
    _word("roster", "排班", "Roster", "ok", "gap", "double", "unqualified", "long"),
    _count("certificate_days", "证书剩余天数", "Days until a certificate expires", -36500),
    _word("log", "值班记录", "Control-room log", "ok", "overdue"),
    _word("sound", "值班屏声音", "Sound of the duty desk", "ok", "untested", "not_heard"),
    _word("equipment", "站内装备", "Equipment of the station", "ok", "unchecked", "expired", "short"),
    _count("equipment_missing_count", "缺少装备", "Equipment missing"),
    _word("incident", "火情处置", "Incident", "none", "open"),
    _word(
        "response", "1-3-5 分钟响应", "1-3-5 minute response", "ok", "station_late", "neighbours_late", "brigade_late"
    ),
    _count("patrols_overdue_count", "逾期巡查", "Patrols overdue"),
    _count("drills_overdue_count", "逾期演练培训", "Drills and training overdue"),
    _count("hazards_open_count", "未闭合隐患", "Open hazards"),
    _count("hazards_overdue_count", "逾期隐患", "Hazards overdue"),
    _count("hazards_listed_count", "挂牌督办隐患", "Hazards under listed supervision"),
    _count("orders_open_count", "未闭合工单", "Open work orders"),
    _count("orders_overdue_count", "逾期工单", "Work orders overdue"),
    _count("reports_waiting_count", "待核实举报", "Reports of the public to look at"),
    _word("data", "数据新鲜度", "Freshness of the data", "ok", "stale"),
    _word("readiness", "战备状态", "Readiness", "ready", "degraded", "not_ready", "unknown"),
    _health("readiness_pct", "战备得分", "Readiness score", 0.1, 0, 100),
)
"""What the gateway keeps of a site beside its equipment, as the device `register`: duty, crew, equipment of the
station, incidents, patrols, hazards, and what follows from all of it. Points that a site has no use for never speak."""
GATEWAY_POINTS: tuple[Point, ...] = (
    _truth("broker_connected", "消息服务器已连接", "Broker connected"),
    _truth("history_away", "历史库不可用", "History store away"),
    _health("history_lag_s", "历史库滞后", "History behind by", 30.0, 0, 1e9),
    _health("disk_free_pct", "磁盘剩余", "Disk free", 1.0, 0, 100),
    _health("ledger_mb", "台账大小", "Size of the ledger", 10.0, 0, 1e9),
    _health("certificate_days", "证书剩余天数", "Days until a certificate expires", 1.0, -36500, 36500),
    _word("notify_failing", "通知发送", "Sending of notifications", "ok", "failing"),
    _health("quarantine_count", "隔离的消息", "Messages put aside", 1.0, 0, 1e12),
    _health("backup_age_h", "最近备份距今", "Age of the latest backup", 1.0, 0, 1e6),
    _word("backup", "备份", "Backup", "ok", "failed", "damaged"),
    _health("stopped_s", "启动前停机", "Not running before this start", 1.0, 0, 1e10),
    _hop(),
)
"""Points of the gateway, as the device `gateway` of the site `system`. The quarantine counts from its start of time,
`certificate_days` is that of the first certificate to expire (absent without one), `path_hop` as of an agent. Of
backups something is said where daily ones are configured; `failed`: the latest was not made; `damaged`: so verifying
found."""
