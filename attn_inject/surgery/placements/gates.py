"""The models' own attention modules in timm and torchvision."""

from __future__ import annotations

from torch import nn

# The channel and spatial attention of timm and torchvision that keeps a map's shape, by class name: the
# classes are private to model files, and some are defined more than once.
GATES = frozenset(
    {
        "BatNonLocalAttn",
        "CbamModule",
        "CecaModule",
        "CoordAttn",
        "EcaModule",
        "EffectiveSEModule",
        "EfficientLocalAttn",
        "EseModule",
        "GatherExcite",
        "GlobalContext",
        "LightCbamModule",
        "NonLocalAttn",
        "SEModule",
        "SimpleCoordAttn",
        "SqueezeExcitation",
        "SqueezeExcite",
        "SqueezeExciteCl",
        "StripAttn",
    }
)


def is_attention(module: nn.Module) -> bool:
    """Whether a module is channel or spatial attention of timm or torchvision."""
    return not GATES.isdisjoint(base.__name__ for base in type(module).__mro__)
