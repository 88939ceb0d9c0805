"""The cost table through the public API."""

from __future__ import annotations

import copy

import pytest
from torch import nn

import attn_inject
from attn_inject.attention import registry
from attn_inject.cost import count as counting
from attn_inject.cost import site_cost
from attn_inject.cost.count import count
from attn_inject.cost.figures import value
from attn_inject.cost.handles import flop_handles
from attn_inject.errors import (
    CheckFailedError,
    FileError,
    ModelError,
    NoSiteError,
    UnknownNameError,
    UsageError,
)
from attn_inject.operate import searched
from attn_inject.operate.edits import plan_edits
from attn_inject.operate.model_names import expand
from attn_inject.operate.searched import search_shapes
from attn_inject.request import ModelRequest, Plan, as_specs
from attn_inject.surgery.apply import apply_edits
from tests.operate.sweep import MODELS, compare

# As small as they come: fvcore follows every window of sasa, which takes it long.
SPECS = ["sasa:kernel_size=3" if name == "sasa" else name for name in registry.entries()]
# `tests.operate.sweep` compares all modules on all of these.
PAIRS = list(zip(MODELS, ("bam", "ela-l", "ge-theta-plus", "sa", "simam", "nl"), strict=True))


@pytest.fixture
def counted(monkeypatch):
    """The classes of what was really traced; nothing is known from before."""
    traced = []
    original = counting._count
    for known in (site_cost._COUNTED, searched._KNOWN):
        known.clear()
    monkeypatch.setattr(
        counting,
        "_count",
        lambda model, inputs: traced.append(type(model).__name__) or original(model, inputs),
    )
    return traced


@pytest.mark.parametrize("attention", [None, *SPECS])
def test_a_row_is_what_fvcore_says_of_the_real_modified_model(attention):
    row = attn_inject.stats(["test_resnet"], attention or "se").rows[attention is not None]
    assert (row.attention, row.reason) == (attention, None)
    assert compare("test_resnet", row) == ""


@pytest.mark.parametrize(("name", "attention"), PAIRS)
def test_a_row_is_what_the_whole_modified_model_costs(name, attention):
    row = attn_inject.stats([name], attention).rows[1]
    plan = Plan(attention=as_specs(attention))
    subject = search_shapes(expand(name)[0], plan)
    result = plan_edits(subject, plan, has_weights=False)
    model = copy.deepcopy(subject.loaded.model)
    apply_edits(model, result)
    total = count(model, subject.loaded.inputs)
    assert (row.params, row.flops, row.activations) == tuple(total.cost.to_json().values())
    assert row.sites == len(result) > 0
    assert row.gate_operations == total.cost.gate_operations - subject.base.cost.gate_operations
    assert row.gate_bytes == total.cost.gate_bytes - subject.base.cost.gate_bytes
    assert result.total.uncounted == total.uncounted


def test_the_identity_start_counts_its_alpha():
    paper, identity = (
        attn_inject.stats(["test_resnet"], "se", start=start).rows[1] for start in ("paper", "identity")
    )
    assert identity.delta_params == paper.delta_params + 4
    assert identity.gate_operations > paper.gate_operations


def test_the_base_is_counted_once_and_each_module_once_for_each_shape(counted):
    attn_inject.stats(["resnet18"], ["se", "eca"])
    assert counted.count("ResNet") == 1
    assert counted.count("AttnInject") == 2 * 4
    attn_inject.stats(["resnet18"], ["simam"])
    assert counted.count("ResNet") == 1
    attn_inject.stats(["resnet34", "resnet18"], ["se", "eca"])
    assert counted.count("ResNet") == 2
    assert counted.count("AttnInject") == 3 * 4


def test_sites_add_up_to_the_row():
    row = attn_inject.stats(["test_resnet"], "ela-l", per_site=True).rows[1]
    assert [site.site.name for site in row.per_site] == ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    for quantity in ("params", "flops", "activations"):
        assert sum(getattr(s, quantity) for s in row.per_site) == getattr(row, f"delta_{quantity}")
    assert sum(site.gate_bytes for site in row.per_site) == row.gate_bytes
    assert attn_inject.stats(["test_resnet"], "ela-l").rows[1].per_site == ()


def test_what_is_taken_out_is_subtracted():
    subject = search_shapes(expand("test_resnet")[0], Plan(attention=as_specs("se")))
    block = subject.loaded.model.get_submodule("layer3.0.conv2")
    shape = (1, block.in_channels, 20, 20)
    part = subject.base.by_module["layer3.0.conv2"]
    left = site_cost.with_sites(subject.base, [], removed=[(block, shape, 1)])
    assert left.cost == subject.base.cost - part.cost
    assert part.cost.flops > 0


def test_gates_cost_what_they_read_and_write():
    row = attn_inject.stats(["test_resnet"], "eca", per_site=True).rows[1]
    site = row.per_site[0]
    elements, channels = 32 * 40 * 40, 32
    # The mean reads the map; the product reads it again, with the gate, and writes it; the sigmoid is small.
    assert site.gate_operations == 2 * elements + channels
    assert site.gate_bytes == 4 * (3 * elements + channels * (1 + 1 + 1 + 1))


class Unfit(nn.Module):
    """No input of this size will do."""

    def forward(self, x):
        raise ValueError("no such size")


def unfit():
    return Unfit()


def test_a_model_of_a_list_that_fails_keeps_its_row_and_a_named_one_is_an_error(tmp_path):
    models = tmp_path / "models.txt"
    models.write_text(f"# two models\ntest_resnet\n{__name__}:unfit\n")
    with pytest.raises(FileError, match="using it would run that code"):
        attn_inject.stats([f"@{models}"], ["se"])
    rows = attn_inject.stats([ModelRequest(name=f"@{models}", trust=True)], ["se"]).rows
    assert [row.model for row in rows] == ["test_resnet", "test_resnet", f"{__name__}:unfit"]
    assert "no such size" in rows[2].reason
    assert rows[2].params is None
    with pytest.raises(ModelError, match="no such size"):
        attn_inject.stats([f"{__name__}:unfit"], ["se"])


class Refusing(nn.Module):
    """Accepts no map at all."""

    def __init__(self, channels):
        super().__init__()
        raise ValueError("channels are out of season")


def test_a_module_that_does_not_fit_keeps_its_row():
    rows = attn_inject.stats(["test_resnet"], ["se", f"{__name__}:Refusing"]).rows
    assert rows[1].reason is None
    assert "out of season" in rows[2].reason
    assert (rows[2].params, rows[2].gate_bytes, rows[2].per_site) == (None, None, ())


def test_strict_names_what_was_not_counted():
    with pytest.raises(CheckFailedError, match="aten::mul x4"):
        attn_inject.stats(["test_resnet"], "se", strict=True)


def test_budgets_keep_what_fits():
    everything = attn_inject.stats(["test_resnet"], ["se", "gam", "simam"]).rows
    kept = attn_inject.stats(["test_resnet"], ["se", "gam", "simam"], budget={"params": "+5%"}).rows
    assert [row.attention for row in kept] == [None, "se", "simam"]
    assert kept[1] in everything
    with pytest.raises(NoSiteError, match=r"cheapest is se on test_resnet with 6,567 params") as failure:
        attn_inject.stats(["test_resnet"], ["gam", "se"], budget={"params": "+0.1%"})
    assert failure.value.exit_code == 6


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"dtype": "float8"}, UnknownNameError, "bfloat16"),
        ({"batch_size": 0}, UsageError, "1 or more"),
        ({"device": "cuda:99"}, UsageError, "Leave out device"),
        ({"device": "toaster"}, UsageError, "toaster"),
        ({"budget": {"param": "+1%"}}, UnknownNameError, "params"),
        ({"budget": {"params": "1%"}}, UsageError, r"\+1%"),
    ],
)
def test_bad_wishes_are_told(options, error, told):
    with pytest.raises(error, match=told):
        attn_inject.stats(["test_resnet"], "se", **options)


def test_documents_hold_the_documented_keys_and_what_was_asked_for():
    stats = attn_inject.stats(["test_resnet"], "se", per_site=True)
    plain = stats.to_json()["rows"][1]
    assert list(plain) == [
        "model", "source", "attention", "placement", "sites", "params", "flops", "activations",
        "delta_params", "delta_flops", "delta_activations", "reason",
    ]  # fmt: skip
    full = stats.to_json(("gate_bytes", "relative_params"), per_site=True)["rows"][1]
    assert full["gate_bytes"] == stats.rows[1].gate_bytes
    assert full["relative_params"] == pytest.approx(100 * 6567 / 469688)
    assert full["per_site"][0]["params"] == 162
    assert value(stats.rows[0], "relative_params") == 0


def test_anyone_can_use_the_handles():
    assert attn_inject.flop_handles().keys() == flop_handles().keys()
