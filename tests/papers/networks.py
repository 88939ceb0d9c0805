"""torchvision's residual networks without memory, with an attention module where a paper has it."""

from collections.abc import Callable

import timm
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from attn_inject.attention.factory import create_attention
from attn_inject.attention.sasa import SASA

SIDES = {1: 56, 2: 28, 3: 14, 4: 7}


def bare(name: str = "resnet50", *, stride_first: bool = False) -> nn.Module:
    """`stride_first` moves a block's stride from its 3x3 to its first 1x1 convolution, as Caffe had it."""
    with torch.device("meta"):
        model: nn.Module = getattr(torchvision.models, name)(weights=None)
    for module in model.modules():
        if stride_first and isinstance(module, Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    return model


def for_cifar(name: str = "resnet50") -> nn.Module:
    """With a 3x3 convolution as its stem, and 100 classes."""
    model = bare(name)
    with torch.device("meta"):
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.fc = nn.Linear(2048, 100)
    model.maxpool = nn.Identity()
    return model


def with_attention(
    model: nn.Module, spec: str, *, stages: tuple[int, ...] = (1, 2, 3, 4), every: int = 1
) -> nn.Module:
    """A module on each branch of these stages, or on every so manieth, after its last norm."""
    for stage in stages:
        for block in list(getattr(model, f"layer{stage}"))[every - 1 :: every]:
            last = "bn3" if isinstance(block, Bottleneck) else "bn2"
            norm = getattr(block, last)
            setattr(block, last, nn.Sequential(norm, attention(spec, norm.num_features, SIDES[stage])))
    return model


def with_attention_after_stages(model: nn.Module, spec: str) -> nn.Module:
    """A module after each of the first three stages."""
    for stage in (1, 2, 3):
        blocks = getattr(model, f"layer{stage}")
        blocks.append(attention(spec, blocks[-1].bn3.num_features, SIDES[stage]))
    return model


def with_attention_for_3x3(model: nn.Module, spec: str = "sasa") -> nn.Module:
    """Instead of each 3x3 of the blocks; if it had a stride, 2x2 average pooling follows."""
    for module in model.modules():
        if isinstance(module, Bottleneck):
            layers: list[nn.Module] = [attention(spec, module.conv2.in_channels, 7)]
            if module.conv2.stride != (1, 1):
                layers.append(nn.AvgPool2d(2))
            module.conv2 = nn.Sequential(*layers)
    return model


def of_timm(name: str, own: str, spec: str) -> nn.Module:
    """A model of timm, with a module in the place of each of its own of a class."""
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name)
    for path, module in list(model.named_modules()):
        if type(module).__name__ == own:
            convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, attention(spec, convs[0].in_channels, 7))
    return model


def without_norms_behind_3x3(model: nn.Module) -> nn.Module:
    """Without the norm that follows each 3x3 of the blocks."""
    for module in model.modules():
        if isinstance(module, Bottleneck):
            module.bn2 = nn.Identity()
    return model


def rednet(spec: str, blocks: tuple[int, ...]) -> nn.Module:
    """ResNet with involution for each 3x3 and in a stem of three layers."""
    with torch.device("meta"):
        model = with_attention_for_3x3(ResNet(Bottleneck, list(blocks)), spec)
        model.conv1 = nn.Sequential(
            *(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(attention(f"{spec}:kernel_size=3", 32, 112), nn.BatchNorm2d(32), nn.ReLU()),
            nn.Conv2d(32, 64, 3, 1, 1, bias=False),
        )
    return model


def van(spec: str, widths: tuple[int, ...], depths: tuple[int, ...]) -> nn.Module:
    """The layers of a Visual Attention Network, to be counted."""

    def block(width: int, ratio: int) -> nn.Module:
        hidden = ratio * width
        mlp = (nn.Conv2d(width, hidden, 1), nn.Conv2d(hidden, hidden, 3, groups=hidden))
        around = (nn.Conv2d(width, width, 1), attention(spec, width, 7), nn.Conv2d(width, width, 1))
        scales = nn.ParameterList([torch.empty(width), torch.empty(width)])
        norms = (nn.BatchNorm2d(width), nn.BatchNorm2d(width))
        return nn.Sequential(*norms, *around, *mlp, nn.Conv2d(hidden, width, 1), scales)

    with torch.device("meta"):
        layers: list[nn.Module] = [nn.Linear(widths[-1], 1000)]
        for at, (width, depth, ratio) in enumerate(zip(widths, depths, (8, 8, 4, 4), strict=True)):
            before, side = (3, 7) if at == 0 else (widths[at - 1], 3)
            layers += [nn.Conv2d(before, width, side), nn.BatchNorm2d(width), nn.LayerNorm(width)]
            layers += [block(width, ratio) for _ in range(depth)]
        return nn.Sequential(*layers)


def attention(spec: str, channels: int, side: int) -> nn.Module:
    with torch.device("meta"):
        return create_attention(spec, channels=channels, size=(side, side))


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def positions_of(model: nn.Module) -> Callable[[], list[tuple[SASA, int]]]:
    """Records, at the next forward, how many positions each self-attention layer has."""
    seen: list[tuple[SASA, int]] = []
    for module in model.modules():
        if isinstance(module, SASA):
            module.register_forward_hook(
                lambda m, args, _: seen.append((m, args[0].shape[2] * args[0].shape[3]))
            )
    return lambda: seen


def with_attention_inside(model: nn.Module, spec: str) -> nn.Module:
    """MobileNetV2 with a module after the depthwise convolution of each block that expands."""
    for block in model.features:
        layers = getattr(block, "conv", None)
        if isinstance(layers, nn.Sequential) and len(layers) == 4:  # expand, depthwise, project, norm
            layers.insert(2, attention(spec, layers[1][0].out_channels, 7))
    return model
