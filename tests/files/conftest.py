import pytest
import torch

from attn_inject import models
from attn_inject.files.contents import Contents
from attn_inject.files.recipe import Recipe
from attn_inject.files.structure_digest import state_digest, structure
from attn_inject.models.loaded import Provenance
from attn_inject.request import ModelRequest
from attn_inject.surgery import apply as splicing
from attn_inject.surgery.edit import Splice


def splice(name="layer1.0", **changes):
    """An edit of a ResNet's block."""
    values = {
        "name": name,
        "module": "attn_inject",
        "attention": "se",
        "options": {"reduction": 8, "bias": True},
        "placement": "after",
        "start": "identity",
        "layout": "NCHW",
        "channels": 32,
        "height": 40,
        "width": 40,
        "shape": (1, 32, 40, 40),
        "block": "BasicBlock",
    }
    return Splice(**(values | changes))


def contents_of(model, provenance, splices, **changes):
    """What is kept of an operated model."""
    state = model.state_dict()
    values = {
        "recipe": Recipe(provenance, tuple(splices), ({"seed": 0},), models.versions()),
        "state_dict": state,
        "digest": state_digest(state),
        "structure": structure(model),
    }
    return Contents(**(values | changes))


def operated(name="timm/test_resnet", splices=None, **request):
    """A small operated model with random tensors everywhere, and what is kept of it."""
    splices = [splice(), splice("layer3.0", channels=192)] if splices is None else splices
    loaded = models.load(ModelRequest(name=name, **request))
    splicing.apply(loaded.model, splices)
    with torch.no_grad():
        for tensor in (*loaded.model.parameters(), *loaded.model.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.5)
    return loaded.model.eval(), contents_of(loaded.model, loaded.provenance, splices)


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
            (splice(), splice("layer2.1", attention="eca", options={"kernel_size": "auto"}, element="x")),
            ({"attention": [{"name": "se", "options": {}}], "strict": False},),
            {"torch": "2.15.0"},
        ),
        state_dict=state,
        digest=state_digest(state),
        structure={"": "ResNet()", "layer1.0.act": "ReLU(inplace=True)"},
        witness={"seed": 0, "outputs": [torch.randn(1, 3, generator=generator)]},
    )


@pytest.fixture
def same():
    """Whether two contents are equal, tensors and all."""

    def compare(one, other):
        assert one.recipe == other.recipe
        assert (one.digest, one.structure) == (other.digest, other.structure)
        assert list(one.state_dict) == list(other.state_dict)
        assert state_digest(one.state_dict) == state_digest(other.state_dict)
        assert (one.witness is None) == (other.witness is None)
        return True

    return compare
