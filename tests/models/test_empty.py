"""An architecture without memory is the same architecture: same names, shapes, flags and buffers."""

import pytest
import torch
from torch import nn

from attn_inject.models import empty as emptiness
from attn_inject.models.build import load
from attn_inject.models.empty import build_empty, emptied
from attn_inject.request import ModelRequest

# Those whose buffers or constructors look at their own parameters come first.
ARCHITECTURES = [
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "beit_base_patch16_224",
    "eva02_tiny_patch14_224",
    "vit_tiny_r_s16_p8_224",
    "convit_tiny",
    "coat_tiny",
    "xcit_nano_12_p8_224",
    "resnet50",
    "vit_tiny_patch16_224",
    "convnext_tiny",
    "efficientnet_b0",
    "torchvision/regnet_y_400mf",
    "torchvision/swin_t",
    "torchvision/vit_b_16",
    "torchvision/googlenet",
    "torchvision/inception_v3",
    "torchvision/fasterrcnn_resnet50_fpn",
]


def described(model):
    return {
        name: (type(p), tuple(p.shape), p.stride(), p.dtype, p.requires_grad)
        for name, p in model.named_parameters(remove_duplicate=False)
    }


@pytest.fixture
def ordinary_builds(monkeypatch):
    """Counts how often memory was needed after all."""
    models = []

    def spy(model):
        models.append(model)
        return emptied(model)

    monkeypatch.setattr(emptiness, "emptied", spy)
    return models


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_equals_the_real_build(name, ordinary_builds):
    real = load(ModelRequest(name=name)).model
    model = load(ModelRequest(name=name), empty=True).model
    assert not ordinary_builds
    assert all(parameter.is_meta for parameter in model.parameters())
    assert described(model) == described(real)
    assert list(model.state_dict()) == list(real.state_dict())
    buffers = dict(model.named_buffers())
    assert buffers.keys() == dict(real.named_buffers()).keys()
    for key, buffer in real.named_buffers():
        assert torch.equal(buffers[key], buffer), key
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("name", ["test_vit", "test_coatnet", "test_nfnet", "torchvision/squeezenet1_1"])
def test_with_the_tensors_assigned_it_computes_the_same(name):
    loaded = load(ModelRequest(name=name))
    model = load(ModelRequest(name=name), empty=True).model
    model.load_state_dict(loaded.model.state_dict(), assign=True)
    arguments, _ = loaded.inputs.make()
    with torch.no_grad():
        assert torch.equal(model(*arguments), loaded.model(*arguments))


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    load(ModelRequest(name="test_vit"), empty=True)
    build_empty(FromValues)
    assert torch.equal(torch.get_rng_state(), before)


def test_modules_built_afterwards_are_real():
    load(ModelRequest(name="test_vit"), empty=True)
    assert not nn.Linear(2, 2).weight.is_meta


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        shared = nn.Parameter(torch.ones(3, 3))
        shared.is_special = True
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.first.weight = shared
        self.second.weight = shared
        self.third = nn.Linear(3, 3, bias=False).requires_grad_(False)
        self.fourth = nn.Linear(3, 3, bias=False)
        self.fourth.weight = self.third.weight
        self.register_parameter("none", None)


@pytest.mark.parametrize("make", [lambda: build_empty(Tied), lambda: emptied(Tied())])
def test_sharing_flags_and_attributes_of_parameters_survive(make):
    model = make()
    assert model.first.weight is model.second.weight
    assert model.third.weight is model.fourth.weight
    assert model.first.weight.is_special
    assert [p.requires_grad for p in (model.first.weight, model.third.weight)] == [True, False]
    assert all(parameter.is_meta for parameter in model.parameters())


class FromValues(nn.Module):
    """Its buffer depends on values of a parameter."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        nn.init.constant_(self.linear.weight, 3.0)
        self.register_buffer("norm", self.linear.weight.detach().norm(), persistent=False)


class FromValuesInList(FromValues):
    """A plain attribute depends on values of a parameter."""

    def __init__(self):
        super().__init__()
        self.norms = [self.norm]
        del self.norm


class FromItem(FromValues):
    """Its constructor reads a number out of a parameter."""

    def __init__(self):
        super().__init__()
        self.number = self.linear.weight.sum().item()


class Computed(nn.Module):
    """Its buffer is computed from a real tensor and a parameter, which torch often allows on meta."""

    def __init__(self, compute):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        nn.init.constant_(self.linear.weight, 3.0)
        nn.init.constant_(self.linear.bias, 2.0)
        weight, bias = self.linear.weight.detach(), self.linear.bias.detach()
        self.register_buffer("result", compute(torch.ones(3, 3), weight, bias))


def plus_equals(x, weight, bias):
    x += weight
    return x


def set_item(x, weight, bias):
    x[0] = bias
    return x


def set_data(x, weight, bias):
    x.data = weight
    return x


INDEX = torch.zeros(3, 3, dtype=torch.long)
COMPUTATIONS = {
    "add_": lambda x, weight, bias: x.add_(weight),
    "add_ a number": lambda x, weight, bias: x.add_(bias[0]),
    "+=": plus_equals,
    "x[0] =": set_item,
    "x.data =": set_data,
    "fill_": lambda x, weight, bias: x.fill_(bias[0]),
    "scatter": lambda x, weight, bias: x.scatter(0, INDEX, weight),
    "index_put_": lambda x, weight, bias: x.index_put_((INDEX[0],), weight),
    "linear": lambda x, weight, bias: nn.functional.linear(x, weight),
    "linear with keywords": lambda x, weight, bias: nn.functional.linear(input=x, weight=weight, bias=bias),
    "cat": lambda x, weight, bias: torch.cat([x, weight]),
    "out": lambda x, weight, bias: torch.add(weight, weight, out=x),
    "to its device": lambda x, weight, bias: weight.to(x.device) + x.to(weight.device),
}


@pytest.mark.parametrize("name", COMPUTATIONS)
def test_no_buffer_is_computed_from_values_that_are_not_there(name, ordinary_builds):
    model = build_empty(lambda: Computed(COMPUTATIONS[name]))
    assert len(ordinary_builds) == 1
    assert model.linear.weight.is_meta
    assert torch.equal(model.result, Computed(COMPUTATIONS[name]).result)


class BuiltBefore(nn.Module):
    """A module of it was made outside its constructor."""

    shared = nn.Linear(2, 2)

    def __init__(self):
        super().__init__()
        self.linear = self.shared


@pytest.mark.parametrize("kind", [FromValues, FromValuesInList, FromItem, BuiltBefore])
def test_what_depends_on_values_is_built_in_the_ordinary_way(kind, ordinary_builds):
    model = build_empty(kind)
    assert len(ordinary_builds) == 1
    assert model.linear.weight.is_meta
    real = kind()
    assert not real.linear.weight.is_meta
    for name, buffer in real.named_buffers():
        assert torch.equal(model.get_buffer(name), buffer)
    assert getattr(model, "norms", None) == getattr(real, "norms", None)
    assert getattr(model, "number", None) == getattr(real, "number", None)


def test_emptying_leaves_the_model_alone():
    real = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model = emptied(real)
    assert model[0].weight.is_meta
    assert not real[0].weight.is_meta
    assert not vars(real[0].weight)
    assert model[1].running_mean is not real[1].running_mean


def test_an_error_of_the_constructor_is_its_own():
    def refuse():
        raise ValueError("no such depth")

    with pytest.raises(ValueError, match="no such depth"):
        build_empty(refuse)
