"""YAML into pydantic models, with errors that say file, line, key, got, wanted and what to do.

`sites/shuiye.yaml:41: agents[0].lines[0].devices[3].unit_id: got 300, want less than or equal to 247.`

All problems of a file are listed at once. Environment and secrets are not expanded here: a secret is named
by the path of its file.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import ConfigError

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 100
"""Levels of a document; ours have ten. Composing one of some ten thousand ends the whole process."""
FLAT_CHARS = 16 * 1024
"""A text this short has too few levels for that, whatever is in it."""
MAX_MERGED = 200_000
"""Keys that `<<` may take over, all together: with anchors in anchors a few lines make billions."""
_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Section(BaseModel):
    """Base of every configuration and profile record: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


M = TypeVar("M", bound=BaseModel)


def load(path: Path, model: type[M], *, within: str | None = None) -> M:
    """Read a YAML file into a model.

    Args:
        path: the file; its name as given stands in every error.
        model: what the document (or its top-level key `within`) must be.
        within: take only this top-level key.

    Raises:
        ConfigError: the file is absent, no YAML, repeats a key, or does not fit the model.
    """
    node = read_node(path)
    data = build(node, path)
    if within is not None:
        node, data = _child(node, within), (data or {}).get(within)
    return validate(data, model, path, node)


def read_node(path: Path) -> yaml.Node | None:
    """The document as a YAML node tree, which knows its lines. Raises ConfigError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: got {path.stat().st_size} bytes, want at most {MAX_FILE_BYTES}.")
        text = path.read_text("utf-8")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: got a byte at {exc.start} that is no UTF-8. Save the file as UTF-8.") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}. Check the path.") from exc
    try:
        if len(text) > FLAT_CHARS:
            _refuse_deep(text, path)
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
        return node
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{path}:{line}: {getattr(exc, 'problem', None) or exc}. Mend the YAML.") from exc


def build(node: yaml.Node | None, path: Path) -> Any:
    """Plain data of a node tree. Raises ConfigError for a key that stands twice or an odd tag."""
    if node is None:
        return None
    loader = yaml.SafeLoader("")
    try:
        _refuse_merging_on(_refuse_repeated_keys(node, path), path)
        return loader.construct_document(node)
    except RecursionError as exc:
        raise ConfigError(f"{path}: got levels within levels without end. Write it out.") from exc
    except (yaml.YAMLError, ValueError, OverflowError) as exc:
        mark = getattr(exc, "problem_mark", None) or node.start_mark
        raise ConfigError(f"{path}:{mark.line + 1}: {getattr(exc, 'problem', None) or exc}.") from exc


def validate(data: Any, model: type[M], path: Path, node: yaml.Node | None) -> M:
    """Fit plain data to the model; `node` gives the lines. Raises ConfigError listing every problem."""
    try:
        return model.model_validate(data)
    except ValidationError as exc:
        lines = []
        for error in exc.errors(include_url=False):
            line, key = locate(node, error["loc"])
            lines.append(f"{path}:{line}: {key or '(document)'}: {_wording(error, model)}")
        raise ConfigError("\n".join(dict.fromkeys(lines))) from exc


def locate(node: yaml.Node | None, loc: tuple[int | str, ...]) -> tuple[int, str]:
    """Line (from 1) and written path of a pydantic location; union tags in it are passed over."""
    key, line = "", (node.start_mark.line + 1) if node is not None else 1
    for step in loc:
        if isinstance(step, int) and isinstance(node, yaml.SequenceNode) and step < len(node.value):
            node, key = node.value[step], f"{key}[{step}]"
        elif isinstance(node, yaml.MappingNode):
            pair = next((p for p in node.value if p[0].value == str(step)), None)
            if pair is None:
                # An absent key is part of the path; a union's tag name is not.
                if step == loc[-1]:
                    key = f"{key}.{step}" if key else str(step)
                continue
            line, node = pair[0].start_mark.line + 1, pair[1]
            key = f"{key}.{step}" if key else str(step)
            continue
        else:
            continue
        line = node.start_mark.line + 1
    return line, key


_SHAPES = {
    "model_type": "keys with values below it. Indent them under it.",
    "model_attributes_type": "keys with values below it. Indent them under it.",
    "dict_type": "keys with values below it. Indent them under it.",
    "list_type": "a list. Put `- ` before each item.",
}


def _wording(error: Any, model: type[BaseModel]) -> str:
    kind, text = error["type"], error["msg"]
    if kind == "missing":
        return "got nothing, want a value. Add the key."
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), sorted(_field_names(model)), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Take it out."
        return f"got an unknown key. {hint}"
    try:
        got = repr(error.get("input"))
    except RecursionError:
        got = "levels without end"
    if kind == "value_error":
        return str(text.removeprefix("Value error, "))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        context = error.get("ctx", {})
        tag, wanted = context.get("tag"), str(context.get("expected_tags", "")).replace("'", "")
        got = f"{tag!r}" if tag is not None else "nothing"
        name = str(context.get("discriminator", "kind")).strip("'")
        return f"got {name} {got}, want one of {wanted or 'the kinds in docs/configuration.md'}. Name one."
    if kind in _SHAPES:
        return f"got {got[:80]}, want {_SHAPES[kind]}"
    for start in ("Input should be a valid ", "Input should be ", "String should "):
        text = text.removeprefix(start)
    return f"got {got[:80]}, want {text[:1].lower()}{text[1:]}. Change it."


def _field_names(model: type[BaseModel], seen: set[type] | None = None) -> set[str]:
    seen = seen if seen is not None else set()
    if model in seen:
        return set()
    seen.add(model)
    names: set[str] = set()
    for name, field in model.model_fields.items():
        names.add(field.alias or name)
        for inner in _models_in(field.annotation):
            names |= _field_names(inner, seen)
    return names


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for arg in getattr(annotation, "__args__", ()):
        found += _models_in(arg)
    return found


def _refuse_repeated_keys(node: yaml.Node, path: Path) -> list[yaml.MappingNode]:
    """Gives the maps that take keys over from others (`<<`)."""
    stack, seen_nodes = [node], set()
    merging = []
    while stack:
        current = stack.pop()
        if id(current) in seen_nodes:
            continue
        seen_nodes.add(id(current))
        if isinstance(current, yaml.SequenceNode):
            stack += current.value
        elif isinstance(current, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in current.value:
                name = str(key.value)
                if name in first:
                    raise ConfigError(
                        f"{path}:{key.start_mark.line + 1}: {name}: got the key twice (first at line {first[name]}), "
                        "want it once. Keep one."
                    )
                first[name] = key.start_mark.line + 1
                stack.append(value)
            if "<<" in first:
                merging.append(current)
    return merging


def _refuse_deep(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ConfigError(f"{path}:{line}: got more than {MAX_DEPTH} levels, want fewer. Mend the YAML.")


def _refuse_merging_on(merging: list[yaml.MappingNode], path: Path) -> None:
    known: dict[int, int] = {}
    if sum(_keys_with_merged(each, known) for each in merging) > MAX_MERGED:
        line = merging[0].start_mark.line + 1
        raise ConfigError(f"{path}:{line}: got more than {MAX_MERGED} keys taken over by `<<`. Write them out.")


def _keys_with_merged(node: yaml.MappingNode, known: dict[int, int]) -> int:
    """Keys of a map with those it takes over. known: of maps that were counted."""
    if id(node) not in known:
        known[id(node)] = 0  # one that takes over itself
        total = len(node.value)
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                total += sum(_keys_with_merged(part, known) for part in parts if isinstance(part, yaml.MappingNode))
        known[id(node)] = total
    return known[id(node)]


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == key), None)
    return None
