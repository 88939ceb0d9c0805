"""What people do with a model afterwards: torch's own training tools on modified models."""

from __future__ import annotations

import copy
import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import prune

import attn_inject
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, make_generic, modify, set_alphas

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
PLACEMENTS = pytest.mark.parametrize("placement", ["after", "before-add"])


def modified(attention="se", *, alpha=0.5, name="test_resnet", **plan):
    model = make_generic(build(name, num_classes=2))
    modify(model, attention, size=(3, 64, 64), **plan)
    set_alphas(model, alpha)
    return model


def gradients(model, images):
    model.train()
    model.zero_grad()
    model(images).square().mean().backward()
    return {key: p.grad.clone() for key, p in model.named_parameters() if p.requires_grad}


def token_model():
    torch.manual_seed(0)
    model = build("test_vit", num_classes=2, img_size=64)
    modify(model, "se", size=(3, 64, 64))  # an identity start: attention has gradients of zero, not none
    return model


def work(rank, folder):
    """One of two processes: the gradient of half of the images."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    model = DistributedDataParallel(token_model())
    for _ in range(2):  # the second step fails where the first left a parameter without a gradient
        found = gradients(model, IMAGES[rank * 2 : rank * 2 + 2])
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_one(tmp_path):
    torch.multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    expected = gradients(token_model(), IMAGES)
    assert {key.removeprefix("module.") for key in first} == expected.keys()
    for key, value in expected.items():
        assert torch.equal(first[f"module.{key}"], second[f"module.{key}"])
        torch.testing.assert_close(first[f"module.{key}"], value, rtol=1e-4, atol=1e-6)
    assert any(value.any() for key, value in expected.items() if key.endswith("attn_inject.alpha"))


@PLACEMENTS
def test_compile_without_a_graph_break(placement):
    model = modified("ela-t", placement=placement, where=["layer1.*", "layer2.*"])
    attn_inject.freeze_base(model)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    ours, expected = gradients(compiled, IMAGES), gradients(copy.deepcopy(model), IMAGES)
    for key, value in expected.items():
        torch.testing.assert_close(ours[f"_orig_mod.{key}"], value, rtol=1e-4, atol=1e-5)


@PLACEMENTS
def test_mixed_precision(placement):
    base = make_generic(build("test_resnet", num_classes=2))
    model = copy.deepcopy(base)
    modify(model, "ela-l", size=(3, 64, 64), placement=placement)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.eval()(IMAGES), base.eval()(IMAGES))
        output = model.train()(IMAGES)
    assert output.dtype == torch.bfloat16
    output.float().square().mean().backward()
    optimizer.step()
    for module in inserted_modules(model).values():
        assert module.alpha.dtype == torch.float32
        assert module.alpha.isfinite()
        assert module.alpha.any()


@PLACEMENTS
def test_synchronised_batch_norms(placement):
    model = modified("nam-channel", placement=placement)
    with torch.no_grad():
        before = model(IMAGES)
    classes = [type(model.get_submodule(name.rpartition(".")[0])) for name in inserted_modules(model)]
    keys = model.state_dict().keys()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    norms = [m for m in converted.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {type(norm) for norm in norms} == {nn.SyncBatchNorm}
    assert any(isinstance(m.attention.bn, nn.SyncBatchNorm) for m in inserted_modules(converted).values())
    with torch.no_grad():
        torch.testing.assert_close(converted(IMAGES), before)
    now = [type(converted.get_submodule(name.rpartition(".")[0])) for name in inserted_modules(converted)]
    assert now == classes
    assert converted.state_dict().keys() == keys


@PLACEMENTS
def test_pruning(placement):
    model = modified("se", placement=placement)
    before = model(IMAGES)
    block = model.layer2[0]
    gate = next(m for m in block.attn_inject.attention.modules() if hasattr(m, "weight"))
    for module in (block.conv1, gate):
        prune.l1_unstructured(module, "weight", amount=0.5)
    after = model(IMAGES)
    assert not torch.equal(after, before)
    after.sum().backward()
    assert block.attn_inject.alpha.grad.any()
    for module in (block.conv1, gate):
        prune.remove(module, "weight")
        assert (module.weight == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(model(IMAGES), after)


@PLACEMENTS
def test_peft_on_top(placement):
    from peft import LoraConfig, inject_adapter_in_model

    model = modified("se", placement=placement)
    with torch.no_grad():
        before = model(IMAGES)
    inserted = list(inserted_modules(model))
    targets = r"layer\d\.0\.(conv1|attn_inject\.attention\.fc1)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = inject_adapter_in_model(LoraConfig(r=2, target_modules=targets), model)
    adapters = [name for name, _ in adapted.named_modules() if name.endswith("lora_A")]
    assert {name.split(".")[2] for name in adapters} == {"conv1", "attn_inject"}
    assert list(inserted_modules(adapted)) == inserted
    with torch.no_grad():
        assert torch.equal(adapted.eval()(IMAGES), before)
    for parameter in adapted.layer1[0].attn_inject.parameters():
        parameter.requires_grad_(True)
    found = gradients(adapted, IMAGES)
    assert any("lora_B" in key and value.any() for key, value in found.items())
    assert found["layer1.0.attn_inject.alpha"].any()


def test_a_detector_learns():
    request = attn_inject.ModelRequest(
        name="torchvision/fasterrcnn_mobilenet_v3_large_320_fpn",
        model_args={"min_size": 96, "max_size": 128},
    )
    result = attn_inject.inject(request, "se", start="identity", check="off")
    model = result.model.train()
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 96, 128, generator=generator) for _ in range(2)]
    boxes = torch.tensor([[10.0, 10.0, 60.0, 70.0]])
    targets = [{"boxes": boxes, "labels": torch.tensor([label])} for label in (1, 2)]
    parameters = list(itertools.chain.from_iterable(m.parameters() for m in inserted_modules(model).values()))
    before = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.SGD(attn_inject.parameter_groups(model, weight_decay=1e-4), lr=0.01)
    for _ in range(2):
        losses = model(images, targets)
        loss = sum(losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.isfinite()
    assert set(losses) == {"loss_classifier", "loss_box_reg", "loss_objectness", "loss_rpn_box_reg"}
    assert not any(torch.equal(p, old) for p, old in zip(parameters, before, strict=True))
    found = model.eval()(images)
    assert len(found) == 2
    assert set(found[0]) == {"boxes", "labels", "scores"}
