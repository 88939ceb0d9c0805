import copy
import gc
from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from attn_inject.models.clone import clone_with, deep_copy, to_meta, uncollected


class Everywhere(nn.Module):
    """Tensors in every place where a module can keep one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)
        self.register_buffer("table", torch.arange(5))
        self.register_buffer("scratch", torch.ones(6), persistent=False)
        self.register_buffer("absent", None)
        self.plain = torch.ones(7)
        self.computed = self.weight * 2  # no leaf: deepcopy alone refuses it
        self.nested = {"list": [torch.ones(8), 1], "tuple": (torch.ones(9), "text")}
        self.holder = SimpleNamespace(tensor=torch.ones(10))
        self.unregistered = [nn.Parameter(torch.ones(11))]
        self.method = self.extra_repr
        self.child = nn.Linear(3, 2)
        self.child.weight = self.weight  # tied
        self.me = [self]


def test_every_tensor_is_replaced_wherever_it_is_kept():
    model = Everywhere()
    copied = clone_with(model, lambda tensor: torch.full_like(tensor, 3, requires_grad=False))
    kept = [
        copied.weight,
        copied.frozen,
        copied.table,
        copied.scratch,
        copied.plain,
        copied.computed,
        copied.nested["list"][0],
        copied.nested["tuple"][0],
        copied.holder.tensor,
        copied.unregistered[0],
        copied.child.bias,
    ]
    assert [tensor.unique().tolist() for tensor in kept] == [[3]] * len(kept)
    assert copied.nested["list"][1] == 1
    assert copied.absent is None
    assert copied.me[0] is copied
    assert copied.method.__self__ is copied


def test_parameters_and_buffers_stay_what_they_were():
    copied = to_meta(Everywhere())
    original = Everywhere()
    assert copied.weight is copied.child.weight
    assert [name for name, _ in copied.named_parameters()] == [n for n, _ in original.named_parameters()]
    assert [name for name, _ in copied.named_buffers()] == [name for name, _ in original.named_buffers()]
    assert list(copied.state_dict()) == list(original.state_dict())
    assert all(type(parameter) is nn.Parameter for parameter in copied.parameters())
    assert copied.weight.requires_grad
    assert not copied.frozen.requires_grad


def test_the_model_itself_is_not_touched():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    before = {key: (id(value), value.clone()) for key, value in model.state_dict(keep_vars=True).items()}
    to_meta(model)
    after = model.state_dict(keep_vars=True)
    assert {key: id(value) for key, value in after.items()} == {key: item[0] for key, item in before.items()}
    assert all(torch.equal(after[key], value) for key, (_, value) in before.items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_to_meta_keeps_shape_stride_and_dtype(dtype):
    model = nn.Conv2d(4, 6, 3).to(dtype=dtype, memory_format=torch.channels_last)
    weight = to_meta(model).weight
    assert weight.is_meta
    assert (weight.shape, weight.stride(), weight.dtype) == (
        model.weight.shape,
        model.weight.stride(),
        dtype,
    )


def test_a_model_on_meta_and_a_lazy_one_are_taken():
    with torch.device("meta"):
        model = nn.Linear(3, 4)
    assert to_meta(model).weight.shape == (4, 3)
    lazy = to_meta(nn.Sequential(nn.LazyLinear(4)))
    assert lazy(torch.zeros(2, 3)).shape == (2, 4)


def test_a_parametrized_module_keeps_its_parametrization():
    model = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    copied = to_meta(model)
    assert copied.parametrizations.weight.original0.is_meta
    assert copied(torch.empty(2, 3, device="meta")).shape == (2, 4)
    assert torch.equal(copy.deepcopy(model).weight, model.weight)


def test_a_copy_of_a_model_on_meta_keeps_strides_too():
    model = nn.Conv2d(4, 6, 3).half().to(memory_format=torch.channels_last)
    weight = to_meta(to_meta(model)).weight
    assert (weight.stride(), weight.dtype) == (model.weight.stride(), torch.half)


def test_hooks_of_the_copy_are_its_own():
    model = nn.Sequential(nn.ReLU(), nn.ReLU())
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append("kept"))
    copied = to_meta(model)
    copied[1].register_forward_hook(lambda *_: seen.append("new"))
    model(torch.ones(1))
    assert seen == ["kept"]
    copied(torch.ones(1, device="meta"))
    assert seen == ["kept", "kept", "new"]
    assert len({id(m._forward_hooks) for m in (*model.modules(), *copied.modules())}) == 6


@pytest.mark.parametrize("was_on", [True, False])
def test_garbage_is_collected_again_afterwards(was_on):
    before = gc.isenabled()
    try:
        (gc.enable if was_on else gc.disable)()
        with suppress(KeyError), uncollected():
            assert not gc.isenabled()
            raise KeyError
        assert gc.isenabled() is was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_hooks_of_a_copy_are_its_own():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    model[0].register_forward_hook(lambda module, args, output: output + 1)
    copied = deep_copy(model)
    copied[1].register_forward_hook(lambda module, args, output: output * 2)
    x = torch.randn(3, 2)
    assert torch.equal(copied(x), 2 * model(x))
    assert not model[1]._forward_hooks
    copied[0]._forward_hooks.clear()
    assert model[0]._forward_hooks
    tables = [id(table) for module in copied for table in vars(module).values() if isinstance(table, dict)]
    assert len(set(tables)) == len(tables)
