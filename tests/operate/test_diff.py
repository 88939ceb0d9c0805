"""What differs between two models, against what torch.fx says of the untouched blocks."""

from __future__ import annotations

import ast
import inspect

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.errors import FileError, UsageError
from attn_inject.surgery.code import source
from attn_inject.surgery.tracer import trace
from tests.nets import build


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    files = {name: str(folder / f"{name}.pt") for name in ("inner", "after")}
    attn_inject.inject("test_resnet", "eca", placement="before-add", check="off", out=files["inner"])
    attn_inject.inject("test_resnet", "se", check="off", stage=(3, 4), out=files["after"])
    return files


def statements(code: str) -> list[str]:
    """Of a forward, as they are written without those that free values."""
    [function] = ast.parse(code).body
    return [text for text in map(ast.unparse, function.body) if not text.endswith("= None")]


def traced(block: nn.Module) -> list[str]:
    return statements(source(trace(block, {}), inspect.signature(type(block).forward))[0])


def test_a_file_against_its_base(files):
    base = build("test_resnet")
    difference = attn_inject.diff("test_resnet", files["inner"])
    assert [block.name for block in difference.blocks] == [f"layer{n}.0" for n in (1, 2, 3, 4)]
    for block in difference.blocks:
        assert statements(block.a.forward) == traced(base.get_submodule(block.name))
        [inserted] = block.b.inserted
        assert (inserted.attention, inserted.placement, inserted.start) == ("eca", "before-add", "paper")
        assert block.a.inserted == ()
        new = [line for line in block.b.forward.splitlines() if "self.attn_inject(" in line]
        assert len(new) == 1
        assert block.added == (f"{block.name}.attn_inject.attention.conv.weight",)
    loaded = attn_inject.load(files["inner"])
    assert set(difference.added) == loaded.state_dict().keys() - base.state_dict().keys()
    assert (difference.removed, difference.reshaped) == ((), ())
    delta = sum(p.numel() for p in loaded.parameters()) - sum(p.numel() for p in base.parameters())
    assert difference.costs.difference.params == delta > 0


def test_the_other_way_round_the_same_is_removed(files):
    forth = attn_inject.diff("test_resnet", files["after"])
    back = attn_inject.diff(files["after"], "test_resnet")
    assert (back.added, back.removed) == (forth.removed, forth.added)
    assert [(block.a, block.b) for block in back.blocks] == [(block.b, block.a) for block in forth.blocks]
    state = forth.blocks[0].a
    assert statements(state.forward) == ["output_of_base = base_forward(self, x)", "return output_of_base"]
    assert state.base_forward == "timm.models.resnet.Bottleneck.forward"


def test_two_files_with_other_attention(files):
    difference = attn_inject.diff(files["inner"], files["after"])
    kinds = {
        block.name: [[item.attention for item in side.inserted] for side in (block.a, block.b)]
        for block in difference.blocks
    }
    assert kinds == {
        **{name: [["eca"], []] for name in ("layer1.0", "layer2.0")},
        **{name: [["eca"], ["se"]] for name in ("layer3.0", "layer4.0")},
    }
    assert len(difference.removed) == 4
    same = attn_inject.diff(files["inner"], files["inner"])
    assert (same.blocks, same.added, same.removed) == ((), (), ())


def test_a_block_of_another_kind_has_no_counterpart(files):
    blocks = attn_inject.diff("resnet18", files["inner"]).blocks
    assert [block.name for block in blocks if block.a is None] == ["layer3.0"]  # a bottleneck there
    modified = attn_inject.inject(build("resnet18"), "eca", placement="before-add", stage=1, check="off")
    narrow = build("resnet18", channels=(32, 128, 256, 512))
    blocks = attn_inject.diff(narrow, modified.model).blocks
    assert [(block.name, block.a is None) for block in blocks] == [("layer1.0", True), ("layer1.1", False)]


def test_another_head_is_a_reshaped_tensor():
    small = attn_inject.ModelRequest(name="test_resnet", num_classes=3)
    difference = attn_inject.diff("test_resnet", small)
    assert [(item.key, item.b[0]) for item in difference.reshaped] == [("fc.weight", 3), ("fc.bias", 3)]
    assert difference.blocks == ()


def test_a_result_against_what_it_was_made_from():
    first = attn_inject.inject("test_resnet", "se", check="off")
    difference = first.diff()
    assert len(difference.blocks) == 4
    assert difference.costs.difference.params == first.cost.params
    second = attn_inject.inject(first.model, "eca", placement="before-add", stage=4, check="off").diff()
    [block] = second.blocks
    assert [item.attention for item in block.a.inserted] == ["se"]
    assert [item.attention for item in block.b.inserted] == ["se", "eca"]
    assert block.added == ("layer4.0.attn_inject_1.alpha", "layer4.0.attn_inject_1.attention.conv.weight")
    text = str(second)
    assert "1 block changed, 2 keys added, 0 removed" in text
    assert "self.attn_inject_1(" in text
    assert "self.attn_inject_1(" in second._repr_html_()


def test_after_a_dry_run_it_is_what_would_be():
    how = {"placement": "replace-attention", "check": "off"}
    would = attn_inject.inject("test_efficientnet", "eca", dry_run=True, **how)
    assert not would.is_modified
    difference = would.diff()
    assert not would.is_modified
    assert difference.blocks == attn_inject.inject("test_efficientnet", "eca", **how).diff().blocks
    block = difference.blocks[0]
    assert statements(block.a.forward) == ["return base_forward(self, x)"]
    assert block.a.base_forward.endswith("SqueezeExcite.forward")
    assert len(block.removed) == 4


def test_it_changes_nothing(files):
    model = attn_inject.load(files["inner"])
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attn_inject.diff(model, build("test_resnet"))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_what_is_refused(tmp_path, files):
    with pytest.raises(UsageError, match="models are named"):
        attn_inject.diff("resnet1[08]*", "test_resnet")
    listed = tmp_path / "list.txt"
    listed.write_text("tests.operate.test_diff:evil\n")
    with pytest.raises(FileError, match="would run that code"):
        attn_inject.diff("test_resnet", f"@{listed}")


def evil() -> nn.Module:
    raise AssertionError("this code ran")
