"""Counts what one forward costs: fvcore's flops and activations, both from one trace of a hollow model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from fvcore.nn.jit_analysis import JitModelAnalysis
from torch import nn
from torch.utils import _pytree as pytree

from attn_inject.cost.handles import Handle, activation_handles, flop_handles
from attn_inject.cost.hollow import hollow
from attn_inject.errors import ModelError
from attn_inject.inputs import ANOTHER_INPUT, Arguments, InputSpec
from attn_inject.outcome import Cost

# fvcore has no rule for these either, but they only move numbers: there is nothing that was missed.
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
    """What one forward costs, and what the figures leave out.

    Attributes:
        cost: Of the whole module.
        uncounted: Arithmetic that fvcore has no rule for, `aten::add`, and how often it ran.
        by_module: flops of every module, its children included, by qualified name; "" is the whole.
    """

    cost: Cost
    uncounted: Mapping[str, int] = field(default_factory=dict)
    by_module: Mapping[str, int] = field(default_factory=dict)


def count(model: nn.Module, inputs: InputSpec) -> Counted:
    """Parameters, flops and activations of one forward of one sample, in eval mode.

    No weights are allocated, whatever the model's size and device; it is counted in float32 on the CPU.
    flops and activations are those of fvcore with the rules of `handles` added: one multiply-add counts
    once. An example input keeps the batch size that its giver chose.

    Raises:
        ModelError: The model does not run on this input.
    """
    return _count(model, inputs.make(batch_size=1))


def count_call(module: nn.Module, shape: tuple[int, ...]) -> Counted:
    """The same for a module called with one tensor of `shape`, batch dimension included."""
    return _count(module, ((torch.zeros(()).expand(shape),), {}))


def _count(model: nn.Module, arguments: Arguments) -> Counted:
    flat = _FlatCall(hollow(model, dtype=torch.float32).eval(), arguments)
    analysis = _CostAnalysis(flat, flat.tensors)
    try:
        with _countable_operations():
            counts = analysis.by_module_and_operator()
    except Exception as error:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in flat.tensors)
        raise ModelError(
            f"{type(model).__name__} cannot be counted: its forward fails on {shapes}. "
            f"{type(error).__name__}: {str(error).strip()}",
            hint=ANOTHER_INPUT,
        ) from error
    total = counts[""]
    return Counted(
        cost=Cost(
            params=sum(parameter.numel() for parameter in model.parameters()),
            flops=int(total["flops"]),
            activations=int(total["activations"]),
        ),
        uncounted=analysis.uncounted(),
        by_module={
            name.removeprefix("model").removeprefix("."): int(counted["flops"])
            for name, counted in counts.items()
            if name
        },
    )


class _FlatCall(nn.Module):
    """Tensors in, tensors out: `torch.jit.trace` knows no keyword arguments and few kinds of output."""

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
        flops = FlopCountAnalysis(model, inputs).set_op_handle(**flop_handles())._op_handles
        activations = ActivationCountAnalysis(model, inputs).set_op_handle(**activation_handles())._op_handles
        for kind in flops.keys() | activations.keys():
            self.set_op_handle(kind, _both(kind, flops.get(kind), activations.get(kind)))
        self.tracer_warnings("none").unsupported_ops_warnings(False).uncalled_modules_warnings(False)

    def uncounted(self) -> dict[str, int]:
        """Operations without a rule, and those whose rule gave up, most frequent first."""
        broken = {kind: n for kind, n in self.by_operator().items() if "::" in kind}
        return dict((Counter(self.unsupported_ops()) + Counter(broken)).most_common())

    def _should_ignore_node(self, node: Any) -> bool:
        return super()._should_ignore_node(node) or node.kind() in _MOVES or not _touches_floats(node)


def _both(kind: str, flops: Handle | None, activations: Handle | None) -> Handle:
    """One rule out of two; an operation in a form that fvcore's rule does not expect is uncounted."""

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


@contextmanager
def _countable_operations() -> Iterator[None]:
    """No gradients, and no attention layer that hides its products in one operation when there are none."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)
