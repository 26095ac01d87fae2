"""A module as what it defines: the digest of each definition, and the names that each refers to. Nothing is imported to find out.

`fingerprint` follows these references from a rule's script, so that a rule depends on the functions and constants that it can reach and not
on their neighbours in the same file. Where a reference cannot be followed by reading (a name made at run time, a decorator of our own that
may register what it decorates, code that runs at import) it counts for more, never for less.
"""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

ALWAYS = ""
"""Name under which the statements stand that run whenever a module is imported."""
OWN = "tuningfork"
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DOCUMENTED = (ast.Module, *_DEFINITIONS)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SEES_ALL = {"globals", "eval", "exec", "__import__"}  # what names these reach cannot be read off the source


@dataclass
class Module:
    """What is known of a source file.

    Attributes
    ----------
    units
        Name -> [digest, references] of every definition at the top level, and of `ALWAYS`.
    bound
        Name -> what an import at the top level binds to it, such as ``tables`` -> ``tuningfork.tables``.
    imports
        Own modules, or things in them, that are imported when this one is.
    """

    units: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    bound: dict[str, str] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)


def read_module(source: str, where: str = "<source>") -> Module:
    """Read a source file.

    References in `Module.units` are dotted. One that starts with a point is a name of the same module (``.tables.read``), one with a star
    (``*``) means everything in it; the others come from imports inside functions.
    """
    tree = ast.parse(source, where)
    found = Module()
    parts: dict[str, list[ast.stmt]] = {ALWAYS: []}
    for statement in _without_docstrings(tree.body):
        if _is_for_types(statement):
            continue
        if isinstance(statement, ast.Import | ast.ImportFrom):
            found.bound |= dict(_bindings(statement))
            found.imports += _imported(statement)
        elif names := _defines(statement):
            for name in names:
                parts.setdefault(name, []).append(statement)
            if _acts(statement):
                parts[ALWAYS].append(statement)
        else:
            parts[ALWAYS].append(statement)
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    found.bound |= dict(_bindings(inner))
                    found.imports += _imported(inner)
                for name in _defines(inner) if isinstance(inner, ast.stmt) else ():
                    parts.setdefault(name, []).append(statement)
    for name, statements in parts.items():
        found.units[name] = (_digest(statements), _references(statements))
    digest, references = found.units.pop(ALWAYS)
    references = sorted({*references, *(f".{name}" for statement in _registering(tree, found.bound) for name in _defines(statement))})
    if parts[ALWAYS] or references:
        found.units[ALWAYS] = (digest, references)
    found.imports = sorted(set(found.imports))
    return found


def _registering(tree: ast.Module, bound: dict[str, str]) -> list[ast.stmt]:
    """Definitions that a decorator of our own may hand to somebody else, and values that a call of our own computes at import."""
    own = {name for name, origin in bound.items() if origin.split(".")[0] == OWN}
    own |= {statement.name for statement in tree.body if isinstance(statement, _DEFINITIONS)}
    found: list[ast.stmt] = []
    for statement in tree.body:
        if isinstance(statement, _DEFINITIONS):
            calls: list[ast.expr] = list(statement.decorator_list)
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value:
            calls = [node.func for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
        else:
            continue
        if any(_root(call) in own for call in calls):
            found.append(statement)
    return found


def _root(node: ast.expr) -> str | None:
    """``a`` of ``a.b.c(...)``."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else None


def _defines(statement: ast.stmt) -> list[str]:
    if isinstance(statement, _DEFINITIONS):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def _acts(statement: ast.stmt) -> bool:
    """Whether an assignment changes something that exists already (``TABLE["a"] = 1``)."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return any(not isinstance(node, ast.Name | ast.Tuple | ast.List | ast.Starred) for node in targets)


def _is_for_types(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.If) or statement.orelse:
        return False
    test = statement.test
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING")


def _bindings(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            if statement.module and not statement.level:
                yield alias.asname or alias.name, f"{statement.module}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            yield alias.name.split(".")[0], alias.name.split(".")[0]


def _imported(statement: ast.Import | ast.ImportFrom) -> list[str]:
    # "from tuningfork.stamps import store" names a module or a thing in one
    names = [origin for _, origin in _bindings(statement)] if isinstance(statement, ast.ImportFrom) else [alias.name for alias in statement.names]
    return [name for name in names if name.split(".")[0] == OWN]


def _references(statements: Sequence[ast.stmt]) -> list[str]:
    visitor = _References()
    for statement in statements:
        visitor.visit(statement)
    return sorted(visitor.found)


class _References(ast.NodeVisitor):
    """Names that code refers to and does not bind itself. Annotations of functions are left out: nothing here reads them at run time."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.scopes: list[dict[str, str | None]] = []  # name -> where a local import takes it from, None for a variable

    def _refer(self, name: str, attributes: Sequence[str] = ()) -> None:
        if name in _SEES_ALL:
            self.found.add(".*")
        dotted = "".join(f".{attribute}" for attribute in attributes)
        for scope in reversed(self.scopes):
            if name in scope:
                if scope[name] is not None:
                    self.found.add(f"{scope[name]}{dotted}")
                return
        self.found.add(f".{name}{dotted}")

    def visit_Name(self, node: ast.Name) -> None:
        self._refer(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        attributes, base = [node.attr], node.value
        while isinstance(base, ast.Attribute):
            attributes.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name):
            self._refer(base.id, attributes[::-1])
        else:
            self.visit(base)

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        outside: list[Any] = [*arguments.defaults, *(default for default in arguments.kw_defaults if default), *getattr(node, "decorator_list", [])]
        for part in outside:
            self.visit(part)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        body = node.body if isinstance(node.body, list) else [node.body]
        self.scopes.append({**{argument.arg: None for argument in every if argument}, **_locals(body)})
        for part in body:
            self.visit(part)
        self.scopes.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _visit_function

    def _visit_comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)
        self.scopes.append({name: None for generator in node.generators for name in _stored(generator.target)})
        for generator in node.generators:
            for part in (generator.target, *generator.ifs):
                self.visit(part)
        for generator in node.generators[1:]:
            self.visit(generator.iter)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self.scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _visit_comprehension

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Annotations count in classes (dataclasses read them) and at the top level, not for variables of a function."""
        for part in (node.target, node.value, None if self.scopes else node.annotation):
            if part is not None:
                self.visit(part)

    def _visit_import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.found |= {f"!{name}" for name in _imported(node)}

    visit_Import = visit_ImportFrom = _visit_import


def _stored(node: ast.AST) -> list[str]:
    return [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]


def _locals(body: Sequence[ast.AST]) -> dict[str, str | None]:
    """Names that a function's body binds, not looking into functions, classes and comprehensions inside (but at what these assign with ``:=``)."""
    found: dict[str, str | None] = {}
    elsewhere: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere |= set(node.names)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= dict(_bindings(node))
        elif isinstance(node, _DEFINITIONS):
            found.setdefault(node.name, None)
            continue
        elif isinstance(node, ast.Lambda):
            continue
        elif isinstance(node, _COMPREHENSIONS):
            for inner in ast.walk(node):
                if isinstance(inner, ast.NamedExpr):
                    found.setdefault(inner.target.id, None)
            continue
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.setdefault(node.id, None)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.setdefault(node.name, None)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.setdefault(node.rest, None)
        waiting += ast.iter_child_nodes(node)
    return {name: origin for name, origin in found.items() if name not in elsewhere}


def _digest(statements: Sequence[ast.stmt]) -> str:
    words: list[str] = []
    for statement in statements:
        _spell(statement, words)
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _spell(node: ast.AST, words: list[str]) -> None:
    """Append a tree's canonical words, without docstrings and without what is empty.

    Unlike `ast.dump` this reads the same under every Python version that we support (3.13 dumps empty fields otherwise than 3.11), and in half
    the time: whether a name is loaded or stored follows from where it stands.
    """
    words.append(type(node).__name__)
    for name in node._fields:
        if name in ("ctx", "type_comment", "kind"):
            continue
        value = getattr(node, name, None)
        if value is None or value == []:
            continue
        words.append(name)
        if isinstance(value, list):
            if name == "body" and isinstance(node, _DOCUMENTED):
                value = _without_docstrings(value)
            for item in value:
                if isinstance(item, ast.AST):
                    _spell(item, words)
                else:
                    words.append(repr(item))
            words.append("]")
        elif isinstance(value, ast.AST):
            _spell(value, words)
        else:
            words.append(repr(value))


def _without_docstrings(body: list[ast.stmt]) -> list[ast.stmt]:
    """Without texts that stand alone: the docstring, and those that describe the constant above them."""
    return [part for part in body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant) and isinstance(part.value.value, str))]
