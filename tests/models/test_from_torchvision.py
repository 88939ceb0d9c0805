import urllib.error
import warnings

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.ops import FrozenBatchNorm2d

from attn_inject.errors import ModelError
from attn_inject.models import from_torchvision
from attn_inject.models.build import load, rebuild
from attn_inject.models.clone import to_meta
from attn_inject.request import ModelRequest

# model, request -> arguments of the builder, input size
REQUESTS = {
    "plain": ("squeezenet1_1", {}, {}, (3, 224, 224)),
    "classes": ("mobilenet_v2", {"num_classes": 7}, {"num_classes": 7}, (3, 224, 224)),
    "free size": ("squeezenet1_1", {"input_size": (3, 96, 128)}, {}, (3, 96, 128)),
    "inception": ("inception_v3", {}, {}, (3, 299, 299)),
    "vit": ("vit_b_32", {"input_size": (3, 64, 64)}, {"image_size": 64}, (3, 64, 64)),
    "vit by argument": ("vit_b_32", {"model_args": {"image_size": 64}}, {"image_size": 64}, (3, 64, 64)),
    "maxvit": ("maxvit_t", {"input_size": (3, 448, 224)}, {"input_size": [448, 224]}, (3, 448, 224)),
    "quantisable": ("quantized_mobilenet_v2", {}, {}, (3, 224, 224)),
    "argument": ("mobilenet_v2", {"model_args": {"width_mult": 0.5}}, {"width_mult": 0.5}, (3, 224, 224)),
    "tag": ("vit_b_16.IMAGENET1K_SWAG_E2E_V1", {}, {}, (3, 384, 384)),
    "video": ("r3d_18", {}, {}, (3, 16, 112, 112)),
}


def offline(*_, **__):
    raise urllib.error.URLError("no network")


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch):
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", offline)


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_becomes_arguments(case):
    name, request, arguments, size = REQUESTS[case]
    loaded = load(ModelRequest(name=f"torchvision/{name}", **request), empty=True)
    assert (loaded.provenance.name, dict(loaded.provenance.arguments)) == (name, arguments)
    assert loaded.provenance.input_size == loaded.inputs.size == size
    again = rebuild(loaded.provenance)
    assert again.inputs == loaded.inputs
    assert {n: p.shape for n, p in again.model.named_parameters()} == {
        n: p.shape for n, p in loaded.model.named_parameters()
    }


@pytest.mark.parametrize(
    "name", ["vit_b_16", "maxvit_t", "inception_v3", "raft_small", "r3d_18", "mvit_v1_b", "s3d", "swin3d_t"]
)
def test_the_model_runs_on_its_own_input(name):
    loaded = load(ModelRequest(name=name), empty=True)
    positional, _ = loaded.inputs.make(device="meta")
    with torch.no_grad():
        assert to_meta(loaded.model)(*positional) is not None


def test_nothing_is_downloaded_for_a_backbone():
    model = load(ModelRequest(name="fasterrcnn_mobilenet_v3_large_320_fpn"), empty=True).model
    assert not any(isinstance(module, FrozenBatchNorm2d) for module in model.modules())


def test_a_build_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(ModelRequest(name="torchvision/googlenet"), empty=True)


REFUSED = {
    "unknown argument": ({"model_args": {"depth": 3}}, "takes no argument 'depth'"),
    "bad value": ({"model_args": {"num_classes": "many"}}, "num_classes='many'"),
    "channels": ({"input_size": (1, 224, 224)}, r"inputs like \(3, 224, 224\), not \(1, 224, 224\)"),
    "a video": ({"input_size": (3, 8, 224, 224)}, "takes inputs like"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_torchvision_refuses_is_named(case):
    request, message = REFUSED[case]
    with pytest.raises(ModelError, match=message):
        load(ModelRequest(name="torchvision/resnet18", **request))


def test_no_classes_where_there_is_no_classifier():
    with pytest.raises(ModelError, match="raft_small takes no argument 'num_classes'"):
        load(ModelRequest(name="raft_small", num_classes=5), empty=True)


def test_without_a_network_the_error_names_weights():
    with pytest.raises(ModelError, match=r"could not be downloaded: URLError.*no network") as caught:
        load(ModelRequest(name="torchvision/squeezenet1_1", pretrained=True))
    assert "--weights FILE" in caught.value.hint


def test_an_architecture_without_published_weights_says_so(monkeypatch):
    monkeypatch.setattr(from_torchvision, "_weight_enums", lambda name: [])
    with pytest.raises(ModelError, match="publishes no weights"):
        load(ModelRequest(name="torchvision/squeezenet1_1", pretrained=True))


def test_planning_with_published_weights_downloads_nothing():
    loaded = load(ModelRequest(name="torchvision/squeezenet1_1", pretrained=True), empty=True)
    assert loaded.has_weights
    assert loaded.provenance.name == "squeezenet1_1.IMAGENET1K_V1"


def publish(monkeypatch, state):
    """Let every download yield `state`."""
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", lambda *_, **__: dict(state))


def test_published_weights_are_loaded_and_named(monkeypatch):
    torch.manual_seed(1)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    publish(monkeypatch, state)
    loaded = load(ModelRequest(name="torchvision/squeezenet1_1", pretrained=True))
    assert loaded.provenance.name == "squeezenet1_1.IMAGENET1K_V1"
    assert loaded.has_weights
    assert all(torch.equal(value, state[name]) for name, value in loaded.model.state_dict().items())


def test_published_weights_take_another_classifier(monkeypatch):
    torch.manual_seed(1)
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    publish(monkeypatch, state)
    model = load(ModelRequest(name="torchvision/squeezenet1_1", pretrained=True, num_classes=7)).model
    assert model.classifier[1].weight.shape[0] == 7
    assert torch.equal(model.features[0].weight, state["features.0.weight"])


def names_and_classes(model):
    return [(name, type(module), module.extra_repr()) for name, module in model.named_modules()]


def test_rebuilding_gives_the_architecture_of_the_published_weights(monkeypatch):
    # The builder drops both auxiliary heads once the weights, which have them, are loaded.
    publish(monkeypatch, torchvision.models.googlenet(weights=None, init_weights=False).state_dict())
    loaded = load(ModelRequest(name="torchvision/googlenet", pretrained=True))
    assert loaded.model.aux1 is None
    assert loaded.model.transform_input is True
    again = rebuild(loaded.provenance).model
    assert names_and_classes(again) == names_and_classes(loaded.model)
    assert list(again.state_dict()) == list(loaded.model.state_dict())
    assert again.transform_input is True


def test_the_weights_in_a_name_freeze_the_norms_of_a_detector():
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    frozen = load(ModelRequest(name=f"{name}.COCO_V1"), empty=True).model
    assert sum(isinstance(module, FrozenBatchNorm2d) for module in frozen.modules()) > 40
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())


def test_keys_that_a_builder_renames_are_loaded(monkeypatch):
    state = torchvision.models.densenet121(weights=None).state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): v for name, v in state.items()}
    assert old.keys() != state.keys()
    publish(monkeypatch, old)
    model = load(ModelRequest(name="torchvision/densenet121", pretrained=True)).model
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("fails", [False, True])
def test_torch_and_torchvision_are_as_before_afterwards(fails):
    before = nn.Module.load_state_dict, WeightsEnum.meta, WeightsEnum.get_state_dict
    arguments = {"depth": 3} if fails else {}
    if fails:
        with pytest.raises(ModelError):
            load(ModelRequest(name="squeezenet1_1.IMAGENET1K_V1", model_args=arguments))
    else:
        load(ModelRequest(name="squeezenet1_1.IMAGENET1K_V1"))
    assert (nn.Module.load_state_dict, WeightsEnum.meta, WeightsEnum.get_state_dict) == before


@pytest.mark.parametrize(
    ("arguments", "weights"), [({}, "IMAGENET1K_V1"), ({"quantize": True}, "IMAGENET1K_FBGEMM_V1")]
)
def test_quantisable_models_have_two_sets_of_weights(arguments, weights):
    name = from_torchvision.published("quantized_resnet18", arguments)
    assert name == f"quantized_resnet18.{weights}"
    assert name in from_torchvision.tags("quantized_resnet18")
