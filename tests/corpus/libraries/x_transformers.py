"""x-transformers: stacks that add in their own forward, through a child that sums its two arguments.

What states the number of layers are the constructors' arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import x_transformers

from tests.corpus.case import Case, stated

SMALL = {"dim": 32, "depth": 3, "heads": 2}


def vision(title: str, settings: Mapping[str, Any]) -> Case:
    """A vision transformer."""

    def build() -> torch.nn.Module:
        stack = x_transformers.Encoder(**settings)
        return x_transformers.ViTransformerWrapper(
            image_size=32, patch_size=8, num_classes=5, attn_layers=stack
        )

    example = partial(torch.randn, 2, 3, 32, 32)
    return Case(title, build, example, lambda _: [stated("attn_layers*", settings["depth"])])


def language(title: str, settings: Mapping[str, Any]) -> Case:
    """A causal transformer of tokens."""

    def build() -> torch.nn.Module:
        stack = x_transformers.Decoder(**settings)
        return x_transformers.TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=stack)

    example = partial(torch.randint, 50, (2, 16))
    return Case(title, build, example, lambda _: [stated("attn_layers*", settings["depth"])])


CASES = [
    vision("ViTransformerWrapper", SMALL),
    vision("ViTransformerWrapper, sandwich norm, GLU", {**SMALL, "sandwich_norm": True, "ff_glu": True}),
    vision("ViTransformerWrapper, scaled residual", {**SMALL, "scale_residual": True}),
    language("TransformerWrapper, rotary", {**SMALL, "rotary_pos_emb": True}),
]
