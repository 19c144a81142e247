"""Mutation testing: one small fault at a time is put into a module, and the tests beside it must notice.

The tests are collected and run once on the whole program, which shows how long each takes and which lines it runs.
Each mutant is then a fork of that process, in which the functions and constants of the module are replaced by those
of its changed tree (no file is written), and the tests that run the changed line follow, shortest first. A mutant is
killed when a test fails, when the module cannot be loaded, or when the tests take far longer than they do on the whole
program; it survives when every test passes, and also when no test runs the line.

Mutants that cannot be told from the original are named in `SAME`, each with its reason, and are not run.
"""

from __future__ import annotations

import ast
import copy
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_ENGINE = (
    "tests/rules/test_engine*.py",
    "tests/rules/test_phases*.py",
    "tests/rules/test_causes*.py",
    "tests/rules/test_keeping*.py",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "gateway/ingest/order.py": ("tests/gateway/test_order.py",),
    "gateway/alarms/lifecycle.py": ("tests/gateway/test_lifecycle.py",),
    "rules/engine.py": _ENGINE,
    "rules/phases.py": _ENGINE,
    "rules/presence.py": _ENGINE,
    "rules/keeping.py": _ENGINE,
    "rules/restoring.py": _ENGINE,
    "rules/causes.py": _ENGINE,
    "rules/horizon.py": _ENGINE,
}
"""Module -> the tests that answer for it, as patterns."""
SAME: dict[str, dict[tuple[str, str], str]] = {
    "gateway/ingest/order.py": {
        ("if first <= following and not batch.gaps:", "<= -> <"): (
            "without gaps and with first = W+1 the general way below gives the same: taken, nothing lost"
        ),
        ("if batch.oldest <= following or first > batch.oldest:", "<= -> <"): (
            "there first > W+1, so oldest = W+1 makes the second half true as well"
        ),
    },
    "rules/engine.py": {
        ("self._wiring.agent(site.site, agent.id)", "self._wiring.agent(site.site, agent.id) left out"): (
            "every agent has a line, and the own device of that makes the agent as well"
        ),
    },
    "rules/phases.py": {
        ("return False", "return False -> None"): "its caller only asks whether it is true",
        (
            'flap, event, count = watch.rule.flap, "raise", 1',
            "'raise' -> 'raise~'",
        ): "the word is only compared with flap",
    },
    "rules/presence.py": {
        ("self._counter = 0", "0 -> 1"): "only the order of the numbers counts",
        ('self._phases.step(watch, False, True, now_ms, {"heard_ms": now_ms})', "True -> False"): (
            "the phase is pending there, which ends when the condition does not hold, over or not"
        ),
        ("self._phases.step(watch, False, True, now_ms, inputs)", "True -> False"): "likewise",
        ("return False", "return False -> None"): "its caller only asks whether it is true",
    },
    "rules/horizon.py": {
        **{
            (
                'PHASE, AGAIN, REVIEW, CALM, LOOK, STILL = "phase", "again", "review", "calm", "look", "still"',
                f"{word!r} -> {word + '~'!r}",
            ): "the word is only compared with itself, and is not written down"
            for word in ("phase", "again", "calm", "still")
        },
        ("self._counter += 1", "1 -> 2"): "only the order of the numbers counts",
        ("if due_ms < course.wake_ms:", "< -> <="): "a second wake at one moment finds nothing to do",
        ("self._fire(watch, STILL, 0, now_ms)", "0 -> 1"): "that timer has no number",
    },
}
"""Module -> (text of the line, fault) -> why it changes nothing that anybody could see."""
GOAL = 0.85
"""Share that must be killed."""
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
_SIGNS: dict[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in", ast.And: "and", ast.Or: "or", ast.Add: "+", ast.Sub: "-",
    ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.BitOr: "|", ast.BitAnd: "&",
}  # fmt: skip
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One fault. end: last line of what it changes. apply: puts it into the tree it was made from. is_loading: the
    line runs when the module is loaded, not in a function."""

    path: str
    line: int
    end: int
    what: str
    apply: Callable[[], None]
    is_loading: bool


def campaign(
    targets: dict[str, tuple[str, ...]], jobs: int, limit: int | None, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the mutants of every target. `limit`: at most so many a module, drawn with `seed`.

    Raises:
        SystemExit: the tests fail without any fault put in.
    """
    report: dict[str, Any] = {"modules": {}, "survivors": []}
    by_tests: dict[tuple[str, ...], list[str]] = {}
    for path, patterns in targets.items():
        tests = tuple(str(found) for pattern in patterns for found in sorted(Path().glob(pattern)))
        by_tests.setdefault(tests, []).append(path)
    for tests, paths in by_tests.items():
        trees = {path: ast.parse(Path(path).read_text("utf-8")) for path in paths}
        chosen = [mutant for path in paths for mutant in _drawn(path, trees[path], limit, seed)]
        verdicts: dict[int, str] = {}
        for number, by in _verdicts(trees, chosen, tests, jobs):
            verdicts[number] = by
            if by == "survived":
                say(f"  survived {chosen[number].path}:{chosen[number].line}: {chosen[number].what}")
        for path in paths:
            mine = [(chosen[n], by) for n, by in sorted(verdicts.items()) if chosen[n].path == path]
            left = [mutant for mutant, by in mine if by == "survived"]
            gone = len(mine) - len(left)
            report["modules"][path] = {"mutants": len(mine), "killed": gone, "share": round(gone / len(mine), 3)}
            report["survivors"] += [{"at": f"{path}:{mutant.line}", "what": mutant.what} for mutant in left]
            say(f"{path}: {gone} of {len(mine)} killed")
    found = report["modules"].values()
    report["share"] = round(sum(each["killed"] for each in found) / sum(each["mutants"] for each in found), 3)
    return report


def _drawn(path: str, tree: ast.Module, limit: int | None, seed: int) -> list[Mutant]:
    lines, same = Path(path).read_text("utf-8").splitlines(), SAME.get(path, {})
    mutants = [m for m in mutants_of(path, tree) if (lines[m.line - 1].strip(), m.what) not in same]
    if limit is not None and limit < len(mutants):
        mutants = random.Random(seed).sample(mutants, limit)
    return sorted(mutants, key=lambda mutant: mutant.line)


def _verdicts(
    trees: dict[str, ast.Module], mutants: list[Mutant], tests: tuple[str, ...], jobs: int
) -> Iterator[tuple[int, str]]:
    """(number of the mutant, killed | slow | survived) from a process that runs the tests."""
    mine, its = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(mine)
        from bench.mutants_run import run

        run(trees, mutants, tests, jobs, its)
    os.close(its)
    with os.fdopen(mine) as verdicts:
        for line in verdicts:
            number, by = json.loads(line)
            yield number, by
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(tests)}: got failures without any mutant, want none. Mend the tests first.")


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = ["| module | mutants | killed | share |", "|---|---|---|---|"]
    for path, found in report["modules"].items():
        lines.append(f"| {path} | {found['mutants']} | {found['killed']} | {found['share']:.1%} |")
    lines += ["", f"Killed in all: {report['share']:.1%}", ""]
    lines += [f"survived {each['at']}: {each['what']}" for each in report["survivors"]]
    return "\n".join(lines)


# --- making them -----------------------------------------------------------------------------------------------------


def mutants_of(path: str, tree: ast.Module) -> Iterator[Mutant]:
    """Every fault this tool knows for a module. Types, docstrings, asserts and slots are left alone."""
    for node, inside in _code(tree, inside=False):
        line = getattr(node, "lineno", 0)
        for what, apply in _faults(node):
            yield Mutant(path, line, getattr(node, "end_lineno", line), what, apply, not inside)


def _code(node: ast.AST, *, inside: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that may be changed, and whether it is inside a function."""
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        within = inside or (isinstance(node, ast.FunctionDef) and name == "body")
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not _is_left_alone(child):
                yield child, within
                yield from _code(child, inside=within)


def _is_left_alone(node: ast.AST) -> bool:
    match node:
        case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.AnnAssign(value=None):
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.Assign(targets=targets):
            return any(isinstance(each, ast.Name) and each.id[:2] == "__" for each in targets)  # __slots__, __all__
        case ast.Subscript(value=ast.Name(id="Literal")):  # a type
            return True
    return False


def _faults(node: ast.AST) -> Iterator[tuple[str, Callable[[], None]]]:
    """(description, how to put it in) of the faults of one node, its children's apart."""
    match node:
        case ast.Compare(ops=ops):
            for n, op in enumerate(ops):
                if type(op) in _SWAPS:
                    yield _told(op), _put(ops, n, _SWAPS[type(op)]())
        case ast.BoolOp(op=op) | ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _SWAPS:
            yield _told(op), _set(node, "op", _SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"not {_short(operand)} -> {_short(operand)}", _become(node, operand)
        case ast.Constant(value=bool() as value):
            yield f"{value} -> {not value}", _set(node, "value", not value)
        case ast.Constant(value=int() | float() as value):
            yield f"{value} -> {value + 1}", _set(node, "value", value + 1)
        case ast.Constant(value=str() as value) if value:
            yield f"{value!r} -> {value + '~'!r}", _set(node, "value", value + "~")
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.Compare | ast.UnaryOp) or len(getattr(test, "ops", "1")) > 1:
                yield f"if {_short(test)} -> if not", _set(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield f"return {_short(value)} -> None", _set(node, "value", ast.Constant(None))
        case ast.Call(func=ast.Name(id=name)) if name in _TWINS:
            yield f"{name} -> {_TWINS[name]}", _set(node, "func", ast.Name(_TWINS[name], ast.Load()))
        case ast.Expr(value=ast.Call() as call):
            yield f"{_short(call)} left out", _become(node, ast.Pass())
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as target]):
            yield f"{_short(target)} = ... left out", _become(node, ast.Pass())
        case ast.Continue():
            yield "continue -> break", _become(node, ast.Break())
        case ast.Break():
            yield "break -> continue", _become(node, ast.Continue())


def _told(op: ast.AST) -> str:
    return f"{_SIGNS[type(op)]} -> {_SIGNS[_SWAPS[type(op)]]}"


def _put(items: list[Any], n: int, new: ast.AST) -> Callable[[], None]:
    def apply() -> None:
        items[n] = new

    return apply


def _set(node: ast.AST, name: str, new: Any) -> Callable[[], None]:
    return lambda: setattr(node, name, new)


def _become(node: ast.AST, new: ast.AST) -> Callable[[], None]:
    """The node turns into the other one where it stands: its parent need not be known."""

    def apply() -> None:
        replacement = ast.copy_location(copy.copy(new), node)
        node.__class__ = replacement.__class__  # nodes are plain objects with fields
        node.__dict__.update(replacement.__dict__)

    return apply


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
