import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from attn_inject.errors import FileError
from attn_inject.files import pt
from attn_inject.files.loading import load
from attn_inject.files.structure_digest import state_digest
from attn_inject.models import from_timm
from attn_inject.models.loaded import Provenance
from attn_inject.surgery.apply import apply_edits
from tests.files.conftest import contents_of, edit, modified
from tests.files.factories import Shifting, Tied

IMAGE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
MAP = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(1))
FACTORY = "tests.files.factories:Tied"
CLASS = "tests.files.factories:Shifting"


def mapped(path):
    """Whether the process looks into a file."""
    return str(path) in Path("/proc/self/maps").read_text()


def output(model, x):
    with torch.no_grad():
        return model(x)


def saved(path, contents):
    pt.write(path, contents)
    return path


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    ("name", "request_", "edits"),
    [
        pytest.param("timm/test_resnet", {"num_classes": 5}, None, id="timm"),
        pytest.param(
            "torchvision/resnet18",
            {},
            [edit("layer2.1", channels=128, attention="eca", options={"kernel_size": 3}, start="paper")],
            id="torchvision",
        ),
        pytest.param(
            "torchvision/mnasnet0_5",
            {},
            [edit("layers.8.1", channels=16, block="_InvertedResidual")],
            id="asks for its version",
        ),
        pytest.param(
            "timm/test_vit",
            {"input_size": (3, 64, 64)},
            [edit("blocks.1", channels=64, layout="NLC", height=4, width=4, prefix=1, block="Block")],
            id="tokens",
        ),
    ],
)
def test_the_loaded_model_computes_what_the_saved_one_did(tmp_path, name, request_, edits, verify):
    model, contents = modified(name, edits, **request_)
    path = saved(tmp_path / "model.pt", contents)
    loaded = load(path, verify=verify)
    assert torch.equal(output(loaded, IMAGE), output(model, IMAGE))
    assert not any(module.training for module in loaded.modules())
    assert not any(t.is_meta for t in (*loaded.parameters(), *loaded.buffers()))
    assert [name for name, _ in loaded.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert state_digest(loaded.state_dict()) == contents.digest


def test_a_file_has_its_options_whatever_would_be_chosen_today(tmp_path):
    place = edit("layers.8.1", channels=16, block="_InvertedResidual", start="paper")
    options = {"reduction": 16}  # of 16 channels it leaves one hidden channel, and is adapted in a new model
    place = dataclasses.replace(place, attention="gc", options=options)
    model, contents = modified("torchvision/mnasnet0_5", [place])
    assert model.layers[8][1].attn_inject.attention.options == options
    loaded = load(saved(tmp_path / "model.pt", contents))
    assert torch.equal(output(loaded, IMAGE), output(model, IMAGE))


@pytest.mark.parametrize("verify", [True, False])
def test_training_changes_the_model_and_not_the_file(tmp_path, verify):
    _, contents = modified()
    path = saved(tmp_path / "model.pt", contents)
    before = path.read_bytes()
    model = load(path, verify=verify).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IMAGE).square().mean().backward()
    optimizer.step()
    assert state_digest(model.state_dict()) != contents.digest
    assert path.read_bytes() == before


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="mappings are read from /proc")
def test_only_an_unverified_model_depends_on_its_file(tmp_path):
    """A mapped file that is cut short kills the process: torch.save to the same path would do it."""
    _, contents = modified()
    path = saved(tmp_path / "model.pt", contents)
    model = load(path)
    assert not mapped(path)
    torch.save(model.state_dict(), path)
    other = saved(tmp_path / "other.pt", contents)
    unverified = load(other, verify=False)
    assert mapped(other)
    del unverified


def test_one_changed_value_is_noticed_unless_asked_not_to(tmp_path):
    _, contents = modified()
    state = copy.deepcopy(dict(contents.state_dict))
    state["layer1.0.conv1.weight"][0, 0, 0, 0] += 1
    path = saved(tmp_path / "model.pt", dataclasses.replace(contents, state_dict=state))
    with pytest.raises(FileError, match="its tensors are not those that were saved") as failure:
        load(path)
    assert "verify=False" in failure.value.hint
    loaded = load(path, verify=False)
    assert torch.equal(loaded.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


@pytest.fixture
def tied():
    torch.manual_seed(0)
    model = Tied()
    edits = [edit("two", attention=CLASS, options={"by": 0.5}, channels=8, block="Block")]
    base = copy.deepcopy(model)
    apply_edits(model, edits)
    with torch.no_grad():
        model.two.attn_inject.alpha.fill_(0.7)
    provenance = Provenance(source="factory", name=FACTORY, arguments={"channels": 8})
    return model.eval(), base, contents_of(model, provenance, edits)


def test_tied_and_frozen_parameters_and_unsaved_buffers_come_back(tmp_path, tied):
    model, _, contents = tied
    loaded = load(saved(tmp_path / "model.pt", contents), trust=True)
    assert loaded.one.conv.weight is loaded.two.conv.weight
    assert len(list(loaded.parameters())) == len(list(model.parameters()))
    assert not loaded.frozen.requires_grad
    assert loaded.one.scale.item() == 2
    assert loaded.two.attn_inject.attention.by.item() == 0.5
    assert torch.equal(output(loaded, MAP), output(model, MAP))


@pytest.mark.parametrize(
    ("provenance", "base"),
    [
        pytest.param(Provenance(source="factory", name=FACTORY), None, id="factory"),
        pytest.param(Provenance(source="object", name="Tied"), Tied(), id="attention class"),
    ],
)
def test_code_that_a_file_names_is_not_run_without_trust(tmp_path, tied, provenance, base, monkeypatch):
    _, _, contents = tied
    ran = []
    for cls in (Tied, Shifting):
        monkeypatch.setattr(cls, "__init__", lambda self, *args, **kwargs: ran.append(self))
    recipe = dataclasses.replace(contents.recipe, provenance=provenance)
    path = saved(tmp_path / "model.pt", dataclasses.replace(contents, recipe=recipe))
    with pytest.raises(FileError) as failure:
        load(path, base=base)
    assert "trust=True" in failure.value.hint
    assert not ran


def test_a_factory_is_not_run_without_trust(tmp_path):
    model, _, contents = None, None, contents_of(Tied(), Provenance(source="factory", name=FACTORY), [])
    path = saved(tmp_path / "model.pt", contents)
    with pytest.raises(FileError, match="factories:Tied"):
        load(path)
    assert isinstance(load(path, trust=True), Tied)
    assert model is None


def test_a_model_that_was_an_object_needs_its_base_and_leaves_it_alone(tmp_path, tied):
    model, base, contents = tied
    recipe = dataclasses.replace(contents.recipe, provenance=Provenance(source="object", name="Tied"))
    path = saved(tmp_path / "model.pt", dataclasses.replace(contents, recipe=recipe))
    with pytest.raises(FileError, match="Tied") as failure:
        load(path, trust=True)
    assert "base=" in failure.value.hint
    with torch.no_grad():
        base.one.conv.weight.zero_()
    base.train()
    before = state_digest(base.state_dict())
    loaded = load(path, base=base, trust=True)
    assert torch.equal(output(loaded, MAP), output(model, MAP))
    assert state_digest(base.state_dict()) == before
    assert base.training
    assert not any(module.training for module in loaded.modules())
    assert type(base.two) is not type(loaded.two)
    assert loaded.one.conv.weight is loaded.two.conv.weight
    assert loaded.one.scale.data_ptr() != base.one.scale.data_ptr()


def test_another_architecture_is_refused_with_the_first_difference(tmp_path, tied):
    _, base, contents = tied
    path = saved(tmp_path / "model.pt", contents)
    base.one.conv = nn.Conv2d(8, 8, 3, padding=1, dilation=2)
    with pytest.raises(
        FileError, match=r"another architecture: one\.conv was Conv2d\(.*\) and is now Conv2d"
    ):
        load(path, base=base, trust=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"name": "layer9.0"}, "does not fit the architecture built now: .*layer9", id="no block"
        ),
        pytest.param({"options": {"channels": 3}}, "does not fit|channels", id="a reserved option"),
        pytest.param(
            {"options": {"reduction": 4, "bias": True}}, "another architecture: layer1.0", id="option"
        ),
    ],
)
def test_an_edit_that_does_not_fit_is_told(tmp_path, change, message):
    _, contents = modified()
    first, *rest = contents.recipe.edits
    first = first.at(change["name"]) if "name" in change else dataclasses.replace(first, **change)
    edits = (first, *rest)
    recipe = dataclasses.replace(contents.recipe, edits=edits, versions={"timm": "0.0.1"})
    path = saved(tmp_path / "model.pt", dataclasses.replace(contents, recipe=recipe))
    with pytest.raises(FileError, match=message) as failure:
        load(path)
    assert "timm 0.0.1 (now" in failure.value.hint


@pytest.mark.parametrize("lost", [True, False])
def test_a_state_dict_that_does_not_fit_its_recipe_is_named(tmp_path, lost):
    _, contents = modified()
    state = dict(contents.state_dict)
    if lost:
        del state["fc.bias"]
    else:
        state["fc.bias"] = torch.zeros(3)
    path = saved(
        tmp_path / "model.pt", dataclasses.replace(contents, state_dict=state, digest=state_digest(state))
    )
    with pytest.raises(FileError, match=r"does not fit its own recipe.*fc\.bias"):
        load(path)


def test_loading_leaves_the_random_numbers_alone(tmp_path, tied):
    path = saved(tmp_path / "model.pt", tied[2])
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load(path, trust=True)
    assert torch.equal(torch.rand(2), expected)


class Renewed(nn.Module):
    """The convolution of a block under a later version of its library: another name, another shape."""

    def __init__(self, conv):
        super().__init__()
        self.inner = conv

    def forward(self, x):
        return self.inner(x)


@pytest.mark.parametrize("placement", ["after", "before-add"])
@pytest.mark.parametrize("what", ["renamed", "gone", "added"])
def test_a_later_library_is_told_by_the_first_name_that_differs(tmp_path, placement, what, monkeypatch):
    one = edit(placement=placement, **({"tap": "bn2", "users": ("add",)} if placement != "after" else {}))
    _, contents = modified(edits=[one])
    recipe = dataclasses.replace(contents.recipe, versions={"timm": "0.9.0"})
    path = saved(tmp_path / "model.pt", dataclasses.replace(contents, recipe=recipe))
    build = from_timm.build

    def later(name, arguments, **more):
        model = build(name, arguments, **more)
        if what == "renamed":
            model.layer1[0].conv2 = Renewed(model.layer1[0].conv2)
        elif what == "gone":
            model.layer1[0] = nn.Identity()
        else:
            model.layer2[0].extra = nn.Identity()
        return model

    monkeypatch.setattr(from_timm, "build", later)
    first = {
        "renamed": r"layer1\.0\.conv2 was Conv2d\(.*\) and is now Renewed\(\)",
        "gone": r"layer1\.0 was BasicBlock\(\) and is now Identity\(\)",
        "added": r"layer2\.0\.extra \(Identity\(\)\) is new",
    }
    with pytest.raises(FileError, match=first[what]) as failure:
        load(path)
    assert "timm 0.9.0 (now" in failure.value.hint
