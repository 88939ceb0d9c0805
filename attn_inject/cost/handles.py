"""Our additions to fvcore's rules: a rule says what one operation of a traced graph costs.

Legend: N batch, H heads, L query tokens, S key tokens, E query and key width, V value width, k window side,
O and I output and input channels, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from attn_inject.cost.einsum import multiply_adds

Handle = Callable[[list[Any], list[Any]], Any]  # inputs and outputs of a node, as torch._C.Value

_ATTENTION = "aten::scaled_dot_product_attention"
_CONVOLUTION = "aten::_convolution_mode"  # a convolution with padding "same" or "valid"
_EINSUM = "aten::einsum"  # fvcore has a rule of its own, which rounds
_WINDOWS = "prim::PythonOp._WindowAttention"  # of attention.sasa


def flop_handles() -> dict[str, Handle]:
    """Rules for operations that fvcore's `FlopCountAnalysis` does not count, or not exactly, by operation.

    Pass them to `FlopCountAnalysis(model, inputs).set_op_handle(**flop_handles())` to get our figures.
    """
    return {
        _ATTENTION: _attention_flops,
        _CONVOLUTION: _convolution_flops,
        _EINSUM: _einsum_flops,
        _WINDOWS: _window_flops,
    }


def activation_handles() -> dict[str, Handle]:
    """The same for `ActivationCountAnalysis`."""
    return {_ATTENTION: _attention_activations, _CONVOLUTION: _output_elements, _WINDOWS: _window_activations}


def _attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """The two matrix products, one multiply-add once; the softmax is not counted, as in fvcore."""
    rows, keys, query_width, value_width = _attention_sizes(inputs)
    return rows * keys * (query_width + value_width)


def _attention_activations(inputs: list[Any], outputs: list[Any]) -> int:
    """The outputs of both matrix products, although a fused kernel never stores the first one's.

    So a model's figure does not depend on whether it uses fused attention.
    """
    rows, keys, _, value_width = _attention_sizes(inputs)
    return rows * (keys + value_width)


def _attention_sizes(inputs: list[Any]) -> tuple[int, int, int, int]:
    """N * H * L, S, E and V."""
    query, key, value = (_shape(item) for item in inputs[:3])  # (N, H, L, E) (N, H, S, E) (N, H, S, V)
    return math.prod(query[:-1]), key[-2], query[-1], value[-1]


def _window_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Each position is multiplied with the k k keys and then the k k values of its window."""
    query, offsets = _shape(inputs[0]), _shape(inputs[3])  # (N, H, E, rows, columns) (N, H, k, rows, columns)
    return 2 * offsets[2] ** 2 * math.prod(query)


def _window_activations(inputs: list[Any], outputs: list[Any]) -> int:
    """The weights of the windows and what they make of the values."""
    query, offsets = _shape(inputs[0]), _shape(inputs[3])  # (N, H, E, rows, columns) (N, H, k, rows, columns)
    return offsets[2] * math.prod(offsets) + math.prod(query)


def _convolution_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Every output position of every sample is multiplied with the whole kernel once."""
    kernel, output = _shape(inputs[1]), _shape(outputs[0])  # (O, I / G, ...) (N, O, ...)
    return output[0] * math.prod(kernel) * math.prod(output[2:])


def _einsum_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """The products of its operands, from left to right."""
    return multiply_adds(inputs[0].toIValue(), [_shape(operand) for operand in inputs[1].node().inputs()])


def _output_elements(inputs: list[Any], outputs: list[Any]) -> int:
    return math.prod(_shape(outputs[0]))


def _shape(value: Any) -> list[int]:
    sizes: list[int] = value.type().sizes()
    return sizes
