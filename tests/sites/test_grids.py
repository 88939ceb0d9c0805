"""A grid comes from the map that the tokens were made from, and from nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attn_inject import inject
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import find

WIDTH = 16


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer
        self.blocks = nn.ModuleList(layer(WIDTH, 2, 32, batch_first=True, dropout=0.0) for _ in range(2))

    def forward(self, tokens):
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class Tokens(nn.Module):
    """Tokens of a map of 4 x 8, `before` and `behind` it others."""

    def __init__(self, before=0, behind=0):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 4, 4)
        self.before = nn.Parameter(torch.randn(1, before, WIDTH))
        self.behind = nn.Parameter(torch.randn(1, behind, WIDTH))
        self.encoder = Encoder()

    def forward(self, image):
        tokens = self.stem(image).flatten(2).transpose(1, 2)
        expand = [item.expand(len(image), -1, -1) for item in (self.before, self.behind)]
        return self.encoder(torch.cat([expand[0], tokens, expand[1]], 1)).mean(1)


class Words(nn.Module):
    """As many words as a map of 8 x 8 with 13 tokens before it has, beside an image."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 8, 8)
        self.words = nn.Parameter(torch.randn(1, 77, WIDTH))
        self.encoder = Encoder()

    def forward(self, image):
        return self.encoder(self.words + self.stem(image).mean((2, 3))[:, None])


class Queries(Tokens):
    """Queries that look at a map, as many as its positions and four."""

    def __init__(self):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(1, 36, WIDTH))
        self.look = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, image):
        tokens = self.stem(image).flatten(2).transpose(1, 2)
        queries = self.queries.expand(len(image), -1, -1)
        return self.encoder(queries + self.look(queries, tokens, tokens)[0])


class Patches(Tokens):
    """Patches cut by reshaping, without a convolution."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(48, WIDTH)

    def forward(self, image):
        cut = image.reshape(len(image), 3, 4, 4, 8, 4).permute(0, 2, 4, 3, 5, 1)
        return self.encoder(self.project(cut.reshape(len(image), 32, 48)))


def grid_of(model, size=(3, 16, 32)):
    site = find(model, InputSpec(size)).found[0].site
    return site.height, site.width, site.prefix, site.suffix


@pytest.mark.parametrize(("before", "behind"), [(0, 0), (1, 0), (0, 3), (1, 100), (40, 2)])
def test_tokens_before_and_behind(before, behind):
    assert grid_of(Tokens(before, behind)) == (4, 8, before, behind)


def test_patches_that_were_cut_by_reshaping():
    assert grid_of(Patches()) == (4, 8, 0, 0)


@pytest.mark.parametrize(("model", "size"), [(Words, (3, 64, 64)), (Queries, (3, 16, 32))])
def test_tokens_that_were_made_from_no_map_have_no_grid(model, size):
    assert grid_of(model(), size) == (None, None, 0, 0)


def test_a_module_leaves_the_tokens_around_the_grid_alone():
    model = Tokens(1, 3)
    image = torch.randn(2, 3, 16, 32)
    result = inject(model, "ela-l", example_input=image, start="paper")
    inserted = result.model.encoder.blocks[0].attn_inject
    tokens = torch.randn(2, 36, WIDTH)
    changed = inserted(tokens) != tokens
    assert not changed[:, :1].any()
    assert not changed[:, -3:].any()
    assert changed[:, 1:-3].any()


def test_a_channel_gate_serves_all_tokens():
    result = inject(Tokens(1, 3), "se", example_input=torch.randn(2, 3, 16, 32), start="paper")
    tokens = torch.randn(2, 36, WIDTH)
    gate = result.model.encoder.blocks[0].attn_inject(tokens) / tokens
    assert torch.allclose(gate, gate[:, :1].expand_as(gate), atol=1e-5)
