import pytest
import timm
import torch
import torchvision
from torch import nn

from attn_inject.errors import ModelError
from attn_inject.models.from_object import from_object


class Own(torchvision.models.ResNet):
    """A person's own class on top of torchvision's."""


def configured(value):
    model = nn.Conv2d(3, 4, 3)
    model.default_cfg = value
    return model


def on_meta(name, **values):
    with torch.device("meta"):
        return timm.create_model(name, **values)


SIZES = {
    "timm": (lambda: timm.create_model("test_resnet"), (3, 160, 160)),
    "timm, other size": (lambda: timm.create_model("test_vit", img_size=(96, 128)), (3, 96, 128)),
    "timm, other channels": (lambda: timm.create_model("test_resnet", in_chans=1), (1, 160, 160)),
    "timm, pixels as channels": (lambda: on_meta("tresnet_m", in_chans=2), (2, 224, 224)),
    "torchvision": (lambda: torchvision.models.squeezenet1_1(), (3, 224, 224)),
    "torchvision video": (lambda: torchvision.models.get_model("r3d_18"), (3, 16, 112, 112)),
    "torchvision ViT": (lambda: torchvision.models.vit_b_32(image_size=64), (3, 64, 64)),
    "torchvision, subclass": (lambda: Own(torchvision.models.resnet.BasicBlock, [1] * 4), (3, 224, 224)),
    "any": (lambda: nn.Conv2d(3, 4, 3), (3, 224, 224)),
    "configuration without size": (lambda: configured({"num_classes": 3}), (3, 224, 224)),
    "configuration of another kind": (lambda: configured("small"), (3, 224, 224)),
}


@pytest.mark.parametrize("case", SIZES)
def test_the_input_is_guessed(case):
    make, size = SIZES[case]
    model = make()
    loaded = from_object(model)
    assert loaded.inputs.size == loaded.provenance.input_size == size
    assert loaded.model is model


def test_a_size_wins_over_the_guess():
    loaded = from_object(timm.create_model("test_resnet"), input_size=[3, 32, 64])
    assert loaded.inputs.size == (3, 32, 64)


def test_an_example_wins_over_a_size():
    example = torch.ones(2, 3, 8, 9)
    loaded = from_object(nn.Conv2d(3, 4, 3), example_input=example, input_size=(3, 32, 64))
    assert torch.equal(loaded.inputs.make(2)[0][0], example)
    assert loaded.provenance.input_size == (3, 8, 9)


def test_an_example_may_be_keywords():
    loaded = from_object(nn.Identity(), example_input={"x": torch.ones(1, 3, 8, 9)})
    assert loaded.inputs.image_size == (8, 9)
    assert loaded.provenance.input_size is None


def test_a_detector_gets_a_list_of_images():
    model = torchvision.models.get_model(
        "fasterrcnn_mobilenet_v3_large_320_fpn", weights=None, weights_backbone=None
    )
    loaded = from_object(model, input_size=(3, 64, 96))
    ((images,), _) = loaded.inputs.make()
    assert [image.shape for image in images] == [(3, 64, 96)]
    assert loaded.provenance.input_size == (3, 64, 96)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_is(training):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loaded = from_object(model)
    assert loaded.model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_where_it_is_from_cannot_be_rebuilt():
    provenance = from_object(nn.Conv2d(3, 4, 3)).provenance
    assert (provenance.source, provenance.name) == ("object", "torch.nn.modules.conv.Conv2d")
    assert dict(provenance.arguments) == {}


class Holder(nn.Module):
    def __init__(self, part):
        super().__init__()
        self.part = part


MADE = {
    "compiled": (lambda: torch.compile(nn.Conv2d(3, 4, 3)), r"torch\.compile", "_orig_mod"),
    "scripted": (
        lambda: torch.jit.script(nn.ReLU()),
        r"The model was made by torch\.jit",
        "before torch.jit",
    ),
    "traced": (
        lambda: torch.jit.trace(nn.ReLU(), torch.ones(1)),
        r"The model was made by torch\.jit",
        "before",
    ),
    "in part": (lambda: Holder(torch.jit.script(nn.ReLU())), r"The module 'part' was made by", "before"),
}


@pytest.mark.parametrize("case", MADE)
def test_what_a_compiler_made_is_refused(case):
    make, message, hint = MADE[case]
    with pytest.raises(ModelError, match=message) as caught:
        from_object(make())
    assert hint in caught.value.hint


def test_lazy_layers_are_told():
    with pytest.raises(ModelError, match=r"without a shape, 0\.weight for one"):
        from_object(nn.Sequential(nn.LazyConv2d(8, 3)))
