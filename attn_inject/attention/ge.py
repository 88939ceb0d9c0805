"""Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks (arXiv 1810.12348).

    u = gather(x)                 each channel by itself, over windows of the extent e, or over the whole map
    y = x * sigmoid(excite(u))    u is resized to the map's size, nearest neighbour

| name | gather | excite |
|---|---|---|
| theta-minus | the mean over windows of 2 e - 1, e apart; or over the map | nothing |
| theta | log2(e) depthwise 3x3 convolutions, 2 apart, with a norm each and a ReLU between them | nothing |
| | over the whole map, one depthwise convolution of its size with a norm | |
| theta-plus | as theta, with a ReLU at the end | W2 relu(W1 u), C -> C/r -> C |

Parameters, with the extent of the whole map: 0; C H W + 2 C; C H W + 3 C + 2 C h + h with h = max(1, C // r).
With e: 0; 11 C log2(e); 11 C log2(e) + C + 2 C h + h.

Deviations: none known. The authors' network files show the extent of the whole map, and their figure the
extent 8. `relu=False` omits the ReLUs between the convolutions, which version 0.1 did. The gather starts with
normal weights of variance 2 / inputs, the excite with ones of standard deviation 0.01 and biases of zero, as
in the authors' network files. Over the whole map theta and theta-plus accept one map size only.

Legend: N batch, C channels, H rows, W columns, h hidden channels; H', W' gathered rows and columns.
"""

from __future__ import annotations

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from attn_inject.attention import parts
from attn_inject.attention.contract import AttentionModule

_EXTENTS = (2, 4, 8)


class GEThetaMinus(AttentionModule):
    """Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks.

    Hu et al., arXiv 1810.12348. This one has no parameters.

    Args:
        channels: C of the map.
        extent: e, 2, 4 or 8 positions, or `global` for the whole map.

    Shape:
        (N, C, H, W) -> (N, C, H, W).

    Raises:
        ValueError: `extent` is none of these.
    """

    acts_on = "channel"

    def __init__(self, channels: int, *, extent: int | str = "global") -> None:
        super().__init__(channels, extent=extent)
        require_extent("GEThetaMinus", extent)
        self.extent = extent
        if extent != "global":
            self.acts_on = "spatial"

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H', W'), which is (N, C, 1, 1) for the whole map."""
        if self.extent == "global":
            return torch.sigmoid(x.mean((2, 3), keepdim=True))
        e = int(self.extent)
        u = F.avg_pool2d(x, 2 * e - 1, stride=e, padding=e - 1, count_include_pad=False)
        return torch.sigmoid(u)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, "GEThetaMinus", self.channels)
        gate = self.gate(x)
        return x * (gate if self.extent == "global" else spread_like(gate, x))


class GETheta(AttentionModule):
    """Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks.

    Hu et al., arXiv 1810.12348. This one learns its gather.

    Args:
        channels: C of the map.
        extent: e, 2, 4 or 8 positions, or `global` for the whole map.
        relu: Whether a ReLU stands between the convolutions of an extent of 4 or 8.
        size: (H, W) of the only maps that it accepts, in positions; for `global` only.

    Shape:
        (N, C, H, W) -> (N, C, H, W), with the H, W of `size` for `global`.

    Raises:
        ValueError: `extent` is none of these, or it is `global` and `size` is not two whole numbers from 1.
    """

    acts_on = "channel"
    needs_size = True

    def __init__(
        self,
        channels: int,
        *,
        extent: int | str = "global",
        relu: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(channels, extent=extent, relu=relu)
        self._gather_over(extent, relu, size)

    def _gather_over(self, extent: int | str, relu: bool, size: tuple[int, int] | None) -> None:
        name = type(self).__name__
        require_extent(name, extent)
        if extent == "global":
            parts.require_size(name, size)
            self.size = size
            self.gather: nn.Module = WholeMap(self.channels, size or (1, 1))
        else:
            self.size = None
            self.acts_on, self.needs_size = "spatial", False
            self.gather = Steps(self.channels, int(extent), relu=relu)

    def excite(self, u: torch.Tensor) -> torch.Tensor:
        """(N, C, H', W') -> (N, C, H', W')."""
        return u

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H', W'), which is (N, C, 1, 1) for the whole map."""
        return torch.sigmoid(self.excite(self.gather(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate the map, (N, C, H, W) -> (N, C, H, W)."""
        parts.check_map(x, type(self).__name__, self.channels, self.size)
        gate = self.gate(x)
        return x * (gate if self.size is not None else spread_like(gate, x))


class GEThetaPlus(GETheta):
    """Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks.

    Hu et al., arXiv 1810.12348. This one learns its gather and its excite.

    Args:
        channels: C of the map.
        extent: e, 2, 4 or 8 positions, or `global` for the whole map.
        reduction: r, how many channels share one hidden channel of the excite.
        relu: Whether a ReLU stands between the convolutions of an extent of 4 or 8.
        size: (H, W) of the only maps that it accepts, in positions; for `global` only.

    Shape:
        (N, C, H, W) -> (N, C, H, W), with the H, W of `size` for `global`.

    Raises:
        ValueError: `extent` is none of these, `reduction` is not a whole number from 1, or the extent is
            `global`
            and `size` is not two whole numbers from 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        extent: int | str = "global",
        reduction: int = 16,
        relu: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        AttentionModule.__init__(self, channels, extent=extent, reduction=reduction, relu=relu)
        parts.require_count("GEThetaPlus", "reduction", reduction)
        self._gather_over(extent, relu, size)
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=0.01)
        parts.zero_bias_(self.fc1, self.fc2)

    def excite(self, u: torch.Tensor) -> torch.Tensor:
        """(N, C, H', W') -> (N, C, H', W')."""
        hidden = F.relu(self.fc1(F.relu(u)))  # (N, h, H', W')
        excited: torch.Tensor = self.fc2(hidden)
        return excited


class WholeMap(nn.Module):
    """One weight per channel and position, and a norm, (N, C, H, W) -> (N, C, 1, 1).

    This is a depthwise convolution whose kernel has the size of the map, computed as a weighted sum, since a
    convolution takes many times as long for a kernel of this size.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        parts.init_he_(self.conv, mode="fan_in")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, 1, 1)."""
        weight = self.conv.weight.squeeze(1).to(x.dtype)  # (C, H, W)
        gathered: torch.Tensor = self.bn(torch.einsum("nchw,chw->nc", x, weight)[:, :, None, None])
        return gathered


class Steps(nn.Sequential):
    """log2(extent) depthwise convolutions, 2 apart, each with its norm, (N, C, H, W) -> (N, C, H', W')."""

    def __init__(self, channels: int, extent: int, *, relu: bool) -> None:
        layers: list[nn.Module] = []
        for _ in range(extent.bit_length() - 1):
            conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
            parts.init_he_(conv, mode="fan_in")
            layers += [conv, nn.BatchNorm2d(channels)]
        super().__init__(*layers)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, C, H', W')."""
        last = len(self) - 1
        for at, layer in enumerate(self):
            x = layer(x)
            # No layer of its own, so that the keys do not depend on it.
            if self.relu and at % 2 and at != last:
                x = F.relu(x)
        return x


def spread_like(gate: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Nearest neighbours, (N, C, H', W') -> (N, C, H, W)."""
    return F.interpolate(gate, size=x.shape[2:], mode="nearest").to(x.dtype)


def require_extent(module: str, extent: object) -> None:
    """Refuse everything but `global` and the paper's extents."""
    accepted = extent == "global" or (extent in _EXTENTS and not isinstance(extent, bool))
    parts.require(accepted, module, "extent", extent, "`global`, 2, 4 or 8")
