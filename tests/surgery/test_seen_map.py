"""Tokens of another image shape: rows and columns are those of the call, or an error says so."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from attn_inject import inject, load, remove
from attn_inject.errors import ModelError
from attn_inject.request import ModelRequest
from attn_inject.sites.site import MapSource
from attn_inject.surgery.adapters import TokenGrid
from attn_inject.surgery.seen_map import SeenMap, scaled, seen_by

WIDTH = 8
LANDSCAPE, PORTRAIT = torch.randn(2, 3, 16, 32), torch.randn(2, 3, 32, 16)


class Rows(nn.Module):
    """Writes its row into each position."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        rows = torch.arange(x.shape[2], dtype=x.dtype, device=x.device)
        return x * 0 + self.scale * rows[:, None].expand(x.shape)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return x + self.mlp(self.norm(x))


class Net(nn.Module):
    """One block on the patches of any image, with a token before them."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.block = Block()

    def forward(self, image):
        tokens = self.stem(image).flatten(2).transpose(1, 2)
        return self.block(torch.cat([self.token.expand(len(image), -1, -1), tokens], 1))


class CutNet(Net):
    """The same with patches cut by reshaping, so that only the image shows their rows."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(48, WIDTH)

    def forward(self, image):
        n, c, h, w = image.shape
        cut = image.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        tokens = self.project(cut)
        return self.block(torch.cat([self.token.expand(n, -1, -1), tokens], 1))


def rows_of(model, image):
    """The row that each patch was given."""
    with torch.no_grad():
        return model(image)[0, 1:, 0].long().tolist()


def expected(image):
    rows, columns = image.shape[2] // 4, image.shape[3] // 4
    return [row for row in range(rows) for _ in range(columns)]


def modified(net=Net):
    return inject(net().eval(), Rows, example_input=LANDSCAPE, start="paper", check="off").model


@pytest.mark.parametrize("net", [Net, CutNet])
def test_rows_are_those_of_the_call(net):
    model = modified(net)
    for image in (LANDSCAPE, PORTRAIT, torch.randn(1, 3, 8, 64), LANDSCAPE):
        assert rows_of(model, image) == expected(image)


def test_compiled():
    compiled = torch.compile(modified(), backend="eager", fullgraph=True)
    for image in (LANDSCAPE, PORTRAIT, torch.randn(1, 3, 48, 16), LANDSCAPE):
        assert rows_of(compiled, image) == expected(image)


def test_exported_for_images_of_any_size():
    sides = {axis: 4 * torch.export.Dim(name, min=2, max=64) for axis, name in ((2, "rows"), (3, "columns"))}
    program = torch.export.export(modified(), (torch.randn(2, 3, 24, 32),), dynamic_shapes={"image": sides})
    for image in (LANDSCAPE, PORTRAIT):
        assert rows_of(program.module(), image) == expected(image)


def test_copies_and_files_see_their_own_calls(tmp_path):
    model = modified()
    model(LANDSCAPE)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert rows_of(other, PORTRAIT) == expected(PORTRAIT)
        assert rows_of(other.block, torch.zeros(1, 33, WIDTH))
    assert model.block.attn_inject.grid.seen.size == (4, 8)


def vit(size):
    torch.manual_seed(0)
    return timm.create_model("vit_tiny_patch16_224", img_size=size, dynamic_img_size=True, depth=2)


def test_a_model_that_was_modified_for_another_shape():
    """Portrait through a model that was modified for landscape is what one modified for portrait computes."""
    models = []
    for size in ((112, 224), (224, 112)):
        torch.manual_seed(1)
        models.append(inject(vit((112, 224)), "ela-l", input_size=size, start="paper", check="off").model)
    image = torch.randn(1, 3, 224, 112)
    with torch.no_grad():
        assert torch.equal(*(model.eval()(image) for model in models))
        for model in models:
            model.set_input_size((64, 256))
        assert torch.equal(*(model(torch.ones(1, 3, 64, 256).cumsum(2)) for model in models))


def test_a_saved_model(tmp_path):
    path = tmp_path / "m.pt"
    built = {"img_size": [112, 224], "dynamic_img_size": True, "depth": 2}
    request = ModelRequest(name="vit_tiny_patch16_224", model_args=built, input_size=(3, 112, 224))
    model = inject(request, "ela-l", out=path).model
    model.eval()
    image = torch.randn(1, 3, 224, 112)
    with torch.no_grad():
        assert torch.equal(load(path).eval()(image), model(image))


def test_a_larger_model_that_holds_it():
    model = nn.Sequential(nn.Identity(), modified())
    assert rows_of(model, PORTRAIT) == expected(PORTRAIT)


def test_tokens_that_are_not_the_map_are_an_error():
    model = modified()
    model(LANDSCAPE)
    with pytest.raises(ModelError, match="31 tokens are not the 4 x 8 positions of the map that stem made"):
        model.block(torch.zeros(1, 32, WIDTH))


def test_a_backward_that_runs_blocks_again():
    class Checkpointed(Net):
        def forward(self, image):
            tokens = self.stem(image).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(len(image), -1, -1), tokens], 1)
            return checkpoint(self.block, tokens, use_reentrant=False)

    model = inject(Checkpointed(), "ela-l", example_input=LANDSCAPE, start="paper", check="off").model
    for image in (LANDSCAPE, PORTRAIT):
        model(image).sum().backward()
    (model(LANDSCAPE).sum() + model(torch.randn(1, 3, 8, 16)).sum()).backward()
    with pytest.raises(ModelError, match="nothing says which"):
        (model(LANDSCAPE).sum() + model(PORTRAIT).sum()).backward()


def test_removing_takes_the_hook_away():
    model = modified()
    assert seen_by(model.stem)
    assert not seen_by(remove(model).stem)
    assert not model.stem._forward_hooks
    assert not remove(modified(CutNet))._forward_pre_hooks


def test_a_grid_at_another_scale_than_its_source():
    source = MapSource(name="", height=64, width=128)
    assert scaled(source, (128, 64), (4, 8)) == (8, 4)
    seen = SeenMap(of_input=True)
    seen(nn.Identity(), (), {"image": torch.zeros(1, 3, 128, 64)})
    assert TokenGrid(4, 8, source=source, seen=seen).size(32) == (8, 4)
