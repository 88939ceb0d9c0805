"""The traced body of one block, for the placements that rewrite it.

Children are opaque. Arguments are free, except those that decide control flow: the trace is *specialized* to
an argument's recorded value if it differs without the argument, or with it as a proxy. `x is not None` on a
proxy silently takes the "not None" branch, so failing to trace is not a test for this.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from attn_inject.models.clone import to_meta
from attn_inject.surgery.generated import is_generated, own_class
from attn_inject.surgery.same_body import difference_of, first_line, peculiarity

SPECIALIZABLE = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class Body:
    """The traced body of a block.

    Attributes:
        graph: Its placeholders are named after the parameters of the forward.
        specialized: Arguments that the graph is specialized to.
    """

    graph: fx.Graph
    specialized: Mapping[str, Any]


class _BlockTracer(fx.Tracer):
    """Traces one module's own forward, specialized to some arguments."""

    def __init__(self, specialized: Mapping[str, Any]) -> None:
        super().__init__(autowrap_functions=_untraced_functions(), param_shapes_constant=True)
        self._fixed = specialized

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Every child is a closed box."""
        return True

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Placeholders for free arguments, values for the others; keyword-only ones keep their kind."""
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for parameter in list(inspect.signature(root_fn).parameters.values())[1:]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"its forward takes {parameter}")
            if parameter.name in self._fixed:
                value: Any = self._fixed[parameter.name]
            else:
                value = self.create_proxy("placeholder", parameter.name, (), {})
            if parameter.kind is parameter.KEYWORD_ONLY:
                keywords[parameter.name] = value
            else:
                positional.append(value)
        root = self.root
        return lambda: root_fn(root, *positional, **keywords), []


def _untraced_functions() -> tuple[Callable[..., Any], ...]:
    """timm's list of functions that must stay calls; empty if timm is not loaded."""
    if "timm" not in sys.modules:
        return ()
    from timm.layers import get_notrace_functions

    return tuple(get_notrace_functions())


def trace(block: nn.Module, specialized: Mapping[str, Any]) -> fx.Graph:
    """The graph of a block's own forward, specialized to some arguments.

    Raises:
        Exception: Whatever the body raises for a proxy.
    """
    return _BlockTracer(specialized).trace(block)


def trace_body(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Body | str:
    """The body of a block as it ran with `args` and `kwargs`, or the reason why it has none.

    Args:
        block: The block; copies of it are traced and run, since both may change it.
        args: Positional arguments of the recorded call.
        kwargs: Keyword arguments of the recorded call.
    """
    if attribute := changing_attribute(type(block)):
        return f"its forward branches on self.{attribute}, which another of its methods changes"
    body = _traced(to_meta(block), args, kwargs)
    if isinstance(body, str):
        return peculiarity(block, args, kwargs) or body
    return difference_of(block, body.graph, args, kwargs) or body


def _traced(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Body | str:
    values = recorded_values(block, args, kwargs)
    specialized = {name: value for name, value in values.items() if isinstance(value, SPECIALIZABLE)}
    try:
        known = {name for name, _ in _tensors_of(block)}
        recorded, reference = specialized, trace(block, specialized)
        if any(node.op == "get_attr" and node.target not in known for node in reference.nodes):
            return "its forward creates a tensor, which a rewritten body would keep as a constant"
        for name in list(specialized):
            fewer = {key: value for key, value in specialized.items() if key != name}
            if _are_free(block, reference, recorded, fewer):
                specialized = fewer
        body = Body(trace(block, specialized), specialized)
        if not _same_in_training(block, body):
            return "it computes differently in training and in evaluation"
        if odd := [name for name, value in specialized.items() if type(value) not in SPECIALIZABLE]:
            kind = type(specialized[odd[0]]).__name__
            return f"its forward reads {odd[0]}, a {kind}, whose value a rewritten body cannot keep"
    except Exception as error:
        return f"torch.fx cannot trace its body ({first_line(error)})"
    return body


def _tensors_of(block: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor that a module and its inner modules hold by name, including plain attributes."""
    for prefix, module in block.named_modules():
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            if isinstance(value, torch.Tensor):
                yield f"{prefix}.{name}".lstrip("."), value


def recorded_values(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a recorded call by parameter, defaults included."""
    bound = inspect.signature(block.forward).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _are_free(
    block: nn.Module, reference: fx.Graph, recorded: Mapping[str, Any], specialized: Mapping[str, Any]
) -> bool:
    """Whether the other recorded arguments, as proxies, only stand where their values stand in the graph."""
    free = {name: value for name, value in recorded.items() if name not in specialized}
    try:
        return _calls(trace(block, specialized), free) == _calls(reference, {})
    except Exception:
        return False


def _same_in_training(block: nn.Module, body: Body) -> bool:
    was_training = block.training
    try:
        block.train(not was_training)
        other = trace(block, body.specialized)
    finally:
        block.train(was_training)
    return str(other) == str(body.graph)


def _calls(graph: fx.Graph, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What a graph calls and with what; a result by its place, an argument by its value or else its name."""
    known: dict[fx.Node, Any] = {}
    calls = []
    for node in graph.nodes:
        if node.op == "placeholder":
            known[node] = values.get(node.target, f"argument {node.target}")
        else:
            args, kwargs = fx.node.map_aggregate(
                (node.args, node.kwargs), lambda item: known[item] if isinstance(item, fx.Node) else item
            )
            calls.append((node.op, str(node.target), args, kwargs))
            known[node] = f"result {len(calls)}"
    return calls


def changing_attribute(cls: type[nn.Module]) -> str | None:
    """An attribute that decides control flow in a class's forward and that another method assigns, if any.

    Such a block (`reparam_conv` of RepVGG) runs another body after `reparameterize()`, unlike a
    traced body.
    """
    cls = own_class(cls) if is_generated(cls) else cls
    tested = _attributes(cls, "forward", tests_only=True)
    if not tested:
        return None
    for name, member in inspect.getmembers(cls, inspect.isfunction):
        if name in ("__init__", "forward") or member.__module__.startswith("torch.nn.modules"):
            continue
        if changed := tested & _attributes(cls, name, tests_only=False):
            return min(changed)
    return None


def _attributes(cls: type[nn.Module], method: str, *, tests_only: bool) -> set[str]:
    """Attributes of self that a method tests in an `if`, or that it assigns."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(cls, method))))
    except (OSError, TypeError, SyntaxError):
        return set()
    roots: list[ast.AST] = [tree]
    if tests_only:
        roots = [node.test for node in ast.walk(tree) if isinstance(node, ast.If | ast.IfExp)]
    wanted = ast.Load if tests_only else ast.Store
    return {
        node.attr
        for root in roots
        for node in ast.walk(root)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and isinstance(node.ctx, wanted)
    }


def node_values(graph: fx.Graph, block: nn.Module, values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensor of every node of a traced body, run on the recorded (meta) arguments."""
    seen: dict[str, torch.Tensor] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                seen[n.name] = result
            return result

    order = [values[node.target] for node in graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        Recorder(block, graph=graph, garbage_collect_values=False).run(*order)
    return seen
