import dataclasses

import pytest
import torch

from attn_inject import models
from attn_inject.files.contents import Contents
from attn_inject.files.recipe import Recipe
from attn_inject.files.structure_digest import state_digest, structure
from attn_inject.models.loaded import Provenance
from attn_inject.request import ModelRequest
from attn_inject.sites.site import Site
from attn_inject.surgery.apply import apply_edits
from attn_inject.surgery.edit import Edit


def edit(name="layer1.0", **changes):
    """An edit of a ResNet's block."""
    site = {
        "name": name,
        "layout": "NCHW",
        "channels": 32,
        "height": 40,
        "width": 40,
        "block": "BasicBlock",
    }
    values = {
        "module": "attn_inject",
        "attention": "se",
        "options": {"reduction": 8, "bias": True},
        "placement": "after",
        "start": "identity",
        "shape": (1, 32, 40, 40),
    }
    fields = {field.name for field in dataclasses.fields(Site)}
    site |= {key: value for key, value in changes.items() if key in fields}
    values |= {key: value for key, value in changes.items() if key not in fields}
    return Edit(site=Site(**site), **values)


def contents_of(model, provenance, edits, **changes):
    """What is kept of a modified model."""
    state = model.state_dict()
    values = {
        "recipe": Recipe(provenance, tuple(edits), ({"seed": 0},), models.versions()),
        "state_dict": state,
        "digest": state_digest(state),
        "structure": structure(model),
    }
    return Contents(**(values | changes))


def modified(name="timm/test_resnet", edits=None, **request):
    """A small modified model with random tensors everywhere, and what is kept of it."""
    edits = [edit(), edit("layer3.0", channels=192)] if edits is None else edits
    loaded = models.load(ModelRequest(name=name, **request))
    apply_edits(loaded.model, edits)
    with torch.no_grad():
        for tensor in (*loaded.model.parameters(), *loaded.model.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.5)
    return loaded.model.eval(), contents_of(loaded.model, loaded.provenance, edits)


@pytest.fixture
def small():
    """Contents of a few kilobytes that fit no architecture; reading them needs none."""
    generator = torch.Generator().manual_seed(0)
    state = {
        "layer1.0.conv1.weight": torch.randn(4, 3, generator=generator),
        "layer1.0.attn_inject.alpha": torch.randn(1, generator=generator).to(torch.bfloat16),
        "layer1.0.bn1.num_batches_tracked": torch.tensor(7),
        "empty": torch.zeros(0, 3),
    }
    return Contents(
        recipe=Recipe(
            Provenance(source="timm", name="resnet18", arguments={"num_classes": 3}, input_size=(3, 64, 64)),
            (edit(), edit("layer2.1", attention="eca", options={"kernel_size": "auto"}, element="x")),
            ({"attention": [{"name": "se", "options": {}}], "strict": False},),
            {"torch": "2.15.0"},
        ),
        state_dict=state,
        digest=state_digest(state),
        structure={"": "ResNet()", "layer1.0.act": "ReLU(inplace=True)"},
        reference={"seed": 0, "outputs": [torch.randn(1, 3, generator=generator)]},
    )


@pytest.fixture
def same():
    """Whether two contents are equal, tensors and all."""

    def compare(one, other):
        assert one.recipe == other.recipe
        assert (one.digest, one.structure) == (other.digest, other.structure)
        assert list(one.state_dict) == list(other.state_dict)
        assert state_digest(one.state_dict) == state_digest(other.state_dict)
        assert (one.reference is None) == (other.reference is None)
        return True

    return compare
