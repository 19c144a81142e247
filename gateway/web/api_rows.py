"""Answers that are rows of a register as the ledger has them: their schemas come from the rows themselves."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.alarms.quality import Quality
from gateway.duty.checks import CHECKS
from gateway.duty.equipment import TICK
from gateway.duty.handover import HANDOVER
from gateway.duty.log import LOG
from gateway.duty.readiness_rows import RISK
from gateway.duty.shifts import SHIFT
from gateway.web.api_samples import AT_MS

ROWS: dict[str, type] = {
    "equipment_tick": TICK.form,
    "readiness_accept_risk": RISK.form,
    "risks_withdraw_risk": RISK.form,
    "shifts_write_log": LOG.form,
    "shifts_sign": HANDOVER.form,
    "quality_get": Quality,
}
"""Operation -> what it answers."""
LISTS: dict[str, type] = {
    "shifts_handovers": HANDOVER.form,
    "shifts_checks": CHECKS.form,
    "shifts_log": LOG.form,
}
"""Operation -> what the items of its list are."""
EITHER: dict[str, tuple[type, ...]] = {
    "shifts_sign_on": (SHIFT.form, HANDOVER.form),
    "shifts_sign_off": (SHIFT.form, HANDOVER.form),
}
"""Operation -> what it answers, as it turns out."""
EXAMPLES: dict[str, Any] = {
    "readiness_readiness_of": {
        "site": "shuiye", "note": "Local measure, not an official score.", "from_ms": AT_MS,
        "until_ms": AT_MS + 86_400_000, "ms": {"ready": 86_000_000, "degraded": 400_000},
        "percent": {"ready": 99.54, "degraded": 0.46}, "score": 99.8, "spans": [], "deductions": [],
    },
    "shifts_sheet": {"seen": 41, "alarms": [], "held": [], "hazards": [], "equipment": []},
    "people_export": {"person": 12, "identity": {"name": "Li Lei"}, "changes": [], "rows": []},
    "people_import_people": {"taken": True, "faults": []},
    "roster_import_roster": {"taken": True, "faults": []},
}  # fmt: skip
"""Operation -> an example, where its schema says little. Cut short: real answers have more."""
BODIES: dict[str, tuple[str, str]] = {
    "people_import_people": ("text/csv", "The file, CSV or XLSX, as /people/template.csv lays it out."),
    "roster_import_roster": ("text/csv", "The file, CSV or XLSX, as /roster/template.csv lays it out."),
    "photos_send": ("image/jpeg", "The JPEG, PNG or WebP itself."),
}
"""Operation -> kind of its body, where that is a file, and what it is."""
_TEMPLATE = "#/components/schemas/Row{name}"


def add_rows(operations: dict[str, dict[str, Any]], parts: dict[str, Any]) -> None:
    """Put the schemas of rows in their places. operations: by id; parts: components/schemas."""
    for name, operation in operations.items():
        if name in ROWS:
            _answer(operation)["schema"] = _schema(ROWS[name], parts)
        elif name in EITHER:
            _answer(operation)["schema"] = {"anyOf": [_schema(each, parts) for each in EITHER[name]]}
        elif name in LISTS:
            next_page = {"anyOf": [{"type": "string"}, {"type": "null"}]}
            items = {"type": "array", "items": _schema(LISTS[name], parts)}
            _answer(operation)["schema"] = {
                "type": "object",
                "required": ["items", "next"],
                "properties": {"items": items, "next": next_page},
            }
        if name in EXAMPLES:
            _answer(operation)["example"] = EXAMPLES[name]
        if name in BODIES:
            kind, text = BODIES[name]
            schema = {"type": "string", "format": "binary"}
            example = "" if kind.startswith("image") else "name,phone\n"
            content = {kind: {"schema": schema, "example": example}}
            operation["requestBody"] = {"required": True, "description": text, "content": content}


def _answer(operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation["responses"]["200"]["content"]["application/json"]
    return content


def _schema(form: type, parts: dict[str, Any]) -> dict[str, Any]:
    (schema,), found = msgspec.json.schema_components([form], ref_template=_TEMPLATE)
    parts.update({f"Row{name}": part for name, part in found.items()})
    return schema
