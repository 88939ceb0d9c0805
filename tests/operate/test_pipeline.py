"""The main job from a name to a file and back, through the public API."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading

import pytest
import timm
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from timm.models.resnet import Bottleneck
from torch import nn

import attn_inject
from attn_inject.cost.handles import activation_handles, flop_handles
from attn_inject.errors import (
    CheckFailedError,
    ModelError,
    NoSiteError,
    UnknownNameError,
    UsageError,
)
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, make_generic, size_of

TINY = (3, 64, 64)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """resnet50 with ELA-L, as the command line's first example makes it."""
    path = tmp_path_factory.mktemp("saved") / "model.pt"
    return attn_inject.inject("resnet50", "ela-l", out=path), path


def test_the_report_of_the_main_job(saved):
    result, path = saved
    report = result.report.to_json()
    assert list(report) == [
        "model", "source", "attention", "placement", "start", "weights", "input_size",
        "sites", "rejected",
        "removed", "base", "result", "delta", "uncounted", "checks", "file", "versions",
    ]  # fmt: skip
    assert len(report["sites"]) == 16
    assert list(report["sites"][0]) == [
        "name", "attention", "layout", "channels", "height", "width", "params", "flops",
    ]  # fmt: skip
    assert report["base"]["params"] == 25_557_032
    assert report["result"]["params"] == 26_433_064
    assert round(report["base"]["flops"] / 1e6, 1) == 4111.5
    assert report["start"] == "paper"
    assert report["file"] == str(path)
    assert all(check["passed"] for check in report["checks"])
    assert {check["name"] for check in report["checks"]} >= {"keys", "tensors", "gradients", "file"}


def test_the_saved_file(saved):
    _, path = saved
    payload = torch.load(path, weights_only=True)
    assert payload["format"] == "attn-inject"
    model = attn_inject.load(path)
    assert isinstance(model.layer1[0], Bottleneck)
    assert model.forward_features(torch.zeros(1, *TINY)).shape == (1, 2048, 2, 2)
    model.reset_classifier(7)
    assert model(torch.zeros(1, *TINY)).shape == (1, 7)
    assert sum(p.numel() for p in attn_inject.load(path).parameters()) == 26_433_064


def test_a_fresh_process_gives_the_same_output(saved):
    result, path = saved
    image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, *TINY)
    with torch.no_grad():
        expected = result.model(image)
    script = (
        "import sys, torch, attn_inject\n"
        "model = attn_inject.load(sys.argv[1])\n"
        "image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)\n"
        "with torch.no_grad(): torch.save(model(image), sys.argv[2])\n"
    )
    out = path.with_name("output.pt")
    subprocess.run([sys.executable, "-c", script, str(path), str(out)], check=True, capture_output=True)
    assert torch.equal(torch.load(out), expected)


def test_an_operation_on_a_saved_file(saved):
    _, path = saved
    second = path.with_name("second.pt")
    result = attn_inject.inject(str(path), "eca", stage=4, out=second, check="structure")
    assert result.report.source == "timm"
    assert result.report.start == "identity"
    image = torch.randn(1, *TINY)
    with torch.no_grad():
        assert torch.equal(attn_inject.load(second)(image), attn_inject.load(path)(image))
    names = set(inserted_modules(attn_inject.load(second)))
    assert {n for n in names if n.endswith("_1")} == {f"layer4.{i}.attn_inject_1" for i in range(3)}
    assert len(names) == 19


@pytest.mark.parametrize(
    ("name", "attention", "placement"),
    [
        ("resnet50", "ela-l", "after"),
        ("mobilenetv2_100", "ca", "after-conv"),
        ("convnext_tiny", "cbam", "before-add"),
        ("vit_tiny_patch16_224", "se", "after"),
        ("swin_tiny_patch4_window7_224", "sa", "before-add"),
        ("torchvision/vit_b_16", "nam", "after"),
    ],
)
def test_figures_equal_those_of_the_real_modified_model(name, attention, placement):
    model = build(name)
    result = attn_inject.inject(model, attention, placement=placement, check="off", start="identity")
    assert sum(p.numel() for p in result.model.parameters()) == result.report.result.params
    image = torch.zeros(1, *size_of(model))
    fastpath = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            for analysis, handles, figure in (
                (FlopCountAnalysis, flop_handles(), result.report.result.flops),
                (ActivationCountAnalysis, activation_handles(), result.report.result.activations),
            ):
                counted = analysis(result.model.eval(), image).set_op_handle(**handles)
                counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
                counted.tracer_warnings("none")
                assert counted.total() == figure
    finally:
        torch.backends.mha.set_fastpath_enabled(fastpath)


def test_a_module_in_hand_is_copied_and_starts_as_the_identity():
    model = make_generic(timm.create_model("resnet50", drop_path_rate=0.2)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = attn_inject.inject(model, "se", input_size=TINY)
    assert result.report.start == "identity"
    assert type(model.layer1[0]) is Bottleneck
    assert not inserted_modules(model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training
    assert result.model.training
    image = torch.randn(2, *TINY)
    with torch.no_grad():
        assert torch.equal(result.model.eval()(image), model.eval()(image))
        assert torch.equal(result.model(image), result.model(image))
        result.model.train()
        assert not torch.equal(result.model(image), result.model(image))


def test_a_result_is_shown_on_one_line():
    result = attn_inject.inject("test_resnet", "se", check="structure")
    assert repr(result) == (
        f"<Injected test_resnet: {len(result.sites)} x se; {result.report.base.params:,} parameters became "
        f"{result.report.result.params:,}; 4 of 4 checks passed>"
    )


def test_inplace_edits_the_given_module():
    model = build("test_resnet")
    result = attn_inject.inject(model, "se", inplace=True, input_size=TINY)
    assert result.model is model
    assert inserted_modules(model)
    assert attn_inject.remove(model) is model
    assert not inserted_modules(model)


def test_a_failed_check_leaves_nothing(tmp_path):
    class Scales(nn.Module):
        """Fails the identity check, because its output is not finite."""

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(channels, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight / 0

    sys.modules[__name__].Scales = Scales
    model = build("test_resnet")
    keys = list(model.state_dict())
    out = tmp_path / "model.pt"
    with pytest.raises(CheckFailedError, match="checks failed"):
        attn_inject.inject(model, f"{__name__}:Scales", inplace=True, input_size=TINY, out=out)
    assert list(tmp_path.iterdir()) == []
    assert list(model.state_dict()) == keys
    assert type(model.layer1[0]).__name__ == "BasicBlock"


def test_several_specs_and_selection():
    result = attn_inject.inject(
        build("resnet50", meta=True),
        ["layer4.*=sa:groups=32", "ela-l"],
        stage=(3, 4),
        skip="*.0",
        dry_run=True,
    )
    placed = {i.site.name: i.attention for i in result.report.insertions}
    assert result.report.attention == ("layer4.*=sa:groups=32", "ela-l")
    assert placed == {
        **{f"layer3.{i}": "ela-l" for i in range(1, 6)},
        **{f"layer4.{i}": "sa:groups=32" for i in range(1, 3)},
    }


def test_options_that_do_not_divide_are_adapted_and_reported():
    result = attn_inject.inject("mobilenetv2_100", "sa", dry_run=True)
    first = result.report.insertions[0]
    assert (first.site.channels, first.attention) == (24, "sa:groups=12")
    assert first.note == "groups=64 does not fit 24 channels: groups=12 used"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"where": "layer9.*"}, NoSiteError, "layer9.*"),
        ({"stage": 7}, NoSiteError, "no stage 7"),
        ({"at": "nothing"}, NoSiteError, "matches no module"),
        ({"attention": "sea"}, UnknownNameError, "sea"),
        ({"attention": "se:reductoin=8"}, UnknownNameError, "reduction"),
        ({"placement": "behind"}, UnknownNameError, "behind"),
        ({"attention": "layer9.*=se"}, NoSiteError, "layer9"),
        ({"attention": ["se", "eca"]}, UsageError, "eca is used at no site"),
        ({"attention": "se:reduction=0"}, UsageError, "reduction"),
        ({"model": "vgg11"}, NoSiteError, "--at"),
        ({"model": "resnet5"}, UnknownNameError, "resnet50"),
    ],
)
def test_requests_that_cannot_be_met(options, error, words):
    arguments = {"model": "test_resnet", "attention": "se", "dry_run": True, **options}
    with pytest.raises(error) as caught:
        attn_inject.inject(arguments.pop("model"), arguments.pop("attention"), **arguments)
    assert words in str(caught.value)


def test_the_modified_model_lives_on():
    """deepcopy, pickle, export, jit.trace, a training step and gradient checkpointing."""
    model = make_generic(build("test_resnet"))
    modified = attn_inject.inject(model, "ela-t", input_size=TINY).model.eval()
    image = torch.randn(2, *TINY)
    with torch.no_grad():
        expected = modified(image)
        assert torch.equal(copy.deepcopy(modified)(image), expected)
        assert torch.equal(pickle.loads(pickle.dumps(modified))(image), expected)
        assert torch.allclose(torch.jit.trace(modified, image)(image), expected, atol=1e-4)
        exported = torch.export.export(modified, (image,)).module()
        assert torch.allclose(exported(image), expected, atol=1e-4)
    modified.train()
    modified.set_grad_checkpointing()
    optimizer = torch.optim.SGD(modified.parameters(), lr=0.1)
    modified(image).square().mean().backward()
    alphas = [m.alpha for m in inserted_modules(modified).values()]
    assert all(alpha.grad is not None and alpha.grad.abs() > 0 for alpha in alphas)
    optimizer.step()
    assert all(alpha.abs() > 0 for alpha in alphas)


def test_stats():
    table = attn_inject.stats(["test_resnet", "vgg11"], ["se", "eca"])
    rows = [(row.model, row.attention, row.sites, row.reason) for row in table.rows]
    assert [row[:3] for row in rows] == [
        ("test_resnet", None, 0), ("test_resnet", "se", len(attn_inject.find_sites("test_resnet").sites)),
        ("test_resnet", "eca", len(attn_inject.find_sites("test_resnet").sites)),
        ("vgg11", None, 0), ("vgg11", "se", 0), ("vgg11", "eca", 0),
    ]  # fmt: skip
    assert "no residual block" in str(rows[-1][3])
    report = attn_inject.inject("test_resnet", "se", dry_run=True).report
    assert table.rows[1].delta_params == report.delta.params
    assert table.rows[1].flops == report.result.flops


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_of_another_type_is_called_with_its_own(dtype):
    result = attn_inject.inject(build("test_resnet").to(dtype), "se", input_size=64)
    assert len(result.sites) == 4
    assert {p.dtype for p in result.model.parameters()} == {dtype}


def test_one_example_is_enough_for_a_module_with_a_norm_over_samples():
    example = torch.randn(1, *TINY)
    assert len(attn_inject.inject(build("test_resnet"), "srm", example_input=example).sites) == 4


def test_a_model_that_cannot_be_copied_is_told():
    model = build("test_resnet")
    model.lock = threading.Lock()
    with pytest.raises(ModelError, match=r"cannot be copied.*lock") as caught:
        attn_inject.inject(model, "se", input_size=TINY)
    assert "inplace=True" in caught.value.hint


def test_modules_named_by_hand_that_are_no_sites_are_told_with_the_reason():
    with pytest.raises(
        NoSiteError, match=r"named by at \(--at\) is a site; fc, for one: its output of shape"
    ):
        attn_inject.inject(build("test_resnet"), "se", at="fc", input_size=TINY)
