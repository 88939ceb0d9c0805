"""From an fx graph to the source of a block's forward, under the base class's own signature.

fx turns a graph into statements. Its signatures lose keyword-only arguments and defaults, so the `def` line
is written here, and the first statements refuse values other than those of the trace.
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import fx, nn

from attn_inject.surgery import elements
from attn_inject.surgery.generated import BASE_FORWARD, PREFIX

SELF = "attn_inject_self"
REST, KEYWORDS = "attn_inject_rest", "attn_inject_keywords"


def base_forward(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Represents the base class's forward in a graph; the generated class binds the name."""
    raise NotImplementedError


def after_graph(base: type[nn.Module], module: str, place: int | str | None) -> fx.Graph:
    """Inputs -> the base class's own forward -> the inserted module -> output.

    Args:
        base: The block's class.
        module: The inserted child's name.
        place: Which element of the output is acted on; None if it is a tensor.
    """
    graph = fx.Graph()
    args: list[fx.Node] = [graph.placeholder(SELF)]
    kwargs: dict[str, Any] = {}
    for parameter in list(called_signature(base.forward).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY:
            kwargs[parameter.name] = graph.placeholder(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            args.append(graph.placeholder(REST))
        elif parameter.kind is parameter.VAR_KEYWORD:
            args.append(graph.placeholder(KEYWORDS))
        else:
            args.append(graph.placeholder(parameter.name))
    output = graph.create_node("call_function", base_forward, tuple(args), kwargs, name="output_of_base")
    if place is None:
        graph.output(graph.call_module(module, (output,)))
        return graph
    if elements.is_field(place):
        element = graph.call_function(getattr, (output, str(place)[1:]))
    else:
        element = graph.call_function(operator.getitem, (output, place))
    gated = graph.call_module(module, (element,))
    graph.output(graph.call_function(elements.replace_element, (output, place, gated)))
    return graph


def called_signature(forward: Callable[..., Any]) -> inspect.Signature:
    """The parameters that a forward accepts: a decorator's own rather than those that it copies.

    `self` comes first, even if a decorator takes it among `*args`.
    """
    signature = inspect.signature(forward, follow_wrapped=False)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        return signature.replace(parameters=[me, *parameters])
    return signature


def replacement_graph(base: type[nn.Module], module: str) -> fx.Graph:
    """First input -> the inserted module -> output, instead of everything that the base class does.

    Args:
        base: The class of the replaced module.
        module: The inserted child's name.
    """
    graph = fx.Graph()
    graph.placeholder(SELF)
    value = graph.placeholder(list(called_signature(base.forward).parameters)[1])
    graph.output(graph.call_module(module, (value,)))
    return graph


def source(
    graph: fx.Graph,
    signature: inspect.Signature,
    specialized: Mapping[str, Any] | None = None,
    constants: Mapping[tuple[str, ...], str] | None = None,
) -> tuple[str, dict[str, Any]]:
    """The source of `forward` for a graph, and the globals that it uses.

    Args:
        graph: Its placeholders are named after the parameters of `signature`.
        signature: Of the base class's forward, `self` first.
        specialized: Arguments that must have the given values at every call.
        constants: Attributes that must have the given values at every call.
    """
    me = next(iter(signature.parameters))
    emitted = graph.python_code(me)
    body = emitted.src[emitted.src.index("\n", emitted.src.index("def forward(")) + 1 :]
    renames = {SELF: me, **_rest_names(signature)}
    names = {"inf": math.inf, "nan": math.nan, **emitted.globals}
    for name, value in list(names.items()):
        if value is base_forward:
            renames[name] = _free(BASE_FORWARD, signature)
            del names[name]
    if SELF in body:
        # fx frees values after their last use, `self` among them.
        body = re.sub(r";  [\w *]+(?: = [\w *]+)* = None$", "", body, flags=re.MULTILINE)
    for old, new in renames.items():
        body = re.sub(rf"\b{re.escape(old)}\b", new, body)
    guards = ""
    for name, value in (specialized or {}).items():
        guard = _free("require_fixed", signature)
        names[guard] = elements.require_specialized
        guards += f"    {guard}({me}, {name!r}, {name}, {value!r})\n"
    for path, value in (constants or {}).items():
        guard = _free("require_constant", signature)
        names[guard] = elements.require_constant
        guards += f"    {guard}({me}, {path!r}, {value!r})\n"
    code = f"def forward({_parameters(signature)}):\n{guards}{body.rstrip()}\n"
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    return code, {name: value for name, value in names.items() if name in used}


def _rest_names(signature: inspect.Signature) -> dict[str, str]:
    names = {}
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names[REST] = f"*{parameter.name}"
        elif parameter.kind is parameter.VAR_KEYWORD:
            names[KEYWORDS] = f"**{parameter.name}"
    return names


def _free(name: str, signature: inspect.Signature) -> str:
    """Our name, or a longer one if the forward has a parameter of that name."""
    return f"{PREFIX}_{name}" if name in signature.parameters else name


def _parameters(signature: inspect.Signature) -> str:
    """The parameter list as text; defaults that are not literals are filled in when the class is made."""
    shown = []
    for parameter in signature.parameters.values():
        default = parameter.default
        if default is not parameter.empty and not _is_literal(default):
            default = _Unshown()
        shown.append(parameter.replace(default=default, annotation=parameter.empty))
    plain = signature.replace(parameters=shown, return_annotation=signature.empty)
    return str(plain)[1:-1]


class _Unshown:
    """A placeholder for a default that has no literal."""

    def __repr__(self) -> str:
        return "..."


def _is_literal(value: Any) -> bool:
    """Whether its `repr` is source code without names; that of a subclass may need some."""
    return value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value))
