"""Generates the small changes of a Python file, on its syntax tree.

A rule yields what a node may be replaced by.  Docstrings, annotations, imports and the text of messages stay.
"""

from __future__ import annotations

import ast
import difflib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bite.mutation import Mutation

#: The name of the operator, and the new node.
Replacement = tuple[str, ast.AST]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}
#: The calls whose arguments are messages for people.
_MESSAGES = (
    "Error",
    "Died",
    "Unavailable",
    "Released",
    "Unsupported",
    "refused",
    "join",
    "format",
    "strerror",
    "_checked",
)
#: The keywords whose values are.
_MESSAGE_KEYWORDS = ("dump", "name")


def changes(source: str, file: str) -> Iterator[tuple[Mutation, ast.Module]]:
    """Yield each change of `source` with the changed tree, which is valid until the next one."""
    tree = ast.parse(source)
    seen: Counter[Mutation] = Counter()
    for place in _places(tree, _Place(tree, "", None)):
        before = ast.unparse(place.statement).splitlines() if place.statement else []
        for operator, new in _replacements(place):
            place.put(ast.fix_missing_locations(ast.copy_location(new, place.node)))
            whole = new if place.node is place.statement else place.statement
            removed, added = _difference(before, ast.unparse(whole).splitlines())
            change = Mutation(file, place.function, operator, removed, added)
            if removed != added:
                line = place.statement.lineno
                yield replace(change, occurrence=seen[change], line=line), tree
                seen[change] += 1
            place.put(place.node)


def mutations(root: Path, file: str) -> list[Mutation]:
    """Return the changes of a file of the checkout `root`."""
    return [change for change, _ in changes((root / file).read_text(), file)]


def mutated(root: Path, change: Mutation) -> ast.Module:
    """Return the tree of the changed file.  Raises `LookupError` if the file has no such change."""
    for one, tree in changes((root / change.file).read_text(), change.file):
        if one.id == change.id:
            return tree
    raise LookupError(f"{change.file} has no change {change.id}")


def _difference(before: list[str], after: list[str]) -> tuple[str, str]:
    """Return the lines removed and the lines added, each joined by blanks."""
    found = list(difflib.ndiff(before, after))
    return tuple(" ".join(line[2:].strip() for line in found if line[0] == sign) for sign in "-+")  # type: ignore


# ------------------------------------------------------------------------------------------------------------- places


class _Place:
    """A node in its parent, in a statement, in a function."""

    def __init__(self, node: Any, function: str, statement: ast.stmt | None, parents: tuple[Any, ...] = ()) -> None:
        self.node, self.function, self.statement, self.parents = node, function, statement, parents
        self.field, self.index = "", -1

    def put(self, new: ast.AST) -> None:
        """Put `new` where the node is in its parent."""
        if self.index < 0:
            setattr(self.parents[-1], self.field, new)
        else:
            getattr(self.parents[-1], self.field)[self.index] = new


def _places(node: ast.AST, above: _Place) -> Iterator[_Place]:
    """Yield the places below `node`, but not those that are not to be changed."""
    for name, value in list(ast.iter_fields(node)):
        if name in _SKIPPED_FIELDS or (isinstance(node, ast.AnnAssign) and name in ("target", "annotation")):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_skipped(child, node):
                continue
            place = _Place(child, _function(child, above.function), above.statement, (*above.parents, node))
            place.field, place.index = name, index if isinstance(value, list) else -1
            if isinstance(child, ast.stmt):
                place.statement = child
            yield place
            yield from _places(child, place)


_SKIPPED_FIELDS = ("annotation", "returns", "decorator_list", "bases", "type_comment", "ctx", "targets", "target")


def _function(node: ast.AST, outer: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return f"{outer}.{node.name}" if outer else node.name
    return outer


def _is_skipped(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal | ast.Assert | ast.JoinedStr):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring, or an ellipsis
        return True
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.ClassDef) and any(_name(base) == "Protocol" for base in node.bases):
        return True
    if isinstance(node, ast.Assign) and any(_name(one).startswith("__") for one in node.targets):
        return True
    if isinstance(node, ast.Call) and _name(node.func) in ("TypeVar", "cast"):
        return True
    return isinstance(node, ast.keyword) and (node.arg in _MESSAGE_KEYWORDS)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


# -------------------------------------------------------------------------------------------------------------- rules


def _replacements(place: _Place) -> Iterator[Replacement]:
    for kind, rule in _RULES:
        if isinstance(place.node, kind):
            yield from rule(place.node, place)


def _compare(node: ast.Compare, place: _Place) -> Iterator[Replacement]:
    for index, operator in enumerate(node.ops):
        for other in _COMPARISONS[type(operator)]:
            ops = [*node.ops[:index], other(), *node.ops[index + 1 :]]
            yield "comparison", ast.Compare(node.left, ops, node.comparators)


def _boolean(node: ast.BoolOp, place: _Place) -> Iterator[Replacement]:
    yield "and/or", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for index in range(len(node.values)):
        rest = [*node.values[:index], *node.values[index + 1 :]]
        yield "operand left out", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _unary(node: ast.UnaryOp, place: _Place) -> Iterator[Replacement]:
    yield "sign or not left out", node.operand


def _binary(node: ast.BinOp, place: _Place) -> Iterator[Replacement]:
    if any(isinstance(one, ast.JoinedStr) or _is_text(one) for one in (node.left, node.right)):
        return
    if isinstance(node.op, ast.BitOr):
        yield from (("operand left out", node.left), ("operand left out", node.right))
        return
    if type(node.op) in _ARITHMETIC:
        yield "arithmetic", ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)
    if isinstance(node.op, ast.BitAnd):
        yield "operand left out", node.left


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _constant(node: ast.Constant, place: _Place) -> Iterator[Replacement]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + 1)
        if value > 1:
            yield "constant", ast.Constant(value - 1 if value < 256 else value ^ (1 << (value.bit_length() - 1)))
    elif isinstance(value, float):
        yield "constant", ast.Constant(value * 10 or 1.0)
    elif isinstance(value, str) and _is_word(value) and not _is_message(place):
        yield "constant", ast.Constant(f"{value}X")


def _is_word(text: str) -> bool:
    return bool(text) and " " not in text


def _is_message(place: _Place) -> bool:
    """True if a text is for people: in a raise, an error, an f-string, or the value of an enumeration."""
    for parent in place.parents:
        if isinstance(parent, ast.Raise | ast.JoinedStr):
            return True
        if isinstance(parent, ast.Call) and _name(parent.func).endswith(_MESSAGES):
            return True
    owner = next((one for one in reversed(place.parents) if isinstance(one, ast.ClassDef | ast.FunctionDef)), None)
    return isinstance(owner, ast.ClassDef)


def _call(node: ast.Call, place: _Place) -> Iterator[Replacement]:
    if _name(node.func).endswith(_MESSAGES):
        return
    for index in range(len(node.args) - 1):
        first, second = node.args[index : index + 2]
        if not any(isinstance(one, ast.Starred) for one in (first, second)):
            args = [*node.args[:index], second, first, *node.args[index + 2 :]]
            yield "arguments swapped", ast.Call(node.func, args, node.keywords)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in _MESSAGE_KEYWORDS:
            keywords = [*node.keywords[:index], *node.keywords[index + 1 :]]
            yield "keyword left out", ast.Call(node.func, node.args, keywords)


def _choice(node: ast.IfExp, place: _Place) -> Iterator[Replacement]:
    yield from (("condition forced", node.body), ("condition forced", node.orelse))


def _display(node: Any, place: _Place) -> Iterator[Replacement]:
    if isinstance(getattr(node, "ctx", None), ast.Store | ast.Del) or isinstance(place.parents[-1], ast.Subscript):
        return
    if len(node.elts) < 2 or (isinstance(place.parents[-1], ast.Compare) is False and _is_returned_pair(node, place)):
        return
    for index in range(len(node.elts)):
        rest = [*node.elts[:index], *node.elts[index + 1 :]]
        made = ast.Set(rest) if isinstance(node, ast.Set) else type(node)(rest, ast.Load())
        yield "element left out", made


def _is_returned_pair(node: Any, place: _Place) -> bool:
    """True if a tuple is taken apart where it goes: another length would fail at once."""
    return (
        isinstance(node, ast.Tuple)
        and isinstance(place.parents[-1], ast.Return | ast.Assign | ast.Call)
        and (not any(isinstance(one, ast.Starred) for one in node.elts) and bool(place.function))
    )


def _mapping(node: ast.Dict, place: _Place) -> Iterator[Replacement]:
    for index in range(len(node.keys)):
        rest = [one for one in range(len(node.keys)) if one != index]
        yield "element left out", ast.Dict([node.keys[one] for one in rest], [node.values[one] for one in rest])


def _comprehension(node: ast.comprehension, place: _Place) -> Iterator[Replacement]:
    for index in range(len(node.ifs)):
        ifs = [*node.ifs[:index], *node.ifs[index + 1 :]]
        yield "condition forced", ast.comprehension(node.target, node.iter, ifs, node.is_async)


def _forced(node: ast.If | ast.While, place: _Place) -> Iterator[Replacement]:
    values = (False,) if isinstance(node, ast.While) else (True, False)
    if isinstance(node, ast.While) and isinstance(node.test, ast.Constant):
        return
    for value in values:
        yield "condition forced", type(node)(ast.Constant(value), node.body, node.orelse)


def _without(node: ast.With, place: _Place) -> Iterator[Replacement]:
    if all(item.optional_vars is None for item in node.items):
        yield "with left out", _block(node.body)


def _block(body: list[ast.stmt]) -> ast.If:
    return ast.If(ast.Constant(True), body, [])


def _try(node: ast.Try, place: _Place) -> Iterator[Replacement]:
    def made(handlers: list[ast.ExceptHandler], final: list[ast.stmt]) -> ast.stmt:
        if handlers or final:
            return ast.Try(node.body, handlers, node.orelse if handlers else [], final)
        return _block([*node.body, *node.orelse])

    if node.finalbody:
        yield "finally left out", made(node.handlers, [])
    for index in range(len(node.handlers)):
        yield "except left out", made([*node.handlers[:index], *node.handlers[index + 1 :]], node.finalbody)


def _statement(node: ast.stmt, place: _Place) -> Iterator[Replacement]:
    yield "statement left out", ast.Pass()


def _assign(node: ast.Assign, place: _Place) -> Iterator[Replacement]:
    if not place.function or isinstance(place.parents[-1], ast.ClassDef):
        return
    if all(isinstance(one, ast.Attribute | ast.Subscript) for one in node.targets) or _is_set_elsewhere(node, place):
        yield "statement left out", ast.Pass()


def _is_set_elsewhere(node: ast.Assign, place: _Place) -> bool:
    """True if leaving the assignment out leaves another value, not an unbound name."""
    function = next((one for one in reversed(place.parents) if isinstance(one, ast.FunctionDef)), None)
    if function is None or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
        return False
    name = node.targets[0].id
    arguments = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
    stores = [one for one in ast.walk(function) if isinstance(one, ast.Name) and one.id == name]
    return name in arguments or any(isinstance(one.ctx, ast.Store) and one.lineno < node.lineno for one in stores)


def _annotated(node: ast.AnnAssign, place: _Place) -> Iterator[Replacement]:
    if isinstance(node.target, ast.Attribute) and node.value is not None:
        yield "statement left out", ast.Pass()


def _augmented(node: ast.AugAssign, place: _Place) -> Iterator[Replacement]:
    yield "statement left out", ast.Pass()
    if type(node.op) in _ARITHMETIC:
        yield "arithmetic", ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value)


def _return(node: ast.Return, place: _Place) -> Iterator[Replacement]:
    if node.value is None:
        yield "statement left out", ast.Pass()
    elif not isinstance(node.value, ast.Constant):
        yield "return value", ast.Return(ast.Constant(None))


def _jump(node: ast.Break | ast.Continue, place: _Place) -> Iterator[Replacement]:
    yield "break/continue", ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    yield "statement left out", ast.Pass()


def _loop(node: ast.For, place: _Place) -> Iterator[Replacement]:
    yield "loop left out", ast.For(node.target, ast.Tuple([], ast.Load()), node.body, node.orelse)


_RULES: tuple[tuple[Any, Callable[[Any, _Place], Iterator[Replacement]]], ...] = (
    (ast.Compare, _compare),
    (ast.BoolOp, _boolean),
    (ast.UnaryOp, _unary),
    (ast.BinOp, _binary),
    (ast.Constant, _constant),
    (ast.Call, _call),
    (ast.IfExp, _choice),
    (ast.Tuple | ast.List | ast.Set, _display),
    (ast.Dict, _mapping),
    (ast.comprehension, _comprehension),
    (ast.If | ast.While, _forced),
    (ast.With, _without),
    (ast.Try, _try),
    (ast.Expr | ast.Raise | ast.Delete, _statement),
    (ast.Assign, _assign),
    (ast.AnnAssign, _annotated),
    (ast.AugAssign, _augmented),
    (ast.Return, _return),
    (ast.Break | ast.Continue, _jump),
    (ast.For, _loop),
)
