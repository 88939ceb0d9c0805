import huggingface_hub.constants
import pytest
import timm
import torch

from attn_inject.errors import ModelError
from attn_inject.models import from_timm
from attn_inject.models.build import load
from attn_inject.request import ModelRequest

# model, request -> arguments of the builder, input size
REQUESTS = {
    "plain": ("test_resnet", {}, {}, (3, 160, 160)),
    "classes": ("test_resnet", {"num_classes": 7}, {"num_classes": 7}, (3, 160, 160)),
    "free size": ("test_resnet", {"input_size": (3, 96, 128)}, {}, (3, 96, 128)),
    "fixed size": ("test_vit", {"input_size": (3, 96, 128)}, {"img_size": [96, 128]}, (3, 96, 128)),
    "own size": ("test_vit", {"input_size": (3, 160, 160)}, {}, (3, 160, 160)),
    "channels": ("test_resnet", {"input_size": (1, 160, 160)}, {"in_chans": 1}, (1, 160, 160)),
    "img_size": ("test_vit", {"model_args": {"img_size": 96}}, {"img_size": 96}, (3, 96, 96)),
    "in_chans": ("test_resnet", {"model_args": {"in_chans": 2}}, {"in_chans": 2}, (2, 160, 160)),
    "text": ("test_resnet", {"model_args": {"act_layer": "silu"}}, {"act_layer": "silu"}, (3, 160, 160)),
    "tag": ("test_resnet.r160_in1k", {}, {}, (3, 160, 160)),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_becomes_arguments_and_the_model_runs(case):
    name, request, arguments, size = REQUESTS[case]
    loaded = load(ModelRequest(name=name, **request))
    assert (loaded.provenance.name, dict(loaded.provenance.arguments)) == (name, arguments)
    assert loaded.provenance.input_size == loaded.inputs.size == size
    positional, _ = loaded.inputs.make()
    with torch.no_grad():
        output = loaded.model(*positional)
    classes = request.get("num_classes", timm.get_pretrained_cfg(name).num_classes)
    assert output.shape == (1, classes)
    assert loaded.has_weights is False


def test_a_tag_sets_the_number_of_classes():
    assert load(ModelRequest(name="vit_tiny_patch16_224.augreg_in21k"), empty=True).model.num_classes == 21843


def test_an_argument_that_timm_does_not_take_is_named():
    with pytest.raises(ModelError, match="timm/test_resnet takes no argument 'depth_of_field'") as caught:
        load(ModelRequest(name="test_resnet", model_args={"depth_of_field": 3}))
    assert "--model-arg" in caught.value.hint


def test_a_value_that_timm_refuses_is_named():
    with pytest.raises(ModelError, match=r"norm_layer='nonsense'.*KeyError"):
        load(ModelRequest(name="test_resnet", model_args={"norm_layer": "nonsense"}), empty=True)


def test_an_architecture_without_published_weights_says_so():
    name = next(n for n in timm.list_models("coatnet*") if not timm.is_model_pretrained(n))
    with pytest.raises(ModelError, match="publishes no weights") as caught:
        load(ModelRequest(name=name, pretrained=True), empty=True)
    assert "--weights" in caught.value.hint


def test_published_weights_are_asked_for(monkeypatch):
    asked = {}

    def create_model(name, pretrained=False, **arguments):
        asked.update(name=name, pretrained=pretrained, **arguments)
        return torch.nn.Identity()

    monkeypatch.setattr(timm, "create_model", create_model)
    request = ModelRequest(name="test_resnet.r160_in1k", pretrained=True, num_classes=4)
    assert load(request).has_weights
    assert asked == {"name": "test_resnet.r160_in1k", "pretrained": True, "num_classes": 4}


def test_without_a_network_the_error_names_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="could not be downloaded") as caught:
        load(ModelRequest(name="test_resnet", pretrained=True))
    assert "--weights FILE" in caught.value.hint


def test_planning_with_published_weights_downloads_nothing(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    loaded = load(ModelRequest(name="test_resnet", pretrained=True), empty=True)
    assert loaded.has_weights
    assert all(parameter.is_meta for parameter in loaded.model.parameters())


def test_tags_of_an_unknown_architecture_are_none():
    assert from_timm.tags("no_such_model") == []
    assert "resnet50.a1_in1k" in from_timm.tags("resnet50")
