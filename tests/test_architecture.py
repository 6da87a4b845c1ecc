"""The rules that keep the package readable (see CONTRIBUTING.md), checked on its source as text."""

from __future__ import annotations

import ast
import functools
import graphlib
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

FLOORS = (  # lowest first: a room may import itself and lower floors, nothing beside or above it
    ("_errors", "_keys", "_modes"),
    ("_wiring", "specs", "functional", "distributions", "nets"),
    ("nn",),
    ("modules", "envs", "buffers", "objectives", "flow"),
    ("collectors", "export", "interop", "testing"),
    ("train",),
    ("distributed",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What is not imported, and the rooms that may import it all the same.
BANNED = {"tensordict.nn": ["interop"], "torchrl": ["interop"], "pickle": []}
WRITER = "keywork.train._files"  # the one module that writes files
KEYS = "keywork._keys"  # the one module that spells the well-known keys
ARGUMENTS = {"distributions": {"loc", "scale", "logits"}}  # where such words are names of arguments, as torch has them
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 8
MAX_MEDIAN, MAX_HEART_FILE, MAX_HEART = 150, 250, 1000


@dataclass(frozen=True)
class Module:
    name: str
    source: str
    is_package: bool = False

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def room(self) -> str:
        return self.name.partition(".")[2].partition(".")[0]

    @property
    def lines(self) -> int:
        return self.source.count("\n")


@functools.cache
def package() -> dict[str, Module]:
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        *parents, stem = path.relative_to(SRC).with_suffix("").parts
        name = ".".join(parents if stem == "__init__" else [*parents, stem])
        found[name] = Module(name, path.read_text(encoding="utf-8"), is_package=stem == "__init__")
    return found


def imports(module: Module, node: ast.AST | None = None, *, lazy: bool = True) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each import: `a.b` for `from a import b`, whether or not that is a module.

    Without the lazy ones: only what runs when the module itself is imported.
    """
    for child in ast.iter_child_nodes(node or module.tree):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        never = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            parts = module.name.split(".")
            keep = len(parts) - child.level + module.is_package
            base = ".".join([*parts[:keep], *filter(None, [child.module])]) if child.level else child.module
            yield from ((child.lineno, f"{base}.{alias.name}") for alias in child.names)
        elif lazy or not (later or never):
            yield from imports(module, child, lazy=lazy)


def imports_point_down(module: Module) -> Iterator[str]:
    floor = FLOOR_OF.get(module.room)
    if module.room and floor is None:
        yield f"the room '{module.room}' stands on no floor: give it one in FLOORS"
    for line, target in imports(module):
        top, _, rest = target.partition(".")
        room = rest.partition(".")[0]
        if top == "keywork" and floor is not None and room != module.room and FLOOR_OF.get(room, -1) >= floor:
            yield f"line {line} imports {target}, which is not below '{module.room}'"


def imports_nothing_banned(module: Module) -> Iterator[str]:
    for line, target in imports(module):
        for bad, rooms in BANNED.items():
            if f"{target}.".startswith(f"{bad}.") and module.room not in rooms:
                yield f"line {line} imports {target}"


def is_small(module: Module) -> Iterator[str]:
    limit = MAX_HEART_FILE if module.room == "nn" else MAX_FILE
    if module.lines > limit:
        yield f"{module.lines} lines, more than {limit}: does it hold two ideas?"


def has_small_functions(module: Module) -> Iterator[str]:
    methods = {f for c in ast.walk(module.tree) if isinstance(c, ast.ClassDef) for f in c.body}
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        doc = ast.get_docstring(node, clean=False)  # which does not count
        length = node.end_lineno - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
        if length > MAX_FUNCTION:
            yield f"line {node.lineno}: {node.name} runs {length} lines, more than {MAX_FUNCTION}"
        static = "staticmethod" in map(ast.unparse, node.decorator_list)
        names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len(names) - (node in methods and not static)
        if count > MAX_PARAMETERS:
            yield f"line {node.lineno}: {node.name} takes {count} parameters, more than {MAX_PARAMETERS}"


def neither_prints_nor_writes(module: Module) -> Iterator[str]:
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        last = name.rpartition(".")[2]
        given = [*call.args[:2], *(keyword.value for keyword in call.keywords)]
        texts = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        writing = last == "open" and any(re.fullmatch(r"[wxa][bt+]*|r[bt]*\+[bt]*", text) for text in texts)
        if name == "print":
            yield f"line {call.lineno} prints: raise, log, or hand the text to the command line"
        writing = writing or last in {"write_text", "write_bytes", "save_file"} or name == "torch.save"
        if writing and module.name != WRITER:
            yield f"line {call.lineno} writes a file with {name}: only {WRITER} does that"


@functools.cache
def known_keys() -> dict[str, str]:
    """The constants of KEYS by their text; not the underscore of dropped outputs."""
    constants = re.findall(r'^([A-Z_]+) = "(\w\w+)"$', package()[KEYS].source, re.MULTILINE)
    return {text: name for name, text in constants}


def spells_no_known_key(module: Module) -> Iterator[str]:
    words = known_keys().keys() - ARGUMENTS.get(module.room, set())
    pending: list[ast.AST] = [] if module.name == KEYS else [module.tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Constant) and node.value in words:
            yield f"line {node.lineno} spells {node.value!r}: use {KEYS}.{known_keys()[node.value]}"
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not docstring and not isinstance(node, ast.JoinedStr):
            pending.extend(ast.iter_child_nodes(node))


Rule = Callable[[Module], Iterator[str]]
# Each rule, and the shortest source that breaks it.
RULES: list[tuple[Rule, str]] = [
    (imports_point_down, "from keywork.modules import Actor"),
    (imports_nothing_banned, "def f():\n    from tensordict.nn import TensorDictModule"),
    (is_small, "pass\n" * (MAX_FILE + 1)),
    (has_small_functions, "def f():\n" + "    pass\n" * MAX_FUNCTION),
    (has_small_functions, "class A:\n    def f(self, a, b, c, d, *, e, f, g, h, i): ..."),
    (neither_prints_nor_writes, "print()"),
    (neither_prints_nor_writes, "open(path, 'w')"),
    (spells_no_known_key, "x = td['next', 'state_value']"),
]


@pytest.mark.parametrize("rule", dict.fromkeys(rule for rule, _ in RULES), ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    findings = [f"{module.name}: {finding}" for module in package().values() for finding in rule(module)]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(("rule", "source"), RULES)
def test_the_rule_sees_what_breaks_it(rule: Rule, source: str) -> None:
    assert list(rule(Module("keywork.nn._sinner", source)))


def test_no_module_is_imported_by_what_it_imports() -> None:
    graph = {}
    for module in package().values():
        targets = [target for _, target in imports(module, lazy=False)]
        resolved = {t if t in package() else t.rpartition(".")[0] for t in targets}
        graph[module.name] = (resolved & package().keys()) - {module.name}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the modules of the cycle
    assert graph


def test_the_heart_can_be_read_in_one_sitting() -> None:
    assert sum(module.lines for module in package().values() if module.room == "nn") < MAX_HEART
    assert statistics.median(module.lines for module in package().values()) < MAX_MEDIAN
