"""Attention modules without a model around them, as they stand in a network of maps or of tokens."""

from __future__ import annotations

import torch
from torch import nn

from attn_inject.attention.factory import create_attention
from attn_inject.models.inputs import InputSpec
from attn_inject.surgery.adapters import TokenGrid
from attn_inject.surgery.inserted import AttnInject

MAP = InputSpec((32, 7, 7))


class OnMaps(nn.Module):
    """Several modules side by side on one map; (N, C, H, W) -> (N, modules, C, H, W)."""

    def __init__(self, names, channels=32, **inserted):
        super().__init__()
        self.parts = nn.ModuleDict(
            {
                name: AttnInject(create_attention(name, channels=channels, size=(7, 7)), **inserted)
                for name in names
            }
        )

    def forward(self, x):
        return torch.stack([module(x) for module in self.parts.values()], dim=1)


class OnTokens(OnMaps):
    """The same behind a class token and a grid of tokens; (N, C, H, W) -> (N, modules, 1 + H*W, C)."""

    def __init__(self, names):
        super().__init__(names, layout="NLC", grid=TokenGrid(7, 7, 1))

    def forward(self, x):
        tokens = torch.cat([x.mean((2, 3))[:, None], x.flatten(2).transpose(1, 2)], dim=1)
        return super().forward(tokens)
