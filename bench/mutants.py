"""Mutation testing: one small fault at a time is put into a module, and the tests beside it must notice.

Each mutant runs in a process forked from one that has imported everything that is not ours, so that it starts in
milliseconds; the module is compiled from its changed tree when the tests first import it, and no file is written. A
mutant is killed when a test fails, when an import fails, or when the tests take far longer than they do on the whole
program; it survives when every test passes. Comments name no exceptions: a mutant that cannot be told from the
original counts as a survivor.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_ENGINE = (
    "tests/rules/test_phases*.py",
    "tests/rules/test_engine*.py",
    "tests/rules/test_packs.py",
    "tests/rules/test_causes*.py",
)
TARGETS: dict[str, tuple[str, ...]] = {
    "gateway/ingest/order.py": ("tests/gateway/test_order.py",),
    "gateway/alarms/lifecycle.py": ("tests/gateway/test_lifecycle.py",),
    "rules/phases.py": _ENGINE,
    "rules/engine.py": _ENGINE,
}
"""Module -> the tests that answer for it, as patterns; run in this order, so what fails soonest stands first."""
_OURS = ("contract", "rules", "edge_agents", "gateway", "simulators", "cli", "tests")
GOAL = 0.85
"""Share that must be killed."""
PATIENCE = 4.0
"""A mutant has this many times as long as the tests take on the whole program, and `GRACE_S` more."""
GRACE_S = 10.0
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
    """One fault. apply: puts it into the tree it was made from."""

    path: str
    line: int
    what: str
    apply: Callable[[], None]


class Verdict(NamedTuple):
    """What became of it. by: killed | slow | survived."""

    mutant: Mutant
    by: str
    seconds: float


def campaign(
    targets: dict[str, tuple[str, ...]], jobs: int, limit: int | None, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the mutants of every target. `limit`: at most so many a module, drawn with `seed`."""
    _import_the_others()
    report: dict[str, Any] = {"modules": {}, "survivors": []}
    killed = total = 0
    for path, patterns in targets.items():
        tests = tuple(str(found) for pattern in patterns for found in sorted(Path().glob(pattern)))
        tree = ast.parse(Path(path).read_text("utf-8"))
        mutants = list(mutants_of(path, tree))
        chance = random.Random(seed)
        chosen = mutants if limit is None else sorted(chance.sample(mutants, min(limit, len(mutants))), key=_place)
        whole_s = _whole(tests)
        say(f"{path}: {len(chosen)} of {len(mutants)} mutants; {' '.join(tests)} take {whole_s:.1f} s")
        verdicts = list(_run_all(tree, chosen, tests, PATIENCE * whole_s + GRACE_S, jobs, say))
        survivors = [v for v in verdicts if v.by == "survived"]
        gone = len(verdicts) - len(survivors)
        killed, total = killed + gone, total + len(verdicts)
        report["modules"][path] = {"mutants": len(verdicts), "killed": gone, "share": round(gone / len(verdicts), 3)}
        report["survivors"] += [{"at": f"{path}:{v.mutant.line}", "what": v.mutant.what} for v in survivors]
    report["share"] = round(killed / total, 3)
    return report


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
    for node in _code(tree):
        line = getattr(node, "lineno", 0)
        for what, apply in _faults(node):
            yield Mutant(path, line, what, apply)


def _code(node: ast.AST) -> Iterator[ast.AST]:
    for name, field in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and not isinstance(node, ast.Call):
            continue
        for child in field if isinstance(field, list) else [field]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Assert | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.Assign) and any(
                isinstance(t, ast.Name) and t.id[:2] == "__" for t in child.targets
            ):
                continue  # __slots__, __all__
            if isinstance(child, ast.Subscript) and isinstance(child.value, ast.Name) and child.value.id == "Literal":
                continue  # a type
            if isinstance(child, ast.AnnAssign) and child.value is None:
                continue
            yield child
            yield from _code(child)


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


def _place(mutant: Mutant) -> tuple[str, int]:
    return mutant.path, mutant.line


# --- running them ----------------------------------------------------------------------------------------------------


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from a tree instead of from its file."""

    def __init__(self, path: str, tree: ast.Module) -> None:
        self._name = path.removesuffix(".py").replace("/", ".")
        self._path = path
        self._tree = tree

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=str(Path(self._path).resolve()))

    def exec_module(self, module: ModuleType) -> None:
        code = compile(ast.fix_missing_locations(self._tree), str(Path(self._path).resolve()), "exec")
        exec(code, module.__dict__)  # that is what loading a module is


def _import_the_others() -> None:
    """Everything heavy that is not ours, once, so that every fork has it."""
    import hypothesis
    import msgspec  # noqa: F401  # imported for the forks
    import pydantic  # noqa: F401  # imported for the forks
    import pytest  # noqa: F401  # imported for the forks
    import yaml  # noqa: F401  # imported for the forks

    hypothesis.settings.register_profile("mutants", derandomize=True, database=None)
    hypothesis.settings.load_profile("mutants")


def _run_all(
    tree: ast.Module,
    mutants: Sequence[Mutant],
    tests: tuple[str, ...],
    most_s: float,
    jobs: int,
    say: Callable[[str], None],
) -> Iterator[Verdict]:
    waiting, running = list(reversed(mutants)), dict[int, tuple[Mutant, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_fork(tree, mutant, tests)] = (mutant, time.monotonic())
        for pid, (mutant, began_s) in list(running.items()):
            took_s = time.monotonic() - began_s
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and took_s > most_s:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            elif not done:
                continue
            del running[pid]
            by = "slow" if not done else "survived" if status == 0 else "killed"
            if by == "survived":
                say(f"  survived {mutant.path}:{mutant.line}: {mutant.what}")
            yield Verdict(mutant, by, took_s)
        time.sleep(0.01)


def _fork(tree: ast.Module, mutant: Mutant | None, tests: tuple[str, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    with contextlib.suppress(BaseException):  # whatever ends it, this process must end here
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]  # the command line has imported some
        if mutant is not None:
            mutant.apply()
            sys.meta_path.insert(0, _Changed(mutant.path, tree))
        sink = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(sink, stream)
        import pytest

        # Hypothesis was imported ahead of pytest, on purpose.
        calm = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        status = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *calm, *tests]))
    os._exit(status)


def _whole(tests: tuple[str, ...]) -> float:
    """How long the tests take on the whole program.

    Raises:
        SystemExit: they fail without any fault put in.
    """
    began_s = time.monotonic()
    _, status = os.waitpid(_fork(ast.Module([], []), None, tests), 0)
    if status != 0:
        raise SystemExit(f"{' '.join(tests)}: got failures without any mutant, want none. Mend the tests first.")
    return time.monotonic() - began_s
