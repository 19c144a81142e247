"""An example for every schema of the API: from the examples of its fields, else by their names, else by their types."""

from __future__ import annotations

from typing import Any

AT_MS = 1_764_460_800_000
"""2025-11-30 00:00 UTC: the moment of all examples."""
NAMED: dict[str, Any] = {
    "site": "shuiye",
    "device": "hydrant-01",
    "agent": "edge1",
    "point": "shuiye/hydrant-01/pressure_kpa",
    "subject": "shuiye/hydrant-01/pressure_kpa",
    "rule": "hydrant-pressure-low",
    "title": "1号消火栓 Hydrant 1",
    "title_zh": "1号消火栓",
    "title_en": "Hydrant 1",
    "name": "duty",
    "person": 3,
    "people": [3],
    "post": "control",
    "shift": "08:00",
    "area": "shuiye-town",
    "plan": "daily",
    "spot": "gate",
    "item": "helmet",
    "note": "On site.",
    "reason": "Works on the main.",
    "text": "Smoke at the east gate.",
    "until_ms": AT_MS + 3_600_000,
    "to_ms": AT_MS + 3_600_000,
    "month": "2025-11",
    "period": "2025-11",
    "severity": "warning",
    "next": None,
    "after": "Wzdd",
    "limit": 100,
    "pin": "4729",
    "role": "duty",
    "state": "open",
    "actor": "duty",
    "who": "duty",
    "zh": "1号消火栓",
    "en": "Hydrant 1",
    "first": "2025-11-30",
    "days": 7,
    "token": "Jv3kQ0cW8sY",
    "photo": "",
    "level": "general",
}
_BY_ENDING = (("_ms", AT_MS), ("_id", 7), ("_pct", 98.4), ("_zh", "水冶"), ("_en", "Shuiye"))
_DEEP = 6


def sample(schema: dict[str, Any], parts: dict[str, Any], name: str = "", deep: int = 0) -> Any:
    """A value that fits the schema. parts: components/schemas, for references. name: of the field it is for."""
    if "$ref" in schema:
        return sample(parts[schema["$ref"].rpartition("/")[2]], parts, name, deep + 1)
    if "example" in schema:
        return schema["example"]
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return NAMED[name] if NAMED.get(name) in schema["enum"] else schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return _one_of(schema[choice], parts, name, deep)
    if schema.get("default") not in (None, "", []) and "properties" not in schema:
        return schema["default"]
    return _by_type(schema, parts, name, deep)


def _one_of(choices: list[dict[str, Any]], parts: dict[str, Any], name: str, deep: int) -> Any:
    nullable = any(each.get("type") == "null" for each in choices)
    if nullable and (deep > _DEEP or (name in NAMED and NAMED[name] is None)):
        return None
    return sample(next(each for each in choices if each.get("type") != "null"), parts, name, deep)


def _by_type(schema: dict[str, Any], parts: dict[str, Any], name: str, deep: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        if "properties" in schema:
            return {key: sample(of, parts, key, deep + 1) for key, of in schema["properties"].items()}
        more = schema.get("additionalProperties")
        return {"control": sample(more, parts, "", deep + 1)} if isinstance(more, dict) and more else {}
    if kind == "array":
        return _array(schema, parts, name, deep)
    return _plain(schema, name)


def _array(schema: dict[str, Any], parts: dict[str, Any], name: str, deep: int) -> Any:
    if isinstance(NAMED.get(name), list) and "$ref" not in schema.get("items", {}) and not _is_object(schema):
        return NAMED[name]
    if "prefixItems" in schema:
        return [sample(each, parts, "", deep + 1) for each in schema["prefixItems"]]
    if deep > _DEEP:
        return []
    singular = name.removesuffix("s")
    return [sample(schema.get("items", {}), parts, singular, deep + 1)] * max(1, schema.get("minItems", 1))


def _is_object(schema: dict[str, Any]) -> bool:
    return bool(schema.get("items", {}).get("type") == "object")


def _plain(schema: dict[str, Any], name: str) -> Any:
    kind = schema.get("type")
    known = NAMED.get(name)
    ending = next((value for end, value in _BY_ENDING if name.endswith(end)), None)
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        for value in (known, ending):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return int(value) if kind == "integer" else value
        least = schema.get("minimum", 1)
        return max(least, min(1, schema.get("maximum", 1)))
    if kind == "string":
        return _text(schema, name, known, ending)
    return known


def _text(schema: dict[str, Any], name: str, known: Any, ending: Any) -> str:
    form = schema.get("format")
    if form == "date":
        return "2025-11-30"
    if form == "date-time":
        return "2025-11-30T08:00:00+08:00"
    if form == "binary":
        return ""
    for value in (known, ending):
        if isinstance(value, str) and schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10_000):
            return value
    return (name or "text").ljust(schema.get("minLength", 0), "-")[: schema.get("maxLength", 10_000)]
