"""The small changes that can be made to a C file, each found in its syntax tree."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import tree_sitter
import tree_sitter_c

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_c.language()))

#: What a value of run time cannot stand in, or what has none.
UNGUARDED = {
    "array_declarator": "the size of an array",
    "attribute_specifier": "an attribute",
    "case_label": "a case label",
    "enumerator_list": "an enumeration",
    "gnu_asm_expression": "assembly",
    "offsetof_expression": "a constant expression",
    "preproc_def": "a macro",
    "preproc_function_def": "a macro",
    "sizeof_expression": "a constant expression",
    "struct_specifier": "a type",
    "type_descriptor": "a type",
}

COMPARISONS = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
#: Also tried where one side is a number: `rc != 0` becomes `rc < 0`.
COMPARISONS_OF_NUMBERS = {"==": ("<=", ">="), "!=": ("<", ">")}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<", "&": "|", "^": "|"}
ASSIGNMENTS = {"+=": "-=", "-=": "+=", "|=": "&=", "&=": "|="}
LOGIC = {"&&": ("||", "1"), "||": ("&&", "0")}
#: A named constant; a memory order is none, because no test could tell it from a stronger one.
CONSTANT = re.compile(r"(?!NULL$|__ATOMIC_|MAP_FAILED$)_*[A-Z][A-Z0-9_]+")
NUMBER = re.compile(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)")


@dataclass(frozen=True)
class Change:
    """A part of a file, from byte `start` to `end`, and what stands there instead."""

    start: int
    end: int
    text: str
    operator: str
    function: str
    is_statement: bool = False
    is_truth: bool = False  # only whether the value is zero matters


@dataclass
class File:
    """What was found in a C file."""

    source: bytes
    changes: list[Change] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # what cannot be changed at run time, and how often


def parse(source: bytes) -> File:
    """Find the changes in the functions of a file."""
    found = File(source)
    for node in _outside(PARSER.parse(source).root_node):
        if node.type == "function_definition":
            body = node.child_by_field_name("body")
            if body is not None:
                found.changes += _Function(_name(node), body, found.skipped).changes(body)
        elif node.type in UNGUARDED:
            found.skipped[UNGUARDED[node.type]] += 1
        elif any(child.type == "init_declarator" for child in node.children):
            found.skipped["a static initialiser"] += 1
    return found


def _outside(node: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    """Yield what stands outside of functions, also between #if and #endif."""
    for child in node.named_children:
        yield child
        if child.type.startswith("preproc_") and child.type not in UNGUARDED:
            yield from _outside(child)


def _text(node: tree_sitter.Node) -> str:
    assert node.text is not None
    return node.text.decode()


def _name(function: tree_sitter.Node) -> str:
    """The name of a function, below the pointers that it returns."""
    node = function
    while (below := node.child_by_field_name("declarator")) is not None:
        node = below
    return _text(node)


def _field(node: tree_sitter.Node, name: str) -> tree_sitter.Node:
    child = node.child_by_field_name(name)
    assert child is not None
    return child


def _condition(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """The condition of a statement or of ?:, without its parentheses."""
    found = node.child_by_field_name("condition")
    if found is not None and found.type == "parenthesized_expression":
        return found.named_children[0]
    return found


class _Function:
    """Finds the changes below one function."""

    def __init__(self, name: str, body: tree_sitter.Node, skipped: Counter[str]) -> None:
        self._name = name
        self._last = body.named_children[-1] if body.named_children else None
        self._skipped = skipped
        self._truths: set[int] = set()  # the nodes of which only the truth matters

    def changes(self, node: tree_sitter.Node) -> Iterator[Change]:
        """Yield the changes of a node and of all below it."""
        if reason := self._why_not(node):
            self._skipped[reason] += 1
            return
        self._note_truths(node)
        if find := getattr(self, f"_{node.type}", None):
            yield from find(node)
        for child in node.named_children:
            yield from self.changes(child)

    def _why_not(self, node: tree_sitter.Node) -> str:
        if any(child.type == "ERROR" or child.is_missing for child in node.children):
            return "not understood by the parser"
        if node.type == "declaration" and any(_text(child) == "static" for child in node.children):
            return "a static initialiser"
        if node.type == "call_expression" and _text(node).startswith(("_Static_assert", "static_assert")):
            return "a constant expression"
        return UNGUARDED.get(node.type, "")

    def _note_truths(self, node: tree_sitter.Node) -> None:
        """Remember the conditions, and the operands of && and ||, before they are visited."""
        condition = _condition(node)
        if condition is not None:
            self._truths.add(condition.id)
        if node.type == "binary_expression" and _text(_field(node, "operator")) in LOGIC:
            self._truths |= {_field(node, "left").id, _field(node, "right").id}

    def _change(self, node: tree_sitter.Node, text: str, operator: str) -> Change:
        """An expression that is replaced."""
        return Change(node.start_byte, node.end_byte, text, operator, self._name, is_truth=node.id in self._truths)

    def _replaced(self, node: tree_sitter.Node, part: tree_sitter.Node, text: str) -> str:
        """The text of a node in which a part is replaced."""
        whole = node.text or b""
        before, after = part.start_byte - node.start_byte, part.end_byte - node.start_byte
        return (whole[:before] + text.encode() + whole[after:]).decode()

    def _left_out(self, node: tree_sitter.Node, operator: str) -> Change:
        return Change(node.start_byte, node.end_byte, "", operator, self._name, is_statement=True)

    # ---- statements ----

    def _expression_statement(self, node: tree_sitter.Node) -> Iterator[Change]:
        if not node.named_children or self._why_not(node.named_children[0]):
            return
        if "__builtin_unreachable" not in _text(node):
            yield self._left_out(node, "statement left out")

    def _return_statement(self, node: tree_sitter.Node) -> Iterator[Change]:
        if node != self._last:
            yield self._left_out(node, "return left out")
        for value in node.named_children:
            if value.type != "number_literal":
                yield self._change(value, "0", "another value returned")
                yield self._change(value, "1", "another value returned")

    def _break_statement(self, node: tree_sitter.Node) -> Iterator[Change]:
        yield self._left_out(node, "break left out")

    def _continue_statement(self, node: tree_sitter.Node) -> Iterator[Change]:
        yield self._left_out(node, "continue left out")

    # ---- conditions ----

    def _if_statement(self, node: tree_sitter.Node) -> Iterator[Change]:
        condition = _condition(node)
        assert condition is not None
        yield self._change(condition, f"!({_text(condition)})", "condition negated")
        yield self._change(condition, "1", "condition forced true")
        yield self._change(condition, "0", "condition forced false")

    _conditional_expression = _if_statement

    def _for_statement(self, node: tree_sitter.Node) -> Iterator[Change]:
        """A loop that does not end says nothing that one left out does not."""
        condition = _condition(node)
        if condition is not None:
            yield self._change(condition, "0", "condition forced false")

    _while_statement = _for_statement
    _do_statement = _for_statement

    # ---- expressions ----

    def _binary_expression(self, node: tree_sitter.Node) -> Iterator[Change]:
        operator = _field(node, "operator")
        left, right = _field(node, "left"), _field(node, "right")
        sign = _text(operator)
        if sign in LOGIC:
            other, neutral = LOGIC[sign]
            yield self._change(node, self._replaced(node, operator, other), "&& and || swapped")
            yield self._change(left, neutral, "operand left out")
            yield self._change(right, neutral, "operand left out")
        elif sign in COMPARISONS:
            yield from self._comparison(node, operator)
        elif sign == "|":
            yield self._change(node, _text(left), "operand left out")
            yield self._change(node, _text(right), "operand left out")
        elif sign in ARITHMETIC:
            yield self._change(node, self._replaced(node, operator, ARITHMETIC[sign]), "operator swapped")

    def _comparison(self, node: tree_sitter.Node, operator: tree_sitter.Node) -> Iterator[Change]:
        sign = _text(operator)
        others = COMPARISONS[sign]
        if "number_literal" in (_field(node, "left").type, _field(node, "right").type):
            others += COMPARISONS_OF_NUMBERS.get(sign, ())
        for other in others:
            yield self._change(node, self._replaced(node, operator, other), "comparison turned")

    def _unary_expression(self, node: tree_sitter.Node) -> Iterator[Change]:
        yield self._change(node, _text(_field(node, "argument")), "operator left out")

    def _update_expression(self, node: tree_sitter.Node) -> Iterator[Change]:
        operator = _field(node, "operator")
        other = "--" if _text(operator) == "++" else "++"
        yield self._change(node, self._replaced(node, operator, other), "operator swapped")

    def _assignment_expression(self, node: tree_sitter.Node) -> Iterator[Change]:
        operator = _field(node, "operator")
        if other := ASSIGNMENTS.get(_text(operator)):
            yield self._change(node, self._replaced(node, operator, other), "operator swapped")

    def _init_declarator(self, node: tree_sitter.Node) -> Iterator[Change]:
        value = _field(node, "value")
        if value.type not in ("number_literal", "initializer_list", "call_expression"):
            yield self._change(value, "0", "initial value left out")

    def _number_literal(self, node: tree_sitter.Node) -> Iterator[Change]:
        parts = NUMBER.fullmatch(_text(node))
        if parts is None or self._is_part_of_an_order(node):
            return
        value = int(parts[1], 16 if parts[1][:2].lower() == "0x" else 8 if parts[1][0] == "0" else 10)
        for other in (value + 1, value - 1):
            yield self._change(node, f"{other}{parts[2]}", "constant one off")

    def _identifier(self, node: tree_sitter.Node) -> Iterator[Change]:
        parent = node.parent
        is_called = parent is not None and parent.type == "call_expression"
        is_flag = parent is not None and parent.type == "binary_expression" and _text(_field(parent, "operator")) == "|"
        if CONSTANT.fullmatch(_text(node)) and not is_called and not is_flag:
            yield self._change(node, f"{_text(node)} + 1", "constant one off")

    def _is_part_of_an_order(self, node: tree_sitter.Node) -> bool:
        """Whether it says how strong an atomic exchange is."""
        call = node.parent.parent if node.parent is not None else None
        return call is not None and "__atomic_compare_exchange" in _text(call).partition("(")[0]

    # ---- calls ----

    def _call_expression(self, node: tree_sitter.Node) -> Iterator[Change]:
        parent = node.parent
        if parent is not None and parent.type in ("init_declarator", "assignment_expression", "argument_list"):
            yield self._change(node, "0", "call left out")
        for first, second in itertools.pairwise(_field(node, "arguments").named_children):
            if _text(first) != _text(second) and "__ATOMIC_" not in _text(second):
                yield self._change(node, self._swapped(node, first, second), "arguments swapped")

    def _swapped(self, node: tree_sitter.Node, first: tree_sitter.Node, second: tree_sitter.Node) -> str:
        """The text of a call in which two neighbouring arguments have changed places."""
        whole, start = node.text or b"", node.start_byte
        between = whole[first.end_byte - start : second.start_byte - start].decode()
        left, right = whole[: first.start_byte - start].decode(), whole[second.end_byte - start :].decode()
        return f"{left}{_text(second)}{between}{_text(first)}{right}"
