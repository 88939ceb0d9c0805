"""Sites, edits and inserted modules compose; each line of the guide's examples holds on a small model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.errors import FitError, NoSiteError, UsageError
from attn_inject.surgery.origin import origin_of
from tests.nets import build, make_generic

SIZE = (3, 64, 64)


class Gate(nn.Module):
    def __init__(self, channels: int, *, power: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.power = power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (self.weight[:, None, None] * x.mean((2, 3), keepdim=True)).sigmoid() ** self.power


@pytest.fixture(scope="module")
def model():
    return make_generic(build("resnet18")).eval()


@pytest.fixture(scope="module")
def sites(model):
    return attn_inject.find_sites(model, input_size=SIZE)


def names(chosen):
    return [site.name for site in chosen]


def test_sites_are_a_sequence(sites):
    assert len(sites) == 8
    assert names(sites)[0] == sites[0].name == "layer1.0"
    assert names(sites[1:3]) == ["layer1.1", "layer2.0"]
    assert sites[0] in sites
    assert names(reversed(sites))[0] == "layer4.1"
    assert sites == sites[:]
    assert sites != sites[1:]


def test_choices(sites):
    assert names(sites.named("layer[34].*")) == ["layer3.0", "layer3.1", "layer4.0", "layer4.1"]
    assert names(sites.stages(1, 4)) == ["layer1.0", "layer1.1", "layer4.0", "layer4.1"]
    assert names(sites.last()) == ["layer1.1", "layer2.1", "layer3.1", "layer4.1"]
    assert names(sites.where(lambda site: site.channels == 128)) == ["layer2.0", "layer2.1"]
    assert len(sites.of("BasicBlock")) == 8
    assert len(sites.of(nn.Linear)) == 0


def test_sets_keep_the_models_order(sites):
    assert names(sites.stages(4) | sites.stages(1)) == ["layer1.0", "layer1.1", "layer4.0", "layer4.1"]
    assert names(sites.last() & sites.stages(2)) == ["layer2.1"]
    assert names(sites.stages(2) - sites.last()) == ["layer2.0"]


def test_sets_of_two_searches_are_refused(model, sites):
    other = attn_inject.find_sites(model, input_size=SIZE)
    with pytest.raises(UsageError, match="from two searches"):
        _ = sites | other


def test_a_required_count(sites):
    assert sites.require(8) is sites
    with pytest.raises(NoSiteError, match=r"16 sites are required, and there are 8: layer1.0, "):
        sites.require(16)


def test_a_glob_that_matches_nothing_names_the_nearest(sites):
    with pytest.raises(NoSiteError, match="matches none of these 8 sites") as caught:
        sites.named("layer9.0")
    assert "layer" in caught.value.hint


def test_edits_do_what_inject_does(model, sites):
    chosen = sites.stages(3, 4)
    edits = chosen.insert("se", placement="before-add", start="identity")
    direct = attn_inject.inject(
        model, "se", where=names(chosen), placement="before-add", start="identity", input_size=SIZE
    )
    result = edits.apply(check="structure")
    assert edits.cost == direct.cost == result.cost
    assert [edit.path for edit in edits] == [edit.path for edit in direct.edits]
    assert result.model.state_dict().keys() == direct.model.state_dict().keys()
    assert not any("attn_inject" in key for key in model.state_dict())
    image = torch.randn(1, *SIZE)
    assert torch.equal(result.model.eval()(image), model(image))


def test_edits_of_a_name_load_its_values():
    edits = attn_inject.find_sites("test_resnet").last().insert("eca")
    result = edits.apply(check="off")
    assert not any(parameter.is_meta for parameter in result.model.parameters())
    assert sum("attn_inject.attention.conv" in key for key in result.model.state_dict()) == 4


def test_edits_add_up(model, sites):
    edits = sites.stages(1, 2).insert("eca") + sites.stages(3, 4).insert("se")
    assert len(edits) == 8
    parts = [sites.stages(1, 2).insert("eca").cost, sites.stages(3, 4).insert("se").cost]
    assert edits.cost == parts[0] + parts[1]
    result = edits.apply(check="structure")
    assert result.report.attention == ("eca", "se")
    loaded_sites = [site.name for site in result.sites]
    assert loaded_sites == names(sites)


def test_the_sum_is_kept_by_a_file(tmp_path, sites):
    result = (sites.stages(1).insert("eca") + sites.stages(4).insert("se")).apply(check="off")
    base = copy.deepcopy(result.model)
    attn_inject.save(result, tmp_path / "sum.pt")
    loaded = attn_inject.load(tmp_path / "sum.pt", base=attn_inject.remove(base))
    image = torch.randn(1, *SIZE)
    assert torch.equal(loaded.eval()(image), result.model.eval()(image))


def test_one_block_twice_in_one_operation_is_refused(sites):
    with pytest.raises(FitError, match=r"layer1.0 is selected twice"):
        _ = sites.stages(1).insert("eca") + sites.stages(1).insert("se")


def test_nested_selections_name_both_modules():
    with pytest.raises(FitError, match=r"layer1.0 and layer1.0.conv1, which is inside it, are both selected"):
        attn_inject.inject("test_resnet", "se", at=("layer1.0", "layer1.0.conv1"), check="off")


def test_a_gate_inside_a_gate_is_refused_by_name():
    at = "s1.b1.se**"
    with pytest.raises(FitError, match=r"s1.b1.se and s1.b1.se\S*, which is inside it"):
        attn_inject.inject("regnety_002", "se", placement="replace-attention", at=at, check="off")


def test_edits_fit_a_budget(sites):
    edits = sites.insert("se")
    some = edits.fit(max_params="+0.5%")
    assert 0 < len(some) < len(edits)
    assert [edit.path for edit in some] == [e.path for e in edits if e.path in {s.path for s in some}]
    with pytest.raises(UsageError, match="no budget"):
        edits.fit()
    with pytest.raises(NoSiteError, match="No block"):
        edits.fit(max_params="+1")


def test_sites_are_no_attention_to_replace(sites):
    with pytest.raises(UsageError, match="residual blocks"):
        sites.insert("se", placement="replace-attention")


def test_an_empty_choice_inserts_nothing(sites):
    with pytest.raises(NoSiteError, match="no site to insert at"):
        sites.stages(9).insert("se")


def test_classes_are_taken_as_they_are(sites):
    spec = attn_inject.AttentionSpec.of(Gate, power=2.0)
    result = (sites.stages(1).insert(Gate) + sites.stages(2).insert(spec)).apply(check="structure")
    powers = [module.attention.power for module in attn_inject.inserted(result.model).values()]
    assert powers == [1.0, 1.0, 2.0, 2.0]

    class Local(Gate):
        pass

    with pytest.raises(UsageError, match="defined inside a function"):
        sites.insert(Local)


def test_results_show_themselves(sites):
    edits = sites.last().insert("eca")
    assert str(sites).startswith("8 sites in ResNet, ")
    assert "would insert 4 modules" in str(edits)
    assert "inserted 4 modules" in str(edits.apply(check="off"))
    assert sites._repr_html_().startswith("<pre>8 sites")
    assert "se" in str(attn_inject.stats(["test_resnet"], ["se"]))


@pytest.fixture
def modified(sites):
    return sites.insert("se", start="paper").apply(check="off").model


def test_inserted_modules_can_be_bypassed(model, modified):
    image = torch.randn(2, *SIZE)
    inserted = attn_inject.inserted(modified)
    with torch.no_grad():
        assert not torch.equal(modified.eval()(image), model(image))
        with inserted.bypassed():
            assert torch.equal(modified(image), model(image))
            assert all(item.bypassed for item in inserted.status())
        assert not torch.equal(modified(image), model(image))


def test_replacing_modules_cannot_be_bypassed():
    model = attn_inject.inject("test_resnet", "sasa", placement="replace-conv", check="off").model
    with pytest.raises(FitError, match="cannot be bypassed"), attn_inject.inserted(model).bypassed():
        pass


def test_inserted_modules_tell_and_train(modified):
    inserted = attn_inject.inserted(modified)
    assert list(inserted) == [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]
    frozen = inserted.freeze_base(also=["fc.*"])
    learning = {name for name, p in modified.named_parameters() if p.requires_grad}
    assert {name for name in learning if "attn_inject" not in name} == {"fc.weight", "fc.bias"}
    assert len(inserted.parameters()) == len(learning) - 2
    frozen.remove()
    assert all(p.requires_grad for p in modified.parameters())
    first = inserted.status()[0]
    assert (first.site, first.attention, first.placement, first.alpha) == ("layer1.0", "se", "after", None)
    assert first.params == first.learning > 0
    assert "8 modules inserted in ResNet" in str(inserted)
    with pytest.raises(NoSiteError, match="matches no parameter"):
        inserted.freeze_base(also=["nothing.*"])


def test_inserted_modules_can_be_removed(model, modified):
    attn_inject.inserted(modified).remove()
    assert modified.state_dict().keys() == model.state_dict().keys()
    with pytest.raises(NoSiteError, match="holds no attention module"):
        attn_inject.inserted(modified)


def test_the_log_says_what_happens_and_nothing_prints(sites, caplog, capsys):
    with caplog.at_level("DEBUG", logger="attn_inject"):
        sites.last().insert("eca").apply(check="off")
    said = [(record.levelname, record.message) for record in caplog.records]
    assert ("INFO", "inserted 4 modules in ResNet") in said
    assert ("DEBUG", "layer1.1.attn_inject: eca, after, start identity") in said
    assert capsys.readouterr() == ("", "")


def test_a_second_operation_keeps_the_plan_of_the_first(sites):
    first = sites.stages(1).insert("eca").apply(check="off")
    second = attn_inject.inject(first.model, "se", where="layer4.*", input_size=SIZE, check="off")
    asked = [plan["attention"][0]["name"] for plan in origin_of(second.model).plans]
    assert asked == ["eca", "se"]
