"""Models as users pass them: pruned, shared, in half precision, wrapped, compiled, on meta."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import attn_inject
from attn_inject.errors import ModelError, UsageError
from attn_inject.surgery import apply
from attn_inject.surgery.generated import is_generated

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SIZE = (3, 32, 32)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)

    def branch(self, x):
        return self.bn(self.conv(x))

    def forward(self, x):
        return x + self.branch(x)


class UnusedDropout(Block):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.5)


class Quantile(Block):
    p = 0.9


class ReadsNumbers(Block):
    def forward(self, x):
        return x if x.detach().mean().numpy() > 1e9 else super().forward(x)


class Taken(Block):
    attn_inject = "text"


class Net(nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x):
        return self.blocks(self.stem(x)).mean((2, 3))


def shared():
    block = Block()
    return Net(block, block)


def pruned():
    net = Net(Block())
    prune.l1_unstructured(net.blocks[0].conv, "weight", 0.5)
    net(IMAGES)  # leaves a weight with a graph
    return net


def weight_normed():
    net = Net(Block())
    torch.nn.utils.weight_norm(net.blocks[0].conv)
    net(IMAGES)
    return net


def distributed():
    """Without a process group none can be built; refusing looks at the class alone."""
    net = Net(Block())
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = net
    return wrapped


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Net(UnusedDropout()),
        lambda: Net(Quantile()),
        lambda: Net(ReadsNumbers()),
        lambda: Net(Block()).bfloat16(),
        lambda: Net(Block()).double(),
        lambda: nn.DataParallel(Net(Block())),
        shared,
        pruned,
        weight_normed,
    ],
)
def test_what_can_be_modified(make, tmp_path):
    torch.manual_seed(0)
    model = make()
    result = attn_inject.inject(model, "ela-t", input_size=SIZE, out=tmp_path / "model.pt")
    images = IMAGES.to(next(model.parameters()).dtype)
    with torch.no_grad():
        assert torch.equal(result.model.eval()(images), model.eval()(images))
    assert all(check.passed for check in result.report.checks)
    assert {p.dtype for p in result.model.parameters()} == {images.dtype}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_an_example_in_the_models_own_type(dtype):
    model = Net(Block()).to(dtype)
    result = attn_inject.inject(model, "se", example_input=IMAGES.to(dtype))
    assert (
        result.report.base.flops == attn_inject.inject(Net(Block()), "se", input_size=SIZE).report.base.flops
    )


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Net(Block()).to("meta"), "meta device"),
        (lambda: torch.compile(Net(Block()), backend="eager"), "made by torch.compile"),
        (lambda: torch.jit.trace(Net(Block()), IMAGES), "made by torch.jit"),
        (lambda: nn.Sequential(nn.LazyConv2d(8, 3), Block()), "parameters without a shape"),
        (distributed, "DistributedDataParallel"),
    ],
)
def test_what_cannot_says_why(make, told):
    with pytest.raises(ModelError, match=told) as raised:
        attn_inject.inject(make(), "se", input_size=SIZE)
    assert raised.value.hint


def test_a_model_on_meta_can_be_modified_without_checks():
    result = attn_inject.inject(Net(Block()).to("meta"), "se", input_size=SIZE, check="off")
    assert all(p.is_meta for p in result.model.parameters())


def test_a_name_that_the_block_uses_is_left_to_it():
    model = Net(Block(), Taken())
    attn_inject.inject(model, "se", input_size=SIZE, inplace=True)
    assert model.blocks[1].attn_inject == "text"
    assert "blocks.1.attn_inject_1.alpha" in model.state_dict()


def test_a_failure_half_way_leaves_the_model_as_it_was(monkeypatch):
    model = Net(Block(), Block())
    keys = copy.deepcopy(list(model.state_dict()))
    classes = iter([apply.modified_class])
    monkeypatch.setattr(apply, "modified_class", lambda *edit: next(classes)(*edit))
    with pytest.raises(StopIteration):  # at the second block
        attn_inject.inject(model, "se", input_size=SIZE, inplace=True)
    assert not any(is_generated(type(block)) for block in model.blocks)
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("thing", "told", "hint"),
    [
        (Net(Block()).state_dict(), "not one of OrderedDict", "load it into one"),
        (Net, "not the class Net", "Create an instance"),
        (Path("model.pt"), "Path", "str\\(path\\)"),
        (3, "not one of int", "one of these"),
        (None, "not one of NoneType", "one of these"),
    ],
)
def test_what_is_no_model_is_told(thing, told, hint):
    with pytest.raises(UsageError, match=f"{told}.*{hint}"):
        attn_inject.inject(thing, "se")


@pytest.mark.parametrize("attention", [None, 3, [nn.Identity()], ["se", 3]])
def test_what_names_no_attention_is_told(attention):
    with pytest.raises(UsageError, match="given as text, a class or an AttentionSpec"):
        attn_inject.inject(Net(Block()), attention, input_size=SIZE)
