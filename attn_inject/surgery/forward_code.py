"""The forward of a modified block as text for people, and the same without what was inserted."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping

from torch import nn

from attn_inject.surgery.generated import BASE_FORWARD, PREFIX, base_of, is_generated, own_class
from attn_inject.surgery.inserted import AttnInject


def forward_code(block: nn.Module) -> str:
    """The forward of a modified block, less the statements that only free values.

    If it calls the forward of its base class, and that was generated, too, its code follows.
    """
    return "\n\n".join(ast.unparse(function) for function, _ in _functions(block))


def original_code(block: nn.Module) -> str:
    """The same in the same words without the inserted modules, as the untouched block computes it."""
    innermost = list(_functions(block))[-1][0]
    if any(child.replaced for child in block.children() if isinstance(child, AttnInject)):
        return ast.unparse(_calling_base(innermost))
    return ast.unparse(_without_inserted(innermost))


def called_base(block: nn.Module) -> str:
    """The full name of the function that `base_forward` means in these texts; "" if they do not call it."""
    _, base = list(_functions(block))[-1]
    is_replaced = any(child.replaced for child in block.children() if isinstance(child, AttnInject))
    author = own_class(type(block)) if is_replaced else base
    return "" if author is None else f"{author.__module__}.{author.__qualname__}.forward"


_Function = tuple[ast.FunctionDef, type[nn.Module] | None]


def _functions(block: nn.Module) -> Iterator[_Function]:
    """The forward, and each generated one that it calls as its base's; with the base's class, if called."""
    cls = type(block)
    while is_generated(cls):
        function = ast.parse(vars(cls)["code"]).body[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = [statement for statement in function.body if not _frees(statement)]
        cls = base_of(cls)
        calls_base = any(name.id.endswith(BASE_FORWARD) for name in _names(function))
        yield function, cls if calls_base else None
        if not calls_base:
            return


def _frees(statement: ast.stmt) -> bool:
    """Whether it is `a = b = None`, which fx writes after the last use of a value."""
    is_none = isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
    return is_none and statement.value.value is None  # type: ignore[attr-defined]


def _without_inserted(function: ast.FunctionDef) -> ast.FunctionDef:
    values: dict[str, ast.expr] = {}
    kept: list[ast.stmt] = []
    for statement in function.body:
        statement = _Renamed(values).visit(statement)
        if (value := _inserted_call(statement)) is None:
            kept.append(statement)
        else:
            assert isinstance(statement, ast.Assign)
            values |= {name.id: value for name in statement.targets if isinstance(name, ast.Name)}
    return _with_body(function, kept)


def _inserted_call(statement: ast.stmt) -> ast.expr | None:
    """The argument of `name = self.attn_inject(argument)`, or None for any other statement."""
    call = statement.value if isinstance(statement, ast.Assign) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        return call.args[0] if call.func.attr.startswith(PREFIX) else None
    return None


class _Renamed(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.values.get(node.id, node) if isinstance(node.ctx, ast.Load) else node


def _calling_base(function: ast.FunctionDef) -> ast.FunctionDef:
    """The same signature with the base's own forward as body."""
    given = function.args
    args = [ast.Name(arg.arg) for arg in itertools.chain(given.posonlyargs, given.args)]
    named = [ast.keyword(arg.arg, ast.Name(arg.arg)) for arg in given.kwonlyargs]
    call = ast.Call(ast.Name(BASE_FORWARD), args, named)  # type: ignore[arg-type]
    return _with_body(function, [ast.Return(call)])


def _with_body(function: ast.FunctionDef, body: list[ast.stmt]) -> ast.FunctionDef:
    same = ast.FunctionDef(function.name, function.args, body, [])
    same.lineno = function.lineno
    return same


def _names(function: ast.FunctionDef) -> list[ast.Name]:
    return [node for node in ast.walk(function) if isinstance(node, ast.Name)]
