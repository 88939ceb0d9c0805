"""Each check passes on a sound modification and fails on a planted fault."""

from __future__ import annotations

from types import MethodType, SimpleNamespace

import pytest
import torch
from torch import nn

from attn_inject.checks.generic_position import generic_position
from attn_inject.checks.outputs import check_calls
from attn_inject.checks.reference import reference_outputs, reference_shapes
from attn_inject.checks.runner import prove_all, prove_structure
from attn_inject.errors import ModelError
from attn_inject.models.inputs import InputSpec
from attn_inject.request import AttentionSpec
from attn_inject.sites.recording import record
from attn_inject.surgery.generated import own_class
from attn_inject.surgery.inserted import inserted_modules
from tests.nets import build, modify

SIZE = (3, 64, 64)
INPUTS = InputSpec(SIZE)


def outcome(spoil=lambda model: None, attention="se", start="identity", full=True, **arguments):
    """Names of passed and of failed checks after a modification and a planted fault."""
    model = build("test_resnet", **arguments)
    before = (
        reference_outputs(model, INPUTS, seed=0) if full else reference_shapes(model, record(model, INPUTS))
    )
    edits = modify(model, attention, size=SIZE, start=start)
    spoil(model)
    calls = {s.path: s.site.calls for s in edits}
    if full:
        checks = prove_all(model, INPUTS, before, calls=calls, identity=start == "identity")
    else:
        checks = prove_structure(model, INPUTS, before, calls=calls)
    return {c.name: c for c in checks if c.passed}, {c.name: c for c in checks if not c.passed}


ALL = {
    "keys",
    "tensors",
    "outputs",
    "calls",
    "identity in eval()",
    "gradients",
    "identity in train()",
    "base gradients",
    "modes",
}

STRUCTURE = {"keys", "tensors", "outputs", "calls"}


@pytest.mark.parametrize("attention", ["se", "ela-l", "sa", "ca", "eca", "cbam", "nam-channel"])
def test_a_sound_operation_passes(attention):
    passed, failed = outcome(attention=attention)
    assert failed == {}
    assert set(passed) == ALL


def test_a_paper_start_and_the_structure_level():
    passed, failed = outcome(start="paper")
    assert failed == {}
    assert set(passed) == ALL - {"identity in eval()", "identity in train()", "base gradients"} | {"bypass"}
    passed, failed = outcome(full=False)
    assert failed == {}
    assert set(passed) == STRUCTURE


def test_what_has_no_parameter_has_nothing_to_learn():
    passed, failed = outcome(attention="simam", start="paper")
    assert failed == {}
    assert passed["gradients"].detail == "no inserted parameter is trainable"


def first_inserted(model):
    return next(iter(inserted_modules(model).values()))


def drop_key(model):
    del model.layer1[0].bn1.bias
    model.layer1[0].bn1.register_parameter("bias", None)


def add_key(model):
    model.extra = nn.Parameter(torch.ones(1))


def change_tensor(model):
    with torch.no_grad():
        model.conv1[0].weight[0, 0, 0, 0] += 1e-6


def change_output(model):
    first_inserted(model).forward = lambda x: x * (1 + 1e-3)


def infinite(model):
    first_inserted(model).forward = lambda x: x / 0


def reshape(model):
    model.fc = nn.Linear(model.fc.in_features, 7)


def freeze_mode(model):
    # A module whose train() does not reach itself.
    first_inserted(model).attention.train = lambda mode=True: None
    first_inserted(model).attention.training = True


def detach(model):
    module = first_inserted(model).attention
    forward = module.forward
    module.forward = lambda x: forward(x).detach()


def run_twice(model):
    def forward(block, x):
        block.attn_inject(x)
        return type(block).forward(block, x)

    model.layer1[0].forward = MethodType(forward, model.layer1[0])


def skip_it(model):
    block = model.layer1[0]
    block.forward = MethodType(own_class(type(block)).forward, block)


def only_in_training(model):
    module = first_inserted(model)
    forward = type(module).forward
    module.forward = lambda x: forward(module, x) * (1.001 if module.training else 1)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (drop_key, {"keys"}),
        (add_key, {"keys"}),
        (change_tensor, {"tensors"}),
        (change_output, {"identity in eval()", "identity in train()", "gradients"}),
        (infinite, {"outputs"}),
        (reshape, {"outputs"}),
        (detach, {"gradients"}),
        (run_twice, {"calls"}),
        (skip_it, {"calls"}),
        (only_in_training, {"identity in train()"}),
        (freeze_mode, {"modes"}),
    ],
)
def test_planted_faults(spoil, expected):
    _, failed = outcome(spoil)
    assert expected <= set(failed)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (drop_key, {"keys"}),
        (add_key, {"keys"}),
        (change_tensor, {"tensors"}),
        (reshape, {"outputs"}),
        (run_twice, {"calls"}),
        (skip_it, {"calls"}),
    ],
)
def test_faults_that_show_without_computing(spoil, expected):
    passed, failed = outcome(spoil, full=False)
    assert expected <= set(failed)
    assert set(passed) | set(failed) == STRUCTURE


def test_structure_of_a_model_that_reads_values():
    """What cannot run on shapes alone runs on zeros."""

    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = build("test_resnet")

        def forward(self, x):
            return self.model(x) if bool(x.isfinite().all()) else x

    model = Reads()
    before = reference_shapes(model, record(model, INPUTS))
    edits = modify(model, "se", size=SIZE)
    checks = prove_structure(model, INPUTS, before, calls={s.path: s.site.calls for s in edits})
    assert {check.name for check in checks if check.passed} == STRUCTURE


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.1])
def test_rare_stochastic_depth_passes(rate):
    """Two forwards of a model that seldom drops anything are usually equal."""
    passed, failed = outcome(drop_path_rate=rate)
    assert failed == {}
    assert "modes" in passed


def test_dropout_that_nothing_runs_passes():
    model = build("test_resnet")
    model.unused = nn.Dropout(0.5)
    noted = reference_outputs(model, INPUTS, seed=0)
    assert noted.other_seed is None
    edits = modify(model, "se", size=SIZE)
    checks = prove_all(model, INPUTS, noted, calls={s.path: s.site.calls for s in edits}, identity=True)
    check = next(check for check in checks if check.name == "modes")
    assert check.passed
    assert "random" not in check.detail


def test_training_that_is_no_longer_random():
    def fix(model):
        for module in model.modules():
            if hasattr(module, "drop_prob"):
                module.forward = lambda x: x

    passed, failed = outcome(drop_path_rate=0.5)
    assert failed == {}
    assert "random" in passed["modes"].detail
    _, failed = outcome(fix, drop_path_rate=0.5)
    assert "modes" in failed


@pytest.mark.parametrize(
    ("count", "detail"),
    [
        (1, "the inserted module ran once per call of its block"),
        (3, "3 inserted modules ran once per call of their block"),
    ],
)
def test_calls_are_told_in_plain_words(count, detail):
    calls = {f"{i}.attn_inject": 2 for i in range(count)}
    assert check_calls(calls, calls).detail == detail


def test_a_rate_so_low_that_nothing_was_dropped():
    passed, failed = outcome(drop_path_rate=1e-6)
    assert failed == {}
    assert "random" not in passed["modes"].detail


@pytest.mark.parametrize("zeroed", ["bn2", "fc"])
def test_zero_initialised_layers_hide_nothing(zeroed):
    """Without the generic position the output would be the same whatever the attention does."""

    def zero(model):
        for name, parameter in model.named_parameters():
            if zeroed in name:
                nn.init.zeros_(parameter)

    model = build("test_resnet")
    zero(model)
    before = reference_outputs(model, INPUTS, seed=0)
    edits = modify(model, "se", size=SIZE, placement="before-add")
    change_output(model)
    calls = {s.path: s.site.calls for s in edits}
    checks = prove_all(model, INPUTS, before, calls=calls, identity=True)
    assert "identity in eval()" in {check.name for check in checks if not check.passed}


def test_the_generic_position_gives_everything_back():
    model = build("test_resnet")
    model.layer1.train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]

    def fail_inside():
        with generic_position(model, 0):
            assert not torch.equal(model.layer1[0].bn1.weight, state["layer1.0.bn1.weight"])
            model.train()(torch.randn(2, *SIZE))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]


def test_closed_relus_of_a_small_bottleneck_are_no_fault():
    """At 32 channels and reduction 16 SE has two hidden units; here both start closed."""

    def close(model):
        for module in inserted_modules(model).values():
            nn.init.constant_(module.attention.fc1.weight, -1.0)

    passed, failed = outcome(close, attention="se:bias=false")
    assert failed == {}
    assert "gradients" in passed


def test_a_buffer_that_a_forward_replaces_is_put_back():
    """ConViT keeps its position indices in a buffer that grows with the first image."""

    class Grows(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.register_buffer("cache", torch.zeros(1, 3), persistent=False)

        def forward(self, x):
            if len(self.cache) != len(x):
                self.cache = torch.arange(float(len(x)))[:, None].expand(-1, 3)
            return x * self.weight + self.cache

    model = Grows()
    cache = model.cache
    with generic_position(model, 0):
        model(torch.zeros(2, 3))
    assert model.cache is cache
    assert torch.equal(model.cache, torch.zeros(1, 3))


class Wrapped(nn.Module):
    """Returns a model's output changed by `change`."""

    def __init__(self, change):
        super().__init__()
        self.model = build("test_resnet")
        self.change = change

    def forward(self, x):
        return self.change(self.model(x))


def test_an_output_in_an_object_is_compared():
    model = Wrapped(lambda y: SimpleNamespace(logits=y, name="a"))
    assert [t.shape for t in reference_outputs(model, INPUTS, seed=0).evaluation.tensors] == [(1, 1000)]
    assert reference_shapes(model, record(model, INPUTS)).shapes == ((1, 1000),)


@pytest.mark.parametrize("change", [lambda y: y.argmax(1), lambda y: None, lambda y: "cat"])
def test_an_output_that_cannot_be_compared_is_told(change):
    with pytest.raises(ModelError, match="no floating-point tensor") as caught:
        reference_outputs(Wrapped(change), INPUTS, seed=0)
    assert "--check off" in caught.value.hint
    model = Wrapped(change)
    with pytest.raises(ModelError, match="no floating-point tensor"):
        reference_shapes(model, record(model, INPUTS))


def test_a_model_without_values_is_told():
    with pytest.raises(ModelError, match="meta device"):
        reference_outputs(build("test_resnet", meta=True), INPUTS, seed=0)
    model = build("test_resnet", meta=True)
    with pytest.raises(ModelError, match="meta device"):
        reference_shapes(model, record(model, INPUTS))


def test_a_saturated_gate_is_told_and_passes():
    def saturate(model):
        nn.init.constant_(first_inserted(model).attention.fc2.bias, 0)
        nn.init.constant_(first_inserted(model).attention.fc2.weight, 1e6)
        nn.init.constant_(first_inserted(model).attention.fc1.weight, 1e3)

    passed, failed = outcome(saturate)
    assert failed == {}
    assert "all are 0 on this input in layer1.0.attn_inject" in passed["gradients"].detail


def stop_in_the_block(model):
    block = model.layer1[0]
    forward = type(block).forward
    block.forward = MethodType(lambda self, x: forward(self, x.detach()), block)


def double_gradients(model):
    model.layer1[0].conv1.register_full_backward_hook(lambda module, into, out: (2 * into[0],))


@pytest.mark.parametrize("spoil", [stop_in_the_block, double_gradients])
def test_gradients_that_change_are_found(spoil):
    _, failed = outcome(spoil)
    assert set(failed) == {"base gradients"}


def leave_in_training(model):
    first_inserted(model).attention.training = not model.layer1[0].training


def base_in_training(model):
    model.layer1[0].bn1.training = not model.layer1[0].bn1.training


@pytest.mark.parametrize("spoil", [leave_in_training, base_in_training])
def test_a_module_left_in_another_mode_is_found(spoil):
    _, failed = outcome(spoil)
    assert set(failed) == {"modes"}
    assert "as given" in failed["modes"].detail


class LearnsNothing(nn.Module):
    """The output depends on the weight in the graph, but never in its value."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        return x * torch.sigmoid(self.weight * 0)


@pytest.mark.parametrize("start", ["identity", "paper"])
def test_a_module_that_cannot_learn_is_found(start):
    _, failed = outcome(attention=AttentionSpec.of(LearnsNothing), start=start)
    assert set(failed) == {"gradients"}
    assert "even alone on bounded input" in failed["gradients"].detail
