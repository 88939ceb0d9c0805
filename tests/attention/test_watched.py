"""Every module's gates, seen by the same code, are what its output is made with."""

import copy
import math

import pytest
import torch
from torch import nn

from attn_inject.attention import registry
from attn_inject.attention.contract import AttentionModule, watched
from attn_inject.attention.factory import create_attention
from tests.attention.agreement import randomize

NAMES = [*registry.entries(), "se:squeeze=none", "ge-theta:extent=4", "bam:literal=true", "sa:groups=2"]
# They add to the map, or make a new one by weights that they never hold at once.
UNGATED = ["nl", "gc", "a2", "danet-position", "danet-channel", "criss-cross", "sasa", "involution"]
# What mixes branches of the module's own, and sums to one over them.
MIXED = {"sk": 2, "splat": 2, "cot": 2, "epsa": 4}
# How the gates of a module make its output, where that is not the map times each of them.
COMBINED = {
    "scse": lambda x, gates: x * sum(gates),
    "bam": lambda x, gates: x * (1 + gates[0]),
    "bam:literal=true": lambda x, gates: x * (1 + gates[0]),
}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    module = create_attention(name, channels=32, size=(8, 6))
    randomize(module)
    return module.eval()


def field() -> torch.Tensor:
    return torch.randn(2, 32, 8, 6, generator=torch.Generator().manual_seed(1))


def seen_in(module: nn.Module, x: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The gates of one call, and its output."""
    gates: dict[str, torch.Tensor] = {}
    with watched(module, gates.__setitem__):
        return gates, module(x)


def as_wide_as(x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
    """A gate per group as one per channel, and a coarser one as large as the map."""
    if gate.shape[1] not in (1, x.shape[1]):
        gate = gate.repeat_interleave(x.shape[1] // gate.shape[1], dim=1)
    if gate.shape[2] not in (1, x.shape[2]):
        gate = nn.functional.interpolate(gate, size=x.shape[2:], mode="nearest")
    return gate


@pytest.mark.parametrize("name", [name for name in NAMES if name not in [*UNGATED, *MIXED]])
@torch.no_grad()
def test_gates_are_what_multiplies_the_map(name):
    module, x = make(name), field()
    gates, y = seen_in(module, x)
    assert gates
    wide = [as_wide_as(x, gate) for gate in gates.values()]
    if name.startswith("sa"):
        halves = x.unflatten(1, (module.groups, 2, -1))
        pairs = zip((halves[:, :, 0], halves[:, :, 1]), gates.values(), strict=True)
        # It shuffles its channels; their sum does not change.
        expected = sum((half.flatten(1, 2) * gate).sum(1) for half, gate in pairs)
        torch.testing.assert_close(y.sum(1), expected)
        return
    product = COMBINED.get(name, lambda x, gates: x * math.prod(gates))
    torch.testing.assert_close(y, product(x, wide))


@pytest.mark.parametrize(("name", "branches"), MIXED.items())
@torch.no_grad()
def test_gates_of_branches_sum_to_one(name, branches):
    gates, _ = seen_in(make(name), field())
    gate = gates["branches"]
    shape = (-1, branches) if name == "cot" else (branches, -1)
    total = gate.unflatten(1, shape).sum(2 if name == "cot" else 1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("name", UNGATED)
@torch.no_grad()
def test_what_has_no_gate_shows_none(name):
    assert seen_in(make(name), field())[0] == {}


@pytest.mark.parametrize("name", NAMES)
def test_watching_changes_nothing(name):
    module = make(name).train()
    twin = copy.deepcopy(module)
    _, y = seen_in(twin, field())
    assert torch.equal(y, module(field()))
    for ours, theirs in zip(twin.state_dict().values(), module.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert vars(twin).keys() == vars(module).keys()


def test_a_failed_run_leaves_no_watcher():
    module = make("cbam")
    with pytest.raises(RuntimeError, match="in the middle"), watched(module, print):
        raise RuntimeError("in the middle")
    assert "watcher" not in vars(module)


class OwnGate(nn.Module):
    """A plug-in that knows the contract by its words only."""

    acts_on = "channel"

    def __init__(self, channels: int) -> None:
        super().__init__()

    def gate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x.mean((2, 3), keepdim=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x)


class OwnSpatial(AttentionModule):
    """A plug-in that says what its gate is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gated("halos", torch.sigmoid(x.mean(1, keepdim=True)))


class Foreign(nn.Module):
    """A module that knows nothing of the contract, as timm's are."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.act(x.mean((2, 3))).unsqueeze(2).unsqueeze(3)


@pytest.mark.parametrize(
    ("module", "name", "shape"),
    [
        (OwnGate(32), "channels", (2, 32, 1, 1)),
        (OwnSpatial(32), "halos", (2, 1, 8, 6)),
        (Foreign(), "act", (2, 32, 1, 1)),
    ],
)
def test_modules_of_others_are_seen_too(module, name, shape):
    gates, y = seen_in(module, field())
    assert {key: tuple(gate.shape) for key, gate in gates.items()} == {name: shape}
    assert torch.equal(y, field() * gates[name])


@pytest.mark.parametrize("name", ["timm:se", "timm:eca", "timm:cbam"])
@torch.no_grad()
def test_timms_modules_are_seen_too(name):
    gates, y = seen_in(create_attention(name, channels=32).eval(), field())
    torch.testing.assert_close(y, field() * math.prod(gates.values()))
