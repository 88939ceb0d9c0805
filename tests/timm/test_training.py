"""The parts that timm's train.py and validate.py are made of, on modified names and generated images."""

from __future__ import annotations

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_loader, resolve_data_config
from timm.models import group_parameters
from timm.optim import create_optimizer_v2, param_groups_layer_decay, param_groups_weight_decay
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import nn

import attn_inject.timm  # noqa: F401  registers the names
from attn_inject.surgery.inserted import inserted_modules

NAMES = ["test_resnet_ela_l", "test_vit_se", "test_convnext_nam"]
every_name = pytest.mark.parametrize("name", NAMES)


class Images(torch.utils.data.Dataset):
    """Eight images of one colour each, as a folder of files would give them."""

    transform = None

    def __len__(self):
        return 8

    def __getitem__(self, index):
        image = Image.new("RGB", (170, 170), (index * 30, 255 - index * 30, 0))
        return self.transform(image), index % 2


def create(name, **values):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=2, **values)


@every_name
def test_two_steps_of_training(name):
    model = create(name)
    config = resolve_data_config({}, model=model)
    assert config["input_size"] == (3, 160, 160)
    names = ("input_size", "interpolation", "mean", "std")
    loader = create_loader(
        Images(),
        batch_size=4,
        is_training=True,
        use_prefetcher=False,
        num_workers=0,
        persistent_workers=False,
        **{key: config[key] for key in names},
    )
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-2, weight_decay=0.05, layer_decay=0.7)
    scheduler, epochs = create_scheduler_v2(optimizer, sched="cosine", num_epochs=4)
    average = ModelEmaV3(model, decay=0.5)
    before = {key: value.clone() for key, value in model.named_parameters()}
    rates = [group["lr"] for group in optimizer.param_groups]
    model.train()
    for step, (images, labels) in enumerate(loader):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(model)
        scheduler.step(step + 1)
    assert step == 1
    assert epochs >= 4
    assert loss.isfinite()
    assert all(new["lr"] < old for new, old in zip(optimizer.param_groups, rates, strict=True) if old > 0)
    for key, value in model.named_parameters():
        if ".attn_inject." in key and value.requires_grad:
            assert not torch.equal(value, before[key]), f"{key} did not learn"
            shadow = average.module.get_parameter(key)
            assert not torch.equal(shadow, value)
            assert not torch.equal(shadow, before[key])
    assert average.module(images).shape == (4, 2)


@every_name
def test_weight_decay_leaves_alphas_and_norms_alone(name):
    model = create(name)
    decayed = {id(p) for p in param_groups_weight_decay(model, 0.05)[1]["params"]}
    inserted = inserted_modules(model).values()
    norms = [m for module in inserted for m in module.modules() if "Norm" in type(m).__name__]
    spared = [module.alpha for module in inserted] + [p for norm in norms for p in norm.parameters()]
    assert not decayed & {id(p) for p in spared}
    matrices = [p for module in inserted for p in module.parameters() if p.ndim > 1]
    assert {id(p) for p in matrices} <= decayed


@every_name
def test_layer_decay_takes_a_module_with_its_block(name):
    model = create(name)
    groups = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.7)
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert len(set(scale.values())) > 2
    for key, module in inserted_modules(model).items():
        block = model.get_submodule(key.rpartition(".")[0])
        learning = [p for p in block.parameters() if p.requires_grad]
        assert len({scale[id(p)] for p in learning}) == 1
        assert decay[id(module.alpha)] == 0.0
    layers = group_parameters(model, model.group_matcher())
    assert sorted(name for names in layers.values() for name in names) == sorted(
        dict(model.named_parameters())
    )


@every_name
def test_gradient_checkpointing(name):
    model, plain = create(name), create(name)
    model.set_grad_checkpointing()
    images = torch.randn(2, 3, 160, 160)
    outputs = [net.train()(images) for net in (model, plain)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.sum().backward()
    for (key, one), two in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (one.grad is None) == (two.grad is None), key
        assert one.grad is None or torch.equal(one.grad, two.grad), key


@every_name
def test_another_classifier(name):
    model = create(name).eval()
    before = list(inserted_modules(model))
    images = torch.randn(1, 3, 160, 160)
    features = model.forward_features(images)
    model.reset_classifier(5)
    assert model(images).shape == (1, 5)
    assert torch.equal(model.forward_features(images), features)
    assert list(inserted_modules(model)) == before
