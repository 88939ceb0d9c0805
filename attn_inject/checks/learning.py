"""Every inserted parameter can learn: alone on bounded input, and from where it stands in the model.

In the model a gate may be saturated, or all ReLUs of a small bottleneck closed; then its gradient is 0 on
that input, which is chance and not a fault of the modification. So the gradient of each module alone must
not be 0, and in the model the output must depend on the parameter.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping

import torch
from torch import nn

from attn_inject.checks.generic_position import generic_position
from attn_inject.checks.gradients import Gradients
from attn_inject.models.randomness import seeded
from attn_inject.results import Check
from attn_inject.surgery.inserted import AttnInject, inserted_modules

HALF_WAY = 0.5
DRAWS = 4


def check_learning(
    model: nn.Module, found: Gradients, before: Gradients, without_graph: Collection[str], *, seed: int
) -> Check:
    """The check `gradients`.

    Args:
        model: The modified model.
        found: Its gradients.
        before: Those of the untouched model.
        without_graph: Names of the inserted modules that ran while the model recorded no graph.
        seed: Of what the modules are tried with alone.
    """
    modules = inserted_modules(model)
    trainable = {
        f"{name}.{key}": name
        for name, module in modules.items()
        for key, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    if not trainable:
        return Check(name="gradients", passed=True, detail="no inserted parameter is trainable")
    if dead := dead_alone(modules, seed=seed):
        return _failed(dead, "even alone on bounded input")
    if before.absent and _base_parameters(model):
        return Check(name="gradients", passed=True, detail=f"cannot be taken of the base: {before.absent}")
    if found.absent:
        return Check(name="gradients", passed=False, detail=found.absent)
    cut_off = _cut_off(model, before) | set(without_graph)
    if lost := [key for key, name in trainable.items() if key not in found.reached and name not in cut_off]:
        return _failed(lost, "in the model")
    return Check(name="gradients", passed=True, detail=_detail(trainable, found))


def dead_alone(modules: Mapping[str, AttnInject], *, seed: int) -> list[str]:
    """The trainable parameters without a gradient when their module runs alone, in float64.

    Modules of one kind and shape are tried once.

    Args:
        modules: Inserted modules by qualified name.
        seed: Of the input and of the values that are tried.
    """
    tried: dict[object, list[str]] = {}
    for name, module in modules.items():
        kind = (repr(module), module.edit and module.edit.shape)
        if kind not in tried and module.edit is not None:
            tried[kind] = [f"{name}.{key}" for key in _dead(module, module.edit.shape, seed)]
    return [key for keys in tried.values() for key in keys]


def _dead(module: AttnInject, shape: tuple[int, ...], seed: int) -> list[str]:
    try:
        return _dead_in(torch.float64, module, shape, seed)
    except RuntimeError:  # it mixes dtypes
        return _dead_in(torch.float32, module, shape, seed)


def _dead_in(dtype: torch.dtype, module: AttnInject, shape: tuple[int, ...], seed: int) -> list[str]:
    alone = AttnInject(
        copy.deepcopy(module.attention),
        layout=module.layout,
        grid=module.grid,
        identity=module.alpha is not None,
        stride=module.stride,
    )
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    alone = alone.to(device=device, dtype=dtype).eval()
    dead = [key for key, parameter in alone.named_parameters() if parameter.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed), torch.enable_grad(), generic_position(alone, seed):
        for draw in range(DRAWS):
            x, weights = (torch.rand(shape, generator=generator).to(device, dtype) for _ in range(2))
            dead = _still_dead(alone, x * 2 - 1, weights, dead)
            if not dead:
                break
            _draw_matrices(alone, generator, draw)
    return dead


def _still_dead(alone: AttnInject, x: torch.Tensor, weights: torch.Tensor, keys: list[str]) -> list[str]:
    """Those of `keys` without a gradient, with `alpha` at 0 for its own and at one half for the others."""
    parameters = dict(alone.named_parameters())
    dead: list[str] = []
    for value in (0.0, HALF_WAY):
        wanted = [key for key in keys if (key == "alpha") is (value == 0)]
        if not wanted:
            continue
        if alone.alpha is not None:
            nn.init.constant_(alone.alpha, value)
        output = alone(x)
        if not output.requires_grad:
            return keys
        loss = (output * weights[tuple(map(slice, output.shape))]).sum()
        found = torch.autograd.grad(loss, [parameters[key] for key in wanted], allow_unused=True)
        dead += [key for key, g in zip(wanted, found, strict=True) if g is None or not bool(g.any())]
    return dead


def _draw_matrices(alone: AttnInject, generator: torch.Generator, draw: int) -> None:
    """Give the matrices other values; mostly positive ones open the ReLUs of a small bottleneck."""
    with torch.no_grad():
        for parameter in alone.parameters():
            if parameter.ndim > 1:
                drawn = torch.rand(parameter.shape, generator=generator)
                parameter.copy_(drawn * 0.2 - 0.05 * (draw % 2))


def _base_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable parameters that were not inserted, by name."""
    ours = {id(p) for module in inserted_modules(model).values() for p in module.parameters()}
    return {name: p for name, p in model.named_parameters() if p.requires_grad and id(p) not in ours}


def _cut_off(model: nn.Module, before: Gradients) -> set[str]:
    """The inserted modules in blocks from which no gradient flowed in the base either."""
    base = _base_parameters(model)
    names = set()
    for name in inserted_modules(model):
        block = name.rpartition(".")[0] + "."
        own = {key for key in base if key.startswith(block)}
        if own and not own & before.reached:
            names.add(name)
    return names


def _failed(keys: list[str], where: str) -> Check:
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return Check(name="gradients", passed=False, detail=f"no gradient reaches {keys[0]}{more}, {where}")


def _detail(trainable: Mapping[str, str], found: Gradients) -> str:
    reached = [key for key in trainable if key in found.reached]
    detail = f"reach all {len(trainable)} inserted parameter tensors"
    if unreached := sorted({trainable[key] for key in trainable.keys() - set(reached)}):
        detail = f"reach {len(reached)} of {len(trainable)} inserted parameter tensors"
        detail += f"; the base itself cuts off {_names(unreached)}"
    learning = {name for key, name in trainable.items() if key in found.reached - found.zero}
    still = sorted({trainable[key] for key in reached} - learning)
    return f"{detail}; all are 0 on this input in {_names(still)}" if still else detail


def _names(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
