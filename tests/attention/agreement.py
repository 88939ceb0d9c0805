"""Compares a module with its formula, implemented again and slowly, in float64.

A formula is a function of the module's own tensors by name, the map, and whether it is training; it uses
none of torch's layers. Legend: N batch, C channels, H rows, W columns, L length.
"""

from collections.abc import Callable

import torch
from torch import nn

Tensors = dict[str, torch.Tensor]
Formula = Callable[[Tensors, torch.Tensor, bool], torch.Tensor]


def randomize(module: nn.Module, seed: int = 0) -> None:
    """Give every tensor of one dimension, and every one of zeros, a value that shows in the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and (tensor.ndim == 1 or not tensor.any()):
                drawn = torch.rand(tensor.shape, generator=generator)
                # Layers of zeros get small weights, as a layer has, and vectors get gains.
                tensor.copy_(drawn + 0.5 if tensor.ndim == 1 else (drawn - 0.5) / tensor[0].numel() ** 0.5)


def assert_agrees(module: nn.Module, formula: Formula, shape: tuple[int, ...]) -> None:
    """Outputs, and gradients of the map and of every parameter, to 1e-10, in train and eval mode."""
    module = module.double()
    randomize(module)
    torch.manual_seed(1)
    x, weights = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    for training in (True, False):
        module.train(training).zero_grad()
        parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        tensors = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
        for name in parameters:
            tensors[name].requires_grad_()
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, z = module(ours), formula(tensors, theirs, training)
        (y * weights).sum().backward()
        (z * weights).sum().backward()
        _close(y, z, f"output, training={training}")
        _close(ours.grad, theirs.grad, f"gradient of the map, training={training}")
        for name, parameter in parameters.items():
            _close(parameter.grad, tensors[name].grad, f"gradient of {name}, training={training}")


def _close(ours: torch.Tensor | None, theirs: torch.Tensor | None, what: str) -> None:
    assert ours is not None, what
    assert theirs is not None, what
    difference = (ours - theirs).abs().max().item()
    assert difference < 1e-10, f"{what}: {difference:.1e}"


def logistic(x: torch.Tensor) -> torch.Tensor:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + torch.exp(-x))


def conv1d(x: torch.Tensor, weight: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """(N, C, L), (D, C / groups, k) -> (N, D, L), with zeros outside; one output at a time."""
    n, _, length = x.shape
    outputs, inputs, k = weight.shape
    rows = []
    for d in range(outputs):
        first = d // (outputs // groups) * inputs
        row = torch.zeros(n, length, dtype=x.dtype)
        for at in range(length):
            for offset in range(k):
                source = at + offset - k // 2
                if 0 <= source < length:
                    step = torch.einsum("nc,c->n", x[:, first : first + inputs, source], weight[d, :, offset])
                    row = row + torch.nn.functional.one_hot(torch.tensor(at), length) * step[:, None]
        rows.append(row)
    return torch.stack(rows, 1)


def padded(x: torch.Tensor, margin: int) -> torch.Tensor:
    """Zeros around the map, (N, C, H, W) -> (N, C, H + 2 margin, W + 2 margin)."""
    n, c, h, w = x.shape
    wider = torch.zeros(n, c, h + 2 * margin, w + 2 * margin, dtype=x.dtype)
    wider[:, :, margin : margin + h, margin : margin + w] = x
    return wider


def conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    groups: int = 1,
    dilation: int = 1,
    stride: int = 1,
) -> torch.Tensor:
    """(N, C, H, W), (D, C / groups, k, k) -> (N, D, H, W), with zeros outside; one offset at a time."""
    outputs, inputs, k = weight.shape[:3]
    wider, (h, w) = padded(x, dilation * (k // 2)), x.shape[2:]
    each = outputs // groups
    parts = []
    for group in range(groups):
        part = torch.zeros(x.shape[0], each, h, w, dtype=x.dtype)
        for row in range(k):
            for column in range(k):
                top, left = row * dilation, column * dilation
                seen = wider[:, group * inputs : (group + 1) * inputs, top : top + h, left : left + w]
                kernel = weight[group * each : (group + 1) * each, :, row, column]
                part = part + torch.einsum("nchw,dc->ndhw", seen, kernel)
        parts.append(part)
    y = torch.cat(parts, 1)[:, :, ::stride, ::stride]
    return y if bias is None else y + bias[None, :, None, None]


def layer(tensors: Tensors, name: str, x: torch.Tensor, **options: int) -> torch.Tensor:
    """The convolution called `name`, on (N, C, H, W) or, for one position, on (N, C)."""
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    if x.ndim == 2:
        return conv2d(x[:, :, None, None], weight, bias)[:, :, 0, 0]
    return conv2d(x, weight, bias, **options)


def rectified(x: torch.Tensor) -> torch.Tensor:
    """max(x, 0)."""
    return torch.where(x > 0, x, torch.zeros_like(x))


def means(x: torch.Tensor) -> torch.Tensor:
    """Of each channel, (N, C, H, W) -> (N, C)."""
    return x.sum((2, 3)) / (x.shape[2] * x.shape[3])


def batch_norm(tensors: Tensors, name: str, x: torch.Tensor, training: bool) -> torch.Tensor:
    """Over all dimensions but the second; the stored statistics in eval mode."""
    others = [dim for dim in range(x.ndim) if dim != 1]
    shape = [-1 if dim == 1 else 1 for dim in range(x.ndim)]
    mean, var = tensors[f"{name}.running_mean"], tensors[f"{name}.running_var"]
    if training:
        mean = x.mean(others)
        var = ((x - mean.view(shape)) ** 2).mean(others)
    normed = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5)
    return normed * tensors[f"{name}.weight"].view(shape) + tensors[f"{name}.bias"].view(shape)


def group_norm(x: torch.Tensor, groups: int, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(N, C, L), (C,), (C,) -> (N, C, L), one sample and one group at a time."""
    n, c, _ = x.shape
    width = c // groups
    samples = []
    for sample in range(n):
        parts = []
        for group in range(groups):
            part = x[sample, group * width : (group + 1) * width]
            mean = part.sum() / part.numel()
            var = ((part - mean) ** 2).sum() / part.numel()
            parts.append((part - mean) / torch.sqrt(var + 1e-5))
        samples.append(torch.cat(parts))
    return torch.stack(samples) * weight[:, None] + bias[:, None]
