"""Generated classes: shared, copied, pickled into another process, stacked, and hidden from containers."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys

import pytest
import torch
from timm.models.resnet import BasicBlock
from torch import nn
from torch.nn import functional

from attn_inject.errors import FitError
from attn_inject.surgery.generated import generated_class, importable_name, own_class
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, make_generic, modify, set_alphas

INPUT = torch.linspace(-1, 1, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64)


def modified(attention: str = "se", **plan: object) -> nn.Module:
    model = make_generic(build("test_resnet"))
    modify(model, attention, size=(3, 64, 64), **plan)
    set_alphas(model, 0.5)
    return model


def test_blocks_stay_what_they_are():
    model = build("resnet50")
    block, kept = model.layer1[0], model.layer1[0].conv1
    block.custom = "kept"
    edits = modify(model, "se")
    assert model.layer1[0] is block
    assert block.conv1 is kept
    assert block.custom == "kept"
    assert type(block).__mro__[1].__name__ == "Bottleneck"
    assert own_class(type(block)).__name__ == "Bottleneck"
    assert len({type(model.get_submodule(s.name)) for s in edits}) == 1


def test_the_code_can_be_read():
    model = modified()
    assert model.layer1[0].code == (
        "def forward(self, x):\n"
        "    output_of_base = base_forward(self, x)\n"
        "    attn_inject = self.attn_inject(output_of_base)\n"
        "    return attn_inject\n"
    )
    assert inspect.getsource(type(model.layer1[0]).forward) == model.layer1[0].code


def test_traced_code_can_be_read():
    model = modified(placement="before-add")
    assert "self.attn_inject(" in model.layer1[0].code
    assert model.layer1[0].code.startswith("def forward(self, x):\n")


@pytest.mark.parametrize("placement", ["after", "before-add"])
def test_deepcopy(placement):
    model = modified(placement=placement)
    twin = copy.deepcopy(model)
    expected = model(INPUT)
    assert torch.equal(twin(INPUT), expected)
    assert type(twin.layer1[0]) is type(model.layer1[0])
    assert twin.layer1[0].attn_inject is not model.layer1[0].attn_inject
    nn.init.zeros_(twin.layer1[0].attn_inject.alpha)
    assert torch.equal(model(INPUT), expected)


SWIN = {"depths": (1, 1), "num_heads": (3, 6), "embed_dim": 24, "img_size": 56}


def test_pickle_in_a_fresh_process(tmp_path):
    """Window functions and the like are globals of the traced code; another process must find them."""
    cases = []
    for name, placement, arguments in (
        ("test_resnet", "after", {}),
        ("test_resnet", "before-add", {}),
        ("swin_tiny_patch4_window7_224", "before-add", SWIN),
    ):
        model = make_generic(build(name, **arguments))
        size = (3, arguments.get("img_size", 64), arguments.get("img_size", 64))
        modify(model, "se", size=size, placement=placement)
        set_alphas(model, 0.5)
        image = torch.linspace(-1, 1, size[1] * size[2] * 3).reshape(1, *size)
        with torch.no_grad():
            expected = model(image)
        # Each in a pickle of its own: what one case imports must not be told by another's.
        cases.append(pickle.dumps((model, image, expected)))
    (tmp_path / "cases.pickle").write_bytes(pickle.dumps(cases))
    script = (
        "import pickle, sys, torch\n"
        "for case in pickle.load(open(sys.argv[1], 'rb')):\n"
        "    model, image, expected = pickle.loads(case)\n"
        "    with torch.no_grad(): print(torch.equal(model(image), expected))\n"
    )
    run = [sys.executable, "-c", script, str(tmp_path / "cases.pickle")]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "True\n" * 3


def test_two_operations_on_one_block():
    model = make_generic(build("test_resnet"))
    expected = model(INPUT)
    modify(model, "se", size=(3, 64, 64))
    second = modify(model, "eca", size=(3, 64, 64), placement="before-add")
    assert {s.module for s in second} == {"attn_inject_1"}
    assert torch.equal(model(INPUT), expected)
    for module in inserted_modules(model).values():
        nn.init.constant_(module.alpha, 0.5)
    changed = model(INPUT)
    assert not torch.equal(changed, expected)
    assert torch.equal(copy.deepcopy(model)(INPUT), changed)
    assert torch.equal(pickle.loads(pickle.dumps(model))(INPUT), changed)


def test_containers_do_not_run_the_inserted_child_themselves():
    model = make_generic(build("test_resnet"))
    length = len(model.layer1)
    last = model.layer1[-1]
    modify(model, "se", size=(3, 64, 64), at=["layer1"])
    runs = []
    model.layer1.attn_inject.register_forward_hook(lambda *_: runs.append(1))
    model(INPUT)
    assert len(runs) == 1
    assert len(model.layer1) == length
    assert model.layer1[-1] is last
    assert list(model.layer1) == [m for n, m in model.layer1.named_children() if n != "attn_inject"]
    assert type(model.layer1[:1]) is nn.Sequential


def test_dictionaries_of_layers_do_not_either():
    model = build("torchvision/densenet121")
    modify(model, "se", size=(3, 64, 64), at=["features.denseblock1"])
    runs = []
    model.features.denseblock1.attn_inject.register_forward_hook(lambda *_: runs.append(1))
    model(INPUT)
    assert len(runs) == 1


def test_what_cannot_be_imported_is_refused():
    def local() -> None:
        """A function that no other process could find."""

    with pytest.raises(FitError, match="cannot be imported"):
        importable_name(local)
    assert importable_name(torch) == "torch:"
    assert importable_name(nn.Conv2d.forward) == "torch.nn.modules.conv:Conv2d.forward"


def test_equal_code_with_other_globals_makes_another_class():
    code = "def forward(self, x):\n    return f(x)\n"
    first = generated_class(BasicBlock, code, {"f": functional.relu})
    second = generated_class(BasicBlock, code, {"f": functional.silu})
    assert first is not second
    assert generated_class(BasicBlock, code, {"f": functional.relu}) is first


def test_defaults_and_keywords_of_the_signature_are_kept():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Conv2d(3, 3, 1)

        def forward(self, x, scale=2.0, *rest, mode: torch.dtype = torch.float32, **extra):
            return x + self.f(x) * scale + sum(rest) + extra.get("bias", 0)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()

        def forward(self, x):
            return self.block(x)

    model = Model().eval()
    expected = inspect.signature(Block.forward)
    image = torch.ones(1, 3, 8, 8)
    calls = [
        ((image,), {}),
        ((image, 3.0, 4, 5), {"bias": 1}),
        ((image,), {"mode": torch.float16, "scale": 1.0}),
    ]
    outputs = [model.block(*args, **kwargs) for args, kwargs in calls]
    modify(model, "se:reduction=1", size=(3, 8, 8))
    given = inspect.signature(type(model.block).forward)
    assert [(p.name, p.kind, p.default) for p in given.parameters.values()] == [
        (p.name, p.kind, p.default) for p in expected.parameters.values()
    ]
    for (args, kwargs), output in zip(calls, outputs, strict=True):
        assert torch.equal(model.block(*args, **kwargs), output)
