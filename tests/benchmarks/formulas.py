"""The attention modules as their formulas read, with torch's own layers, to be measured against.

Each takes our module, for its tensors, and a map (N, C, H, W); what a careful author would write first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

Formula = Callable[[nn.Module, torch.Tensor], torch.Tensor]


def se(m, x):
    z = F.adaptive_avg_pool2d(x, 1)
    return x * torch.sigmoid(m.fc2(F.relu(m.fc1(z))))


def ela(m, x):
    n, c, h, w = x.shape
    a_h = torch.sigmoid(m.axes[0](x.mean(3))).view(n, c, h, 1)
    a_w = torch.sigmoid(m.axes[-1](x.mean(2))).view(n, c, 1, w)
    return x * a_h * a_w


def sa(m, x):
    n, c, h, w = x.shape
    x0, x1 = x.reshape(n * m.groups, -1, h, w).chunk(2, dim=1)
    k = m.half_channels
    z = F.adaptive_avg_pool2d(x0, 1)
    y0 = x0 * torch.sigmoid(m.cweight.view(1, k, 1, 1) * z + m.cbias.view(1, k, 1, 1))
    normed = F.group_norm(x1, k, m.norm_weight, m.norm_bias)
    y1 = x1 * torch.sigmoid(m.sweight.view(1, k, 1, 1) * normed + m.sbias.view(1, k, 1, 1))
    return torch.cat([y0, y1], 1).reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def nam_channel(m, x):
    weight = m.bn.weight.detach().abs()
    gate = (m.bn(x).permute(0, 2, 3, 1) * (weight / weight.sum())).permute(0, 3, 1, 2)
    return torch.sigmoid(gate.contiguous()) * x


def nam_spatial(m, x):
    n, c, h, w = x.shape
    weight = m.bn.weight.detach().abs()
    normed = m.bn(x.view(n, c, h * w).permute(0, 2, 1).contiguous())
    gate = (normed.permute(0, 2, 1) * (weight / weight.sum())).reshape(n, c, h, w)
    return torch.sigmoid(gate) * x


def nam(m, x):
    return nam_spatial(m.spatial, nam_channel(m.channel, x))


def bam(m, x):
    m_c = m.channel(F.adaptive_avg_pool2d(x, 1)).expand_as(x)
    return x * (1 + torch.sigmoid(m_c * m.spatial(x).expand_as(x)))


def sge(m, x):
    n, c, h, w = x.shape
    grouped = x.reshape(n * m.groups, -1, h, w)
    a = (grouped * F.adaptive_avg_pool2d(grouped, 1)).sum(1).view(n * m.groups, -1)
    a = (a - a.mean(1, keepdim=True)) / (a.std(1, keepdim=True) + 1e-5)
    t = a.view(n, m.groups, h, w) * m.weight.view(1, -1, 1, 1) + m.bias.view(1, -1, 1, 1)
    return (grouped * torch.sigmoid(t.view(n * m.groups, 1, h, w))).view(n, c, h, w)


def tam(m, x):
    def branch(plane, x):
        pooled = torch.cat([x.max(1, keepdim=True).values, x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(plane(pooled))

    y_h = branch(m.over_rows, x.permute(0, 2, 1, 3).contiguous()).permute(0, 2, 1, 3)
    y_w = branch(m.over_columns, x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    return (y_h + y_w + branch(m.over_channels, x)) / 3


def ge_theta_minus(m, x):
    return x * torch.sigmoid(F.interpolate(F.adaptive_avg_pool2d(x, 1), size=x.shape[2:]))


def ge_theta(m, x):
    u = m.gather.bn(m.gather.conv(x))
    return x * torch.sigmoid(F.interpolate(m.excite(u), size=x.shape[2:]))


def gc(m, x):
    n, c, h, w = x.shape
    alpha = torch.softmax(m.mask(x).view(n, 1, h * w), 2).unsqueeze(3)
    ctx = torch.matmul(x.view(n, 1, c, h * w), alpha).view(n, c, 1, 1)
    return x + m.fc2(F.relu(m.norm(m.fc1(ctx))))


def scse(m, x):
    s = torch.sigmoid(m.fc2(F.relu(m.fc1(F.adaptive_avg_pool2d(x, 1)))))
    return x * s + x * torch.sigmoid(m.position(x))


def ema(m, x):
    n, c, h, w = x.shape
    part = x.reshape(n * m.groups, -1, h, w)
    z = m.strip(torch.cat([part.mean(3), part.mean(2)], 2))
    a_h, a_w = torch.sigmoid(z[:, :, :h]).unsqueeze(3), torch.sigmoid(z[:, :, h:]).unsqueeze(2)
    p, q = m.norm(part * a_h * a_w), m.conv(part)

    def mixed(scores, values):
        shares = torch.softmax(F.adaptive_avg_pool2d(scores, 1).flatten(1), 1).unsqueeze(1)
        return torch.matmul(shares, values.flatten(2))

    a = (mixed(p, q) + mixed(q, p)).view(-1, 1, h, w)
    return (part * torch.sigmoid(a)).reshape(n, c, h, w)


def simam(m, x):
    d = (x - x.mean((2, 3), keepdim=True)).pow(2)
    v = d.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3] - 1)
    return x * torch.sigmoid(d / (4 * (v + m.regularization)) + 0.5)


def srm(m, x):
    flat = x.flatten(2)
    t = torch.stack([flat.mean(2), (flat.var(2, correction=0) + 1e-5).sqrt()], 2)
    return x * torch.sigmoid(m.bn((t * m.weight).sum(2))).view(*x.shape[:2], 1, 1)


def a2(m, x):
    a, b, v = m.features(x).flatten(2), m.gather(x).flatten(2), m.hand_out(x).flatten(2)
    gathered = torch.bmm(a, torch.softmax(b, 2).transpose(1, 2))
    return x + m.out(torch.bmm(gathered, torch.softmax(v, 1)).view(x.shape[0], -1, *x.shape[2:]))


def spm(m, x):
    rows, columns = m.rows(x.mean(3)).unsqueeze(3), m.columns(x.mean(2)).unsqueeze(2)
    return x * torch.sigmoid(m.mix(F.relu(rows.expand_as(x) + columns.expand_as(x))))


def gam(m, x):
    x = x * torch.sigmoid(m.fc2(F.relu(m.fc1(x))))
    return x * torch.sigmoid(m.bn2(m.conv2(F.relu(m.bn1(m.conv1(x))))))


def sasa(m, x):
    """Keys and values of each window, copied side by side."""
    n, c, h, w = x.shape
    k, reach = m.kernel_size, m.kernel_size // 2
    q, keys, values = (conv(x) for conv in (m.query, m.key, m.value))
    q = q.view(n, m.heads, -1, 1, h * w)

    def windows(t):
        return F.unfold(t, k, padding=reach).view(n, m.heads, -1, k * k, h * w)

    row, column = m.row.unsqueeze(1).expand(k, k, -1), m.column.unsqueeze(0).expand(k, k, -1)
    r = torch.cat([row, column], 2).flatten(0, 1).t().unsqueeze(2)  # (D, k k, 1)
    logits = (q * (windows(keys) + r)).sum(2)
    outside = F.unfold(torch.ones_like(x[:1, :1]), k, padding=reach) == 0  # (1, k k, H W)
    weights = logits.masked_fill(outside.unsqueeze(1), float("-inf")).softmax(2)
    return (weights.unsqueeze(2) * windows(values)).sum(3).view(n, c, h, w)


FORMULAS: dict[str, Formula] = {
    **dict.fromkeys(("ela-t", "ela-b", "ela-s", "ela-l"), ela),
    "sa": sa,
    "nam": nam,
    "nam-channel": nam_channel,
    "nam-spatial": nam_spatial,
    "bam": bam,
    "sge": sge,
    "tam": tam,
    "ge-theta-minus": ge_theta_minus,
    "ge-theta": ge_theta,
    "ge-theta-plus": ge_theta,
    "scse": scse,
    "ema": ema,
    "simam": simam,
    "srm": srm,
    "a2": a2,
    "spm": spm,
    "gam": gam,
    "sasa": sasa,
}
