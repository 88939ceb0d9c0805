import dataclasses

import pytest
import timm
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn

from attn_inject.cost import site_cost
from attn_inject.cost.cost import Cost
from attn_inject.cost.count import count
from attn_inject.cost.handles import flop_handles
from attn_inject.cost.site_cost import module_cost, module_count, site_costs, with_sites
from attn_inject.models.inputs import InputSpec


class SqueezeExcite(nn.Module):
    """A gate with an identity start, as surgery inserts it."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))
        self.reduce = nn.Conv2d(channels, channels // reduction, 1)
        self.norm = nn.GroupNorm(1, channels // reduction)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        gate = nn.functional.adaptive_avg_pool2d(x, 1)
        gate = self.expand(self.norm(self.reduce(gate)).relu()).sigmoid()
        return x + self.alpha * (x * gate - x)


class Pool(nn.Module):
    """Keeps an option where repr does not show it."""

    def __init__(self, factor):
        super().__init__()
        self.factor = [factor]

    def forward(self, x):
        return nn.functional.interpolate(x, scale_factor=self.factor[0])


@pytest.fixture
def counted(monkeypatch):
    """The shapes that were really counted; the cache starts empty."""
    calls = []
    original = site_cost.count_call
    monkeypatch.setattr(site_cost, "_COUNTED", {})
    monkeypatch.setattr(
        site_cost, "count_call", lambda module, shape: calls.append(shape) or original(module, shape)
    )
    return calls


def blocks_of(model):
    widths = {"layer1": 56, "layer2": 28, "layer3": 14, "layer4": 7}
    for stage, width in ((getattr(model, name), width) for name, width in widths.items()):
        for index in range(len(stage)):
            yield stage, index, width


def test_base_plus_sites_is_what_fvcore_says_of_the_modified_model(counted):
    model = timm.create_model("resnet50").eval()
    base = count(model, InputSpec(size=(3, 224, 224)))
    inserted = []
    for stage, index, width in blocks_of(model):
        channels = stage[index].conv3.out_channels
        module = SqueezeExcite(channels)
        stage[index] = nn.Sequential(stage[index], module)
        inserted.append((module, (1, channels, width, width), 1))
    total = with_sites(base, inserted)
    modified = count(model, InputSpec(size=(3, 224, 224)))
    analysis = FlopCountAnalysis(model, torch.randn(1, 3, 224, 224)).set_op_handle(**flop_handles())
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert total.cost.flops == analysis.total()
    assert total.cost == modified.cost
    assert total.uncounted == modified.uncounted
    assert total.cost.flops > base.cost.flops
    assert len(counted) == 4
    assert sum((cost.params for cost in site_costs(inserted)), base.cost.params) == total.cost.params


def test_a_block_that_runs_twice_pays_twice_but_has_its_parameters_once(counted):
    module = SqueezeExcite(32)
    once = module_cost(module, (1, 32, 4, 4))
    assert once.flops > 0
    assert site_costs([(module, (1, 32, 4, 4), 2)]) == [
        dataclasses.replace(
            once,
            flops=2 * once.flops,
            activations=2 * once.activations,
            gate_operations=2 * once.gate_operations,
            gate_bytes=2 * once.gate_bytes,
        )
    ]
    base = count(nn.Identity(), InputSpec(size=(1, 1, 1)))
    twice = with_sites(base, [(module, (1, 32, 4, 4), 2)])
    assert twice.cost == once.times(2)
    uncounted = module_count(module, (1, 32, 4, 4)).uncounted
    assert twice.uncounted == {kind: 2 * times for kind, times in uncounted.items()}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(SqueezeExcite(32), SqueezeExcite(32, reduction=8), id="option"),
        pytest.param(Pool(2), Pool(3), id="option that repr does not show"),
        pytest.param(nn.Conv2d(32, 32, 3), nn.Conv2d(32, 32, 3, dilation=2), id="dilation"),
        pytest.param(nn.ReLU(), nn.Sigmoid(), id="class"),
        pytest.param(nn.Linear(8, 8), nn.Linear(8, 8, bias=False), id="absent tensor"),
        pytest.param(nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU(), nn.ReLU()), id="children"),
    ],
)
def test_modules_that_differ_are_counted_apart(one, other, counted):
    module_cost(one, (1, 32, 8, 8))
    module_cost(other, (1, 32, 8, 8))
    assert len(counted) == 2


def test_the_same_module_at_another_shape_is_counted_again(counted):
    costs = [module_cost(SqueezeExcite(32), (1, 32, size, size)) for size in (4, 4, 8)]
    assert costs[0] == costs[1] != costs[2]
    assert len(counted) == 2


def test_a_module_that_holds_itself_or_something_unhashable_is_counted_without_a_cache(counted):
    recursive, unhashable = nn.ReLU(), nn.ReLU()
    recursive.parent = [recursive]
    unhashable.odd = bytearray(b"x")
    for module in (recursive, recursive, unhashable, unhashable):
        assert module_cost(module, (1, 2)).by_fvcore == Cost()
    assert len(counted) == 4
