"""What the `replace-*` placements take out: convolutions of blocks, or the attention that a model has.

The module that is replaced stays where it is, as the object that it is: it loses its parameters and
children, gains the inserted child, and its forward runs that alone. So names, attributes, `isinstance` and
whatever surrounds it hold, in a block that torch.fx cannot trace too.

Legend: N batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from attn_inject.sites.findings import FoundSite
from attn_inject.sites.recording import Node, Recording
from attn_inject.sites.site import Rejection

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


@dataclass(frozen=True)
class Target:
    """A convolution that attention can stand for.

    Attributes:
        name: Its qualified name in the model.
        module: The convolution (of the recorded copy).
        shape: Of its input, (N, C, H, W).
        stride: Of both axes; the average pool after the attention has it.
        calls: How often one forward of the model runs it.
    """

    name: str
    module: nn.Conv2d
    shape: tuple[int, ...]
    stride: int
    calls: int

    @property
    def note(self) -> str:
        """What the attention does not take over from the convolution, or ""."""
        dilation = max(self.module.dilation)
        return f"the convolution's dilation of {dilation} is not kept" if dilation > 1 else ""


def is_attention(module: nn.Module) -> bool:
    """Whether a module is channel or spatial attention of timm or torchvision."""
    return not GATES.isdisjoint(base.__name__ for base in type(module).__mro__)


def attention_of(model: nn.Module) -> tuple[str, ...]:
    """Names of the attention modules that a model has of its own, the outermost of nested ones."""
    names: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{other}.") for other in names)
        if not inside and is_attention(module):
            names.append(name)
    return tuple(names)


def convolutions(found: FoundSite, recording: Recording) -> list[Target | Rejection]:
    """Each spatial convolution of a block, as a target or with the reason why it is none.

    Args:
        found: The block.
        recording: The run that it was found in.
    """
    calls = Counter(node.name for node in _calls(recording))
    inside = {node.name: node for node in _calls(recording) if node.name.startswith(f"{found.site.name}.")}
    spatial = [node for node in inside.values() if _is_spatial(node.module)]
    return [_target(node, calls[node.name]) for node in spatial] or [
        Rejection(name=found.site.name, reason="the block has no spatial convolution of a map")
    ]


def _is_spatial(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Conv2d) and max(module.kernel_size) > 1


def _calls(recording: Recording) -> Iterator[Node]:
    for call in recording.calls:
        yield from (node for node in call.nodes if node.kind == "call")


def _target(node: Node, calls: int) -> Target | Rejection:
    conv, shape = node.module, node.inputs[0].shape
    assert isinstance(conv, nn.Conv2d)
    size = tuple(-(-length // conv.stride[0]) for length in shape[2:])
    reason = None
    if any("attn_inject" in name for name, _ in conv.named_children()):
        reason = "it is replaced already"
    elif len(shape) != 4:
        reason = f"its input has {len(shape)} dimensions, not 4"
    elif conv.in_channels != conv.out_channels:
        reason = f"it maps {conv.in_channels} channels to {conv.out_channels}, attention keeps their number"
    elif conv.stride[0] != conv.stride[1]:
        reason = f"its stride differs between rows and columns: {conv.stride}"
    elif node.shape[2:] != size:
        made = "x".join(map(str, node.shape[2:]))
        reason = f"it makes a map of {made}, and attention with a pool one of {'x'.join(map(str, size))}"
    if reason:
        return Rejection(name=node.name, reason=reason)
    return Target(node.name, conv, shape, conv.stride[0], calls)
