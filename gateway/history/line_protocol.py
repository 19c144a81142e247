"""Rows as InfluxDB line protocol, times in milliseconds.

    reading,device=hydrant-1,point=pressure_kpa,site=shuiye value=412.5,quality="good" 1795311743000

One field carries the value by its kind: `value` (float), `truth` (boolean) or `text` (string); none of them when
nothing was measured. `quality` is always there. Source: InfluxDB 1.8 reference, "line protocol", special characters.
"""

from __future__ import annotations

from functools import lru_cache

from gateway.history.base import Row

MEASUREMENT = "reading"
_TAG = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_STRING = str.maketrans({"\\": "\\\\", '"': '\\"'})


def encode(row: Row) -> str:
    """The row as one line, without a line end. Raises ValueError for a name that no tag can hold."""
    value = row.value
    fields = f'quality="{row.quality.translate(_STRING)}"'
    # bool first: a truth is an int to Python.
    if isinstance(value, bool):
        fields = f"truth={'t' if value else 'f'},{fields}"
    elif isinstance(value, float | int):
        fields = f"value={float(value)!r},{fields}"
    elif value is not None:
        fields = f'text="{value.translate(_STRING)}",{fields}'
    return f"{_series(row.site, row.device, row.point)} {fields} {row.observed_ms}"


@lru_cache(maxsize=32_768)
def _series(site: str, device: str, point: str) -> str:
    # Tags in order of name, as the server keeps them.
    return f"{MEASUREMENT},device={escape_tag(device)},point={escape_tag(point)},site={escape_tag(site)}"


def escape_tag(text: str) -> str:
    """A tag's value. Raises ValueError: empty, a line end inside, or a backslash at the end have no form there."""
    if not text or text.endswith("\\") or "\n" in text or "\r" in text:
        raise ValueError(f"tag: got {text!r}, want text without line ends or a backslash at its end.")
    return text.translate(_TAG)
