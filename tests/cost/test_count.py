import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import nn

from attn_inject.cost.cost import Cost
from attn_inject.cost.count import count, count_call
from attn_inject.cost.handles import activation_handles, flop_handles
from attn_inject.errors import ModelError
from attn_inject.models.inputs import InputSpec


def fvcore_says(model, inputs):
    """fvcore's own analyses of the real model, weights and all."""
    analyses = (
        FlopCountAnalysis(model, inputs).set_op_handle(**flop_handles()),
        ActivationCountAnalysis(model, inputs).set_op_handle(**activation_handles()),
    )
    flops, activations = (
        item.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total() for item in analyses
    )
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(params=params, flops=int(flops), activations=int(activations))


class Einsum(nn.Module):
    def forward(self, x):
        return torch.einsum("nchw,ndhw->ncd", x, x)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        half = x.shape[-1] * 3 // 2  # arithmetic with sizes, which a trace records as tensors
        x = nn.functional.pad(x, (0, half, 0, 0)).flip(-1)
        return x * torch.sigmoid(self.conv(x))


class VectorProduct(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8))

    def forward(self, x):
        return torch.matmul(x, self.weight)


class Keywords(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 5)

    def forward(self, images, *, scale, labels=None):
        return {"logits": [self.linear(image * scale) for image in images], "labels": labels, "name": "x"}


@pytest.mark.parametrize(
    ("build", "size"),
    [
        pytest.param(lambda: timm.create_model("resnet18"), (3, 96, 96), id="resnet18"),
        pytest.param(lambda: timm.create_model("mobilenetv3_small_050"), (3, 64, 64), id="mobilenetv3"),
        pytest.param(
            lambda: timm.create_model("vit_tiny_patch16_224", depth=2), (3, 224, 224), id="fused attention"
        ),
        pytest.param(
            lambda: timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1)),
            (3, 224, 224),
            id="swin",
        ),
        pytest.param(lambda: nn.GroupNorm(2, 4), (4, 8, 8), id="group norm"),
        pytest.param(Einsum, (4, 8, 8), id="einsum"),
        pytest.param(lambda: nn.Conv2d(4, 6, 3, padding="same", groups=2), (4, 8, 8), id="padding=same"),
        pytest.param(lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (4, 8, 8), id="upsampling"),
    ],
)
def test_a_hollow_model_costs_what_fvcore_says_of_the_real_one(build, size):
    model = build().eval()
    assert count(model, InputSpec(size=size)).cost.by_fvcore == fvcore_says(model, torch.randn(1, *size))


def test_resnet50_has_the_known_figures():
    with torch.device("meta"):
        model = timm.create_model("resnet50")
    counted = count(model, InputSpec(size=(3, 224, 224)))
    assert counted.cost.by_fvcore == Cost(params=25_557_032, flops=4_111_512_576, activations=11_114_984)
    assert counted.by_module[""].cost == counted.cost
    assert counted.by_module["layer1.0.conv2"].cost.flops == 64 * 64 * 9 * 56 * 56
    assert sum(counted.by_module[f"layer{i}"].cost.flops for i in range(1, 5)) < counted.cost.flops


def test_attention_layers_without_gradients_hide_nothing():
    """Without gradients torch runs the whole layer as one operation, unless told otherwise."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    tokens = torch.randn(1, 10, 16)
    torch.backends.mha.set_fastpath_enabled(True)
    counted = count(layer, InputSpec.from_example(tokens))
    assert counted.cost.by_fvcore == fvcore_says(layer, tokens)
    products = 2 * 10 * 10 * 16
    linears = 10 * (16 * 48 + 16 * 16 + 2 * 16 * 32)
    norms = 2 * 5 * 10 * 16
    assert counted.cost.flops == products + linears + norms
    assert torch.backends.mha.get_fastpath_enabled()


def test_fused_and_plain_attention_cost_the_same():
    model = timm.create_model("vit_tiny_patch16_224", depth=2)
    fused = count(model, InputSpec(size=(3, 224, 224)))
    for block in model.blocks:
        block.attn.fused_attn = False
    plain = count(model, InputSpec(size=(3, 224, 224)))
    assert fused.cost.by_fvcore == plain.cost.by_fvcore
    assert "aten::scaled_dot_product_attention" not in fused.uncounted


@pytest.mark.parametrize("samples", [1, 3])
def test_an_example_is_counted_per_sample(samples):
    class FixedBatch(nn.Conv2d):
        def forward(self, x):
            return super().forward(x.reshape(samples, 3, 8, 8))

    example = InputSpec.from_example(torch.randn(samples, 3, 8, 8))
    one = count(nn.Conv2d(3, 4, 3), InputSpec((3, 8, 8))).cost
    assert count(nn.Conv2d(3, 4, 3), example).cost == one
    # A model that needs its batch is counted with it.
    assert count(FixedBatch(3, 4, 3), example).cost.flops == samples * one.flops


def test_grouped_queries_are_counted_per_query_head():
    class Grouped(nn.Module):
        def forward(self, q, k, v):
            return nn.functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)

    q, k, v = torch.randn(2, 4, 6, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 3)
    counted = count(Grouped(), InputSpec.from_example((q, k, v)))
    assert counted.cost.flops == 4 * 6 * 5 * (8 + 3)
    assert counted.cost.activations == 4 * 6 * (5 + 3)


def test_padding_by_a_word_costs_what_padding_by_a_number_does():
    word, number = (count_call(nn.Conv2d(4, 6, 3, padding=p), (1, 4, 8, 8)) for p in ("same", 1))
    assert word == number
    assert word.cost.flops > 0


def test_uncounted_names_arithmetic_only():
    assert count_call(Gate(), (1, 3, 8, 8)).uncounted == {"aten::sigmoid": 1, "aten::mul": 1}


def test_a_rule_that_fails_is_uncounted_instead_of_fatal():
    with pytest.raises(IndexError):
        fvcore_says(VectorProduct(), torch.randn(2, 8))
    counted = count_call(VectorProduct(), (2, 8))
    assert counted.uncounted == {"aten::matmul": 1}
    assert counted.cost == Cost(params=8)


def test_examples_with_keywords_lists_and_dictionaries_are_taken():
    model = Keywords()
    example = {"images": [torch.randn(1, 4), torch.randn(1, 4)], "scale": torch.ones(1), "labels": None}
    counted = count(model, InputSpec.from_example(example))
    assert counted.cost.by_fvcore == Cost(params=25, flops=2 * 20, activations=2 * 5)
    assert {name: part.cost.flops for name, part in counted.by_module.items()} == {"": 40, "linear": 40}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_of_a_model_does_not_matter(dtype):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    example = InputSpec.from_example(torch.randn(1, 3, 8, 8, dtype=dtype))
    expected = count(model, InputSpec(size=(3, 8, 8)))
    assert count(model.to(dtype), InputSpec(size=(3, 8, 8))) == expected
    assert count(model, example) == expected


def test_training_mode_is_left_alone_and_not_counted():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    assert count_call(model, (1, 3, 8, 8)).by_module["1"].cost.flops == 2 * 4 * 64
    assert model.training
    assert model[1].training


def test_an_input_that_the_model_refuses_is_named():
    with pytest.raises(ModelError, match=r"Sequential.*\(1, 5, 8, 8\)") as failure:
        count(nn.Sequential(nn.Conv2d(3, 4, 1)), InputSpec(size=(5, 8, 8)))
    assert "--input-size" in failure.value.hint


def test_counting_is_silent(capfd, caplog, recwarn):
    count_call(Gate(), (1, 3, 8, 8))
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list


MEASURE = """
import timm, torch
torch.set_num_threads(1)
from attn_inject.cost.count import count
from attn_inject.models.inputs import InputSpec
with torch.device("meta"):
    model = timm.create_model("vit_giant_patch14_224", img_size=56)  # few tokens, for speed
cost = count(model, InputSpec(size=(3, 56, 56))).cost
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(cost.params, cost.flops, peak.split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_billion_parameters_are_counted_in_little_memory():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE], capture_output=True, text=True, check=True
    )
    params, flops, peak_kilobytes = map(int, run.stdout.split())
    assert params > 1_000_000_000
    assert flops > 17 * params // 2  # sixteen patches and a class token, of every weight
    assert peak_kilobytes < 1_500_000  # the weights alone would be 4,050,000
