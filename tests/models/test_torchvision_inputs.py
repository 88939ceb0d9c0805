import pytest
import torch
import torchvision

from attn_inject.models.build import load
from attn_inject.models.torchvision_inputs import InputKind, kind_of
from attn_inject.request import ModelRequest


def module_of(name):
    return torchvision.models.get_model_builder(name).__module__


KINDS = {
    "resnet18": ("batch", (3, 224, 224)),
    "inception_v3": ("batch", (3, 299, 299)),
    "quantized_inception_v3": ("batch", (3, 299, 299)),
    "vit_b_16": ("batch", (3, 224, 224)),
    "swin_t": ("batch", (3, 224, 224)),
    "fcn_resnet50": ("batch", (3, 224, 224)),
    "r2plus1d_18": ("batch", (3, 16, 112, 112)),
    "s3d": ("batch", (3, 16, 224, 224)),
    "swin3d_t": ("batch", (3, 16, 224, 224)),
    "mvit_v2_s": ("batch", (3, 16, 224, 224)),
    "maskrcnn_resnet50_fpn": ("list", (3, 224, 224)),
    "ssd300_vgg16": ("list", (3, 224, 224)),
    "raft_small": ("pair", (3, 128, 128)),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_family_has_its_input(name):
    kind = kind_of(module_of(name))
    assert (kind.form, kind.size) == KINDS[name]


def test_other_packages_have_none():
    assert kind_of("timm.models.resnet") is None
    assert kind_of("torchvision.ops") is None


def test_a_batch_is_made_from_a_size():
    spec = InputKind().spec((3, 8, 9))
    assert spec.make(2)[0][0].shape == (2, 3, 8, 9)


def test_a_detector_gets_a_list_of_images():
    spec = InputKind(form="list").spec((3, 8, 9))
    ((images,), _) = spec.make()
    assert [image.shape for image in images] == [(3, 8, 9)]
    assert spec.image_size == (8, 9)


def test_a_detector_that_trains_gets_targets():
    loaded = load(ModelRequest(name="fasterrcnn_mobilenet_v3_large_320_fpn", input_size=(3, 64, 96)))
    losses = loaded.model.train()(*loaded.inputs.make(training=True)[0])
    assert {"loss_classifier", "loss_box_reg"} <= losses.keys()
    assert all(loss.isfinite() for loss in losses.values())


def test_optical_flow_gets_two_different_batches():
    (first, second), _ = InputKind(form="pair").spec((3, 8, 9)).make()
    assert first.shape == second.shape == (1, 3, 8, 9)
    assert not torch.equal(first, second)


def test_examples_are_the_same_every_time():
    (first, _), _ = InputKind(form="pair").spec((3, 8, 9)).make()
    (again, _), _ = InputKind(form="pair").spec((3, 8, 9)).make()
    assert torch.equal(first, again)
