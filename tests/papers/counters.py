"""Operations of a forward, under the four conventions that the papers count by.

A network runs on tensors without memory while its operations are recorded; each convention is a sum over the
record. K1 to K4 are explained on the manual's page about the papers' FLOPs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Operation:
    """One operation: what went in and came out, in elements, and its multiply-adds."""

    kind: str
    inputs: int
    outputs: int
    multiply_adds: int = 0
    bias: bool = False


KINDS = {
    torch.ops.aten.convolution.default: "conv",
    torch.ops.aten.addmm.default: "fc",
    torch.ops.aten.bmm.default: "product",
    torch.ops.aten.native_batch_norm.default: "norm",
    torch.ops.aten._native_batch_norm_legit.default: "norm",
    torch.ops.aten._native_batch_norm_legit_no_training.default: "norm",
    torch.ops.aten.relu.default: "relu",
    torch.ops.aten.relu_.default: "relu",
    torch.ops.aten.hardtanh.default: "relu",
    torch.ops.aten.hardtanh_.default: "relu",
    torch.ops.aten.max_pool2d_with_indices.default: "pool",
    torch.ops.aten.mean.dim: "global pool",
    torch.ops.aten.amax.default: "global pool",
    torch.ops.aten.add.Tensor: "add",
    torch.ops.aten.add_.Tensor: "add",
}


class Record(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in KINDS:
            output = result if isinstance(result, torch.Tensor) else result[0]
            self.operations.append(_operation(KINDS[function], args, output))
        return result


def _operation(kind: str, args: tuple, output: torch.Tensor) -> Operation:
    inputs = (args[1] if kind == "fc" else args[0]).numel()
    if kind == "conv":
        each = math.prod(args[1].shape[1:])
        return Operation(kind, inputs, output.numel(), each * output.numel(), args[2] is not None)
    if kind in ("fc", "product"):
        each = args[1].shape[-1]
        return Operation(kind, inputs, output.numel(), each * output.numel(), kind == "fc")
    if kind == "global pool" and not _is_over_all_positions(args[0], args[1]):
        kind = "other"
    return Operation(kind, inputs, output.numel())


def _is_over_all_positions(x: torch.Tensor, dims: list[int]) -> bool:
    """Whether rows and columns are pooled, of a map or of one whose positions are flattened."""
    over = sorted(dim % x.ndim for dim in dims)
    return over == ([2] if x.ndim == 3 else [x.ndim - 2, x.ndim - 1])


def record(model: nn.Module, side: int = 224) -> list[Operation]:
    with torch.no_grad(), Record() as found:
        model.eval()(torch.empty(1, 3, side, side, device="meta"))
    return found.operations


def multiply_adds(operations: list[Operation]) -> int:
    """K2, the papers of CBAM and BAM: multiply-adds of convolutions and linear layers."""
    return sum(operation.multiply_adds for operation in operations)


def se_paper(operations: list[Operation]) -> int:
    """K1: the same, and one for each element of an addition."""
    additions = sum(operation.outputs for operation in operations if operation.kind == "add")
    return multiply_adds(operations) + additions


def ptflops(operations: list[Operation], *, pooling: str = "all") -> int:
    """K3, the papers of SGE, SA and triplet attention: what ptflops' hooks saw.

    A pooling layer counts its inputs, and a pooling function was not seen. `pooling` says which global
    poolings were layers in the counted code: `all`, that at the `network`'s end, or `none`.
    """
    price: dict[str, Callable[[Operation], int]] = {
        "conv": lambda o: o.multiply_adds + o.bias * o.outputs,
        "fc": lambda o: o.multiply_adds + o.outputs,
        "norm": lambda o: 2 * o.outputs,
        "relu": lambda o: o.outputs,
        "pool": lambda o: o.inputs,
        "global pool": lambda o: o.inputs,
    }
    pools = [operation for operation in operations if operation.kind == "global pool"]
    seen = {"all": pools, "network": pools[-1:], "none": []}[pooling]
    unseen = sum(o.inputs for o in pools) - sum(o.inputs for o in seen)
    return sum(price[o.kind](o) for o in operations if o.kind in price) - unseen


def old_thop(model: nn.Module, *, relu: bool, pool: bool = True) -> int:
    """K4, the paper of ECA: thop of 2019, to be printed in units of 2^30.

    Until August 2019 an activation layer counted the elements of its last call, and later none.
    `pool` says whether the network pools by a layer, which was seen, or by a function, which was not.
    """
    last: dict[nn.Module, int] = {}
    hooks = [
        module.register_forward_hook(lambda module, _, output: last.update({module: output.numel()}))
        for module in model.modules()
        if isinstance(module, nn.ReLU | nn.ReLU6)
    ]
    operations = record(model)
    for hook in hooks:
        hook.remove()
    price: dict[str, Callable[[Operation], int]] = {
        "conv": lambda o: o.multiply_adds,
        "fc": lambda o: 2 * o.multiply_adds - o.outputs,
        "norm": lambda o: 4 * o.outputs,
        "global pool": lambda o: o.inputs + o.outputs,
    }
    if not pool:
        del price["global pool"]
    counted = sum(price[operation.kind](operation) for operation in operations if operation.kind in price)
    return counted + (sum(last.values()) if relu else 0)
