"""Counts what one forward costs: fvcore's flops and activations, from one trace of a zero-storage copy."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from fvcore.nn.jit_analysis import JitModelAnalysis
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.cost.cost import Cost
from attn_inject.cost.deduplication import CalledAgainError, Deduplication, above, is_deduplicated, is_within
from attn_inject.cost.elementwise import Tally
from attn_inject.cost.handles import Handle, activation_handles, flop_handles
from attn_inject.cost.shapes_only import ShapesOnly, ValuesNeededError
from attn_inject.cost.tracing import countable_operations
from attn_inject.cost.zero_storage import zero_storage_copy
from attn_inject.errors import ModelError, text_of
from attn_inject.models.clone import uncollected
from attn_inject.models.inputs import ANOTHER_INPUT, Arguments, InputSpec, on_one_sample

# fvcore has no rule for these either, but they only move numbers, so nothing is missed.
_MOVES = frozenset(
    {
        "aten::alias",
        "aten::channel_shuffle",
        "aten::clone",
        "aten::concat",
        "aten::dropout_",
        "aten::empty_like",
        "aten::expand_as",
        "aten::feature_dropout",
        "aten::flip",
        "aten::im2col",
        "aten::index_select",
        "aten::lift_fresh",
        "aten::meshgrid",
        "aten::movedim",
        "aten::one_hot",
        "aten::ones_like",
        "aten::pad",
        "aten::pixel_shuffle",
        "aten::pixel_unshuffle",
        "aten::repeat",
        "aten::repeat_interleave",
        "aten::reshape_as",
        "aten::tile",
        "aten::unflatten",
        "aten::unfold",
    }
)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What one forward costs, and what the figures do not count.

    Attributes:
        cost: Of the whole module.
        uncounted: Arithmetic that fvcore has no rule for, `aten::add`, and how often it ran.
        by_module: The same of every module, its children included, by qualified name; "" is the whole.
        uncountable: Why only the parameters are known, or "".
    """

    cost: Cost
    uncounted: Mapping[str, int] = field(default_factory=dict)
    by_module: Mapping[str, Counted] = field(default_factory=dict)
    uncountable: str = ""

    def plus(self, call: Counted) -> Counted:
        """The same with one more call of a module, which adds no parameters."""
        added = dataclasses.replace(call.cost, params=0)
        uncounted = Counter(self.uncounted) + Counter(call.uncounted)
        return Counted(
            cost=self.cost + added,
            uncounted=by_frequency(uncounted),
        )


def by_frequency(operations: Mapping[str, int]) -> dict[str, int]:
    """Operations and how often they ran, most frequent first, then by name; without those that never did."""
    return {kind: n for kind, n in sorted(operations.items(), key=lambda item: (-item[1], item[0])) if n}


def count(model: nn.Module, inputs: InputSpec) -> Counted:
    """Parameters, flops and activations of one forward of one sample, in eval mode.

    No weights are allocated, whatever the model's size and device; it is counted in float32 on the CPU.
    flops and activations are those of fvcore with the rules of `handles` added: one multiply-add counts
    once. An example input whose batch is known is cut to one sample; another is counted as it is.

    Raises:
        ModelError: The model does not run on this input.
    """
    return on_one_sample(lambda one: _count(model, one.make(batch_size=1)), inputs)


def count_call(module: nn.Module, shape: tuple[int, ...]) -> Counted:
    """The same for a module called with one tensor of `shape`, batch dimension included."""
    return _count(module, ((torch.zeros(shape),), {}))


def _count(model: nn.Module, arguments: Arguments) -> Counted:
    with uncollected():
        try:
            return _count_on_shapes(model, arguments)
        except ValuesNeededError:
            return _count_run(model, arguments, every_block=True, real=True)


def _count_on_shapes(model: nn.Module, arguments: Arguments) -> Counted:
    try:
        return _count_run(model, arguments)
    except CalledAgainError:
        return _count_run(model, arguments, every_block=True)


def _count_run(
    model: nn.Module, arguments: Arguments, *, every_block: bool = False, real: bool = False
) -> Counted:
    """One trace; equal blocks once unless `every_block` is set, on shapes alone unless `real` is."""
    flat = _FlatCall(zero_storage_copy(model, dtype=torch.float32).eval(), arguments)
    analysis = _CostAnalysis(flat, flat.tensors)
    tally = Tally()
    inputs = [tensor for tensor in flat.tensors if tensor.is_floating_point()]
    mode = ShapesOnly(flat.parameters(), flat.buffers(), inputs, tally, real=real)
    # Before anything is hooked, since hooks would make all modules differ.
    deduplication = None if every_block else Deduplication(flat.model, mode, tally)
    tally.watch({name: module for module, name in _first_names(flat.model).items()})
    try:
        with countable_operations(), mode:
            analysis.by_module_and_operator()
    except (ValuesNeededError, CalledAgainError):
        raise
    except Exception as error:
        if (
            deduplication is not None and deduplication.served
        ):  # a block may have stored a value that a later one reads
            raise CalledAgainError from error
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in flat.tensors)
        raise ModelError(
            f"{type(model).__name__} cannot be counted: its forward fails on {shapes}. "
            f"{type(error).__name__}: {text_of(error)}",
            hint=ANOTHER_INPUT,
        ) from error
    counted = _traced(flat.model, analysis, tally)
    if deduplication is not None:
        _require_all_alive(counted, analysis, deduplication)
        for name, first in deduplication.served:
            _add_subtree(counted, name, first)
    return dataclasses.replace(counted[""], by_module=counted)


def _require_all_alive(
    counted: Mapping[str, Counted], analysis: _CostAnalysis, deduplication: Deduplication
) -> None:
    """A trace drops what nothing reads, and then one of two equal blocks has no cost.

    Raises:
        CalledAgainError: This happened, so every block has to be traced.
    """
    firsts = [counted[name] for name in deduplication.firsts]
    dead = any(c.cost.params and not (c.cost.flops or c.cost.activations or c.uncounted) for c in firsts)
    if dead or analysis.stand_ins_alive != len(deduplication.served):
        raise CalledAgainError("a block's output is not used")


def _traced(model: nn.Module, analysis: _CostAnalysis, tally: Tally) -> dict[str, Counted]:
    """What was counted in the trace, by module, in the model's own names."""
    elementwise = tally.by_module()
    nothing = Cost()
    counts = analysis.by_module_and_operator()
    return {
        name: Counted(
            cost=Cost(
                params=sum(parameter.numel() for parameter in module.parameters()),
                flops=int(counts[f"model.{name}".rstrip(".")]["flops"]),
                activations=int(counts[f"model.{name}".rstrip(".")]["activations"]),
            )
            + elementwise.get(name, nothing),
            uncounted=analysis.uncounted(f"model.{name}".rstrip(".")),
        )
        for module, name in _first_names(model).items()
    }


def _add_subtree(counted: dict[str, Counted], name: str, first: str) -> None:
    """Give the call of one block, and all within it, the cost of another one's."""
    whole = counted[first]
    for owner in above(name):
        if owner in counted:
            counted[owner] = counted[owner].plus(whole)
    for inner in [inner for inner in counted if is_within(inner, first)]:
        twin = name + inner[len(first) :]
        counted[twin] = counted[twin].plus(counted[inner])


def _first_names(model: nn.Module) -> dict[nn.Module, str]:
    """Every module and the first of its names, which is where its work is counted."""
    return {module: name for name, module in model.named_modules()}


class _FlatCall(nn.Module):
    """Tensors in, tensors out: `torch.jit.trace` takes no keyword arguments and few kinds of output."""

    def __init__(self, model: nn.Module, arguments: Arguments) -> None:
        super().__init__()
        self.model = model
        leaves, self._spec = pytree.tree_flatten(arguments)
        self._leaves = tuple(_as_float32(leaf) for leaf in leaves)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(leaf for leaf in self._leaves if isinstance(leaf, torch.Tensor))

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        output = self.model(*args, **kwargs)
        return tuple(leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor))


def _as_float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


class _CostAnalysis(JitModelAnalysis):  # type: ignore[misc]
    """Both of fvcore's analyses in one trace: every rule answers with flops and activations."""

    def __init__(self, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        super().__init__(model, inputs)
        self.set_op_handle(**_rules())
        self.stand_ins_alive = 0  # that are alive in the trace
        self.tracer_warnings("none").unsupported_ops_warnings(False).uncalled_modules_warnings(False)

    def uncounted(self, module: str) -> dict[str, int]:
        """Operations without a rule, and those whose rule gave up, most frequent first."""
        broken = {kind: n for kind, n in self.by_operator(module).items() if "::" in kind}
        return by_frequency(Counter(self.unsupported_ops(module)) + Counter(broken))

    def _should_ignore_node(self, node: Any) -> bool:
        if is_deduplicated(node):
            self.stand_ins_alive += any(output.uses() for output in node.outputs())
            return True
        return super()._should_ignore_node(node) or node.kind() in _MOVES or not _touches_floats(node)


@functools.cache
def _rules() -> dict[str, Handle]:
    """fvcore's rules and ours, by operation."""
    nothing = nn.Identity(), (torch.zeros(1),)
    flops = FlopCountAnalysis(*nothing).set_op_handle(**flop_handles())._op_handles
    activations = ActivationCountAnalysis(*nothing).set_op_handle(**activation_handles())._op_handles
    return {
        kind: _both(kind, flops.get(kind), activations.get(kind))
        for kind in flops.keys() | activations.keys()
    }


def _both(kind: str, flops: Handle | None, activations: Handle | None) -> Handle:
    """One rule made of two; an operation in a form that fvcore's rule does not expect is not counted."""

    def handle(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        try:
            return Counter(
                flops=_amount(flops(inputs, outputs)) if flops else 0,
                activations=_amount(activations(inputs, outputs)) if activations else 0,
            )
        except (AssertionError, IndexError, TypeError, ValueError, NotImplementedError):
            return Counter({kind: 1})

    return handle


def _amount(counted: Any) -> Any:
    return sum(counted.values()) if isinstance(counted, Counter) else counted


def _touches_floats(node: Any) -> bool:
    """Whether a node works on a floating tensor; arithmetic with sizes is traced as scalar tensors."""
    for value in (*node.inputs(), *node.outputs()):
        if value.isCompleteTensor():
            kind = value.type()
            if kind.dim() > 0 and kind.dtype().is_floating_point:
                return True
    return False
