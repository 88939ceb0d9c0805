"""Ordered tokens: a causal mask is found however it is made; no module that mixes positions acts on them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attn_inject import inject
from attn_inject.errors import FitError
from attn_inject.models.inputs import InputSpec
from attn_inject.sites.finder import find
from attn_inject.sites.order import is_causal
from tests.corpus.per_position import PerPosition

WIDTH, LENGTH = 16, 12


class Attend(nn.Module):
    """One head, and a mask of one kind."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.register_buffer("kept", torch.triu(torch.full((LENGTH, LENGTH), float("-inf")), 1))
        self.register_buffer("lower", torch.ones(1, 1, LENGTH, LENGTH).tril())
        self.plain = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        self.register_buffer("bias", torch.randn(LENGTH, LENGTH))

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.kind == "told":
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if self.kind == "told by position":
            return F.scaled_dot_product_attention(q, k, v, None, 0.0, True)
        if self.kind == "handed on":
            return F.scaled_dot_product_attention(q, k, v, attn_mask=self.plain)
        return self.scores(q @ k.transpose(1, 2)).softmax(-1) @ v

    def scores(self, scores):
        steps = torch.arange(LENGTH, device=scores.device)
        if self.kind == "kept":
            return scores + self.kept
        if self.kind == "filled":
            return scores.masked_fill(self.lower[0] == 0, float("-inf"))
        if self.kind == "made":
            return scores + torch.full_like(scores, float("-inf")).triu(1)
        if self.kind == "compared":
            return scores.masked_fill(steps[None, :] > steps[:, None], float("-inf"))
        if self.kind == "bias":
            return scores + self.bias
        return scores.masked_fill((steps > 3)[None, None], float("-inf"))


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.attend = Attend(kind)

    def forward(self, x):
        return x + self.attend(x)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)

    def forward(self, x):
        return x + self.down(self.up(x).relu())


class Words(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.blocks = nn.Sequential(Block(kind), Mlp())

    def forward(self, x):
        return self.blocks(x)


class Captioner(nn.Module):
    """Words that look at an image, and an image that looks at words."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 8, 8)
        self.words = nn.Parameter(torch.randn(1, LENGTH, WIDTH))
        self.text, self.image = Words("told"), Words("padding")
        self.look = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, image):
        tokens = self.stem(image).flatten(2).transpose(1, 2)
        words = self.text(self.words.expand(len(image), -1, -1))
        return self.image(self.look(tokens, words, words)[0])


def ordered(model, size=(LENGTH, WIDTH)):
    example = torch.randn(2, *size)
    return [found.site.ordered for found in find(model, InputSpec(example=((example,), {}))).found]


@pytest.mark.parametrize(
    "kind", ["told", "told by position", "handed on", "kept", "filled", "made", "compared"]
)
def test_a_causal_mask_orders_the_tokens_of_its_block_and_of_those_behind(kind):
    assert ordered(Words(kind)) == [True, True]


@pytest.mark.parametrize("kind", ["bias", "padding"])
def test_another_bias_or_mask_orders_nothing(kind):
    assert ordered(Words(kind)) == [False, False]


def test_what_looks_at_ordered_tokens_keeps_its_own_order():
    assert ordered(Captioner(), (3, 24, 32)) == [True, True, False, False]


def test_a_layer_of_torch_with_a_mask():
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                nn.TransformerEncoderLayer(WIDTH, 2, 32, batch_first=True) for _ in range(2)
            )

        def forward(self, x):
            mask = nn.Transformer.generate_square_subsequent_mask(LENGTH, device=x.device)
            for layer in self.layers:
                x = layer(x, src_mask=mask)
            return x

    assert ordered(Layers()) == [True, True]


@pytest.mark.parametrize("attention", ["se", "ela-l"])
def test_no_module_that_mixes_positions_acts_on_ordered_tokens(attention):
    with pytest.raises(FitError, match="attend only to those before"):
        inject(Words("told"), attention, example_input=torch.randn(2, LENGTH, WIDTH))


def test_a_module_of_each_position_by_itself_does():
    x = torch.randn(2, LENGTH, WIDTH)
    model = inject(Words("told"), PerPosition, example_input=x, start="paper").model
    later = x.clone()
    later[:, -1] += 1
    assert torch.allclose(model(x)[:, :-1], model(later)[:, :-1], atol=1e-6)
    assert not torch.allclose(model(x)[:, -1], model(later)[:, -1])


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (torch.ones(4, 4).tril(), True),
        (torch.ones(1, 1, 4, 4).tril(), True),
        (torch.full((4, 4), -1e9).triu(1), True),
        (torch.ones(4, 4, dtype=torch.bool).triu(1), True),
        (torch.ones(4, 4), False),
        (torch.eye(4), False),
        (torch.ones(4, 5).tril(), False),
        (torch.ones(2, 4, 4).tril(), False),
        (torch.arange(16.0).reshape(4, 4), False),
    ],
)
def test_which_tensors_are_causal_masks(mask, expected):
    assert is_causal(mask) == expected
