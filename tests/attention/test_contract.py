"""The contract, tested on everything that is registered."""

import copy
import inspect
import sys
import warnings

import pytest
import torch
from torch import nn

from attn_inject.attention import registry
from attn_inject.attention.contract import AttentionModule, is_channel_gate, needs_size, option_defaults
from attn_inject.attention.factory import create_attention
from attn_inject.errors import FitError
from tests.attention.agreement import randomize

C, H, W = 32, 7, 5
NAMES = list(registry.entries())
SPECS = [
    *NAMES,
    *("se:bias=false", "se:squeeze=max,gate=tanh", "se:squeeze=none", "cbam:bias=false", "eca:kernel_size=5"),
    *("ela-l:shared=false", "sa:groups=1", "bam:literal=true", "nl:pool=false,scale=false", "gam:groups=4"),
    *("ge-theta-minus:extent=4", "ge-theta:extent=4", "ge-theta-plus:extent=2"),
]
# A side that pooling makes one position long is another program to torch.export.
SMALLEST = {"nl": 4, "ge-theta-minus:extent=4": 5, "ge-theta:extent=4": 5, "ge-theta-plus:extent=2": 3}
# A layer norm of two hidden channels amplifies their rounding, so more channels are compared; a sum of 49
# terms that are not normalised adds up theirs.
STEADY = {"gc": "gc:reduction=4", "involution": "involution:kernel_size=5"}
# What C must be a multiple of, and what a module says otherwise.
DIVISORS = {
    "sa": (2, "whose double divides .* channels"),
    "epsa": (4, "takes a multiple of 4"),
    "cot": (8, "takes a multiple of 8"),
    "splat": (2, "radix is a divisor of the"),
}
# Their exported graphs add up a window in another order.
UNFOLDED = {"involution": 2e-5, "cot": 1e-5}
LAYOUTS = [torch.contiguous_format, torch.channels_last]

every_spec = pytest.mark.parametrize("spec", SPECS)
every_name = pytest.mark.parametrize("name", NAMES)


def make(spec: str, size: tuple[int, int] = (H, W), channels: int = C) -> nn.Module:
    torch.manual_seed(0)
    module = create_attention(spec, channels=channels, size=size)
    randomize(module)
    return module.eval()


def field(*shape: int, layout: torch.memory_format = torch.contiguous_format, **kind) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape or (2, C, H, W), generator=generator).to(memory_format=layout, **kind)


@every_spec
@pytest.mark.parametrize(("n", "h", "w"), [(0, 7, 5), (1, 7, 5), (3, 1, 9), (2, 1, 1), (2, 13, 8)])
@torch.no_grad()
def test_the_shape_is_kept_for_any_batch_and_size(spec, n, h, w):
    y = make(spec, (h, w))(field(n, C, h, w))
    assert y.shape == (n, C, h, w)
    assert y.isfinite().all()


@every_spec
def test_scales_and_shifts_of_norms_have_one_dimension(spec):
    """By this timm's optimizers, and others, decide what to exclude from weight decay."""
    norms = [module for module in make(spec).modules() if "Norm" in type(module).__name__]
    assert all(p.ndim == 1 for norm in norms for p in norm.parameters(recurse=False))


@every_spec
@pytest.mark.parametrize("channels", [1, 3, 24, 96, 144])
@torch.no_grad()
def test_awkward_channel_counts_are_served_or_refused(spec, channels):
    for name, (divisor, message) in DIVISORS.items():
        if spec.startswith(name) and channels % divisor:
            with pytest.raises(FitError, match=message):
                make(spec, channels=channels)
            return
    assert make(spec, channels=channels)(field(2, channels, H, W)).shape == (2, channels, H, W)


@every_spec
@pytest.mark.parametrize("training", [True, False])
def test_layout_decides_memory_and_nothing_else(spec, training):
    module = make(spec).double()
    found = []
    for layout in LAYOUTS:
        twin = copy.deepcopy(module).train(training)
        x = field(layout=layout, dtype=torch.float64).requires_grad_()
        y = twin(x)
        assert y.is_contiguous(memory_format=layout)
        (y * field(dtype=torch.float64)).sum().backward()
        found.append([y, x.grad, *(parameter.grad for parameter in twin.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@every_spec
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_autocast_keeps_the_type_and_stays_close(spec, given, layout):
    # A non-local block's norm is fed all but flat maps at first, and split attention's one number of each of
    # two samples; their batch statistics magnify rounding.
    spec, training = STEADY.get(spec, spec), not spec.startswith(("nl", "splat"))
    module = make(spec).train(training)
    x = field(layout=layout).to(given).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    y.float().sum().backward()
    assert y.dtype == given
    torch.testing.assert_close(y.float(), make(spec).train(training)(field()), atol=0.1, rtol=0.05)


@every_spec
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_module_of_half_precision_keeps_it(spec, kind):
    spec = STEADY.get(spec, spec)
    y = make(spec).to(kind)(field().to(kind))
    assert y.dtype == kind
    torch.testing.assert_close(y.float(), make(spec)(field()), atol=0.1, rtol=0.05)


@every_spec
def test_the_input_is_left_alone(spec):
    x = field().relu_()
    before = x.clone()
    make(spec).train()(x)
    assert torch.equal(x, before)


@every_spec
def test_every_parameter_gets_a_gradient(spec):
    # Wide enough that a perceptron's few hidden channels are not all on the dead side of their ReLU.
    module = make(spec, channels=128).train()
    x = field(2, 128, H, W).requires_grad_()
    (module(x) * x).sum().backward()
    learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
    dead = [name for name, p in learning.items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not dead


@every_spec
@torch.no_grad()
def test_copies_and_reloaded_tensors_compute_the_same(spec):
    module, x = make(spec), field()
    fresh = create_attention(spec, channels=C, size=(H, W)).eval()
    fresh.load_state_dict(module.state_dict(), strict=True)
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    assert torch.equal(fresh(x), module(x))


@every_spec
def test_it_compiles_without_a_graph_break(spec):
    torch._dynamo.reset()
    module, x = make(spec).train(), field()
    twin = copy.deepcopy(module)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), twin(x), rtol=0, atol=1e-6)


@every_spec
def test_it_exports_with_dynamic_batch_and_size(spec):
    module = make(spec)
    dynamic, smallest = {0: torch.export.Dim("n")}, SMALLEST.get(spec, 2)
    other = field(5, C, H, W)
    if not needs_size(module):
        dynamic |= {2: torch.export.Dim("h", min=smallest), 3: torch.export.Dim("w", min=smallest)}
        other = field(5, C, H + 4, W + 1)
    program = torch.export.export(module, (field(),), dynamic_shapes=(dynamic,))
    with torch.no_grad():
        rounding = UNFOLDED.get(spec, 1e-6)
        torch.testing.assert_close(program.module()(other), module(other), rtol=0, atol=rounding)


@every_spec
def test_fx_and_jit_trace_it_for_other_sizes(spec):
    module = make(spec)
    other = field(4, C, H, W) if needs_size(module) else field(4, C, H + 4, W + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorded = torch.jit.trace(module, (field(),))
    with torch.no_grad():
        assert torch.equal(torch.fx.symbolic_trace(module)(other), module(other))
        torch.testing.assert_close(recorded(other), module(other), rtol=0, atol=1e-6)


@every_spec
@torch.no_grad()
def test_a_channel_gate_multiplies_by_one_number_per_channel(spec):
    module, x = make(spec), field()
    if not is_channel_gate(module):
        y = module(x) / x
        assert (y.amax((2, 3)) - y.amin((2, 3))).max() > 1e-3, "this gate is one per channel: say so"
        return
    gate = module.gate(x)
    assert gate.shape == (2, C, 1, 1)
    assert torch.equal(module(x), x * gate)


@every_spec
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((C, H, W), r"takes a map of shape \(N, C, H, W\), and got 3 dimensions"),
        ((2, C, H, W, 1), "got 5 dimensions"),
        ((2, C + 2, H, W), f"was built for {C} channels, and got a map of {C + 2}"),
        ((2, C, 0, W), "got an empty map of 0x5 positions"),
        ((2, C, H, 0), "got an empty map of 7x0 positions"),
    ],
)
def test_a_map_that_is_none_is_refused_in_one_line(spec, shape, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(spec)(torch.zeros(shape))
    assert "\n" not in str(caught.value)


@every_spec
def test_it_can_be_built_without_memory(spec):
    with torch.device("meta"):
        module = create_attention(spec, channels=C, size=(H, W))
    assert all(parameter.is_meta for parameter in module.parameters())


@every_name
def test_options_are_explicit_and_those_of_the_catalogue(name):
    entry = registry.entries()[name]
    module = registry.load(entry)
    assert list(option_defaults(module)) == list(registry.options_of(entry))
    parameters = inspect.signature(module).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters)[1:]), "options are named, never positional"


@every_name
def test_repr_shows_every_option(name):
    entry = registry.entries()[name]
    text = repr(make(name))
    assert all(f"{option}=" in text for option in entry.options)


@every_name
def test_docstrings_name_the_paper_of_the_catalogue(name):
    entry = registry.entries()[name]
    module = registry.load(entry)
    for text in (inspect.getdoc(module), inspect.getdoc(sys.modules[module.__module__])):
        assert text is not None
        assert entry.title in text
        assert entry.source.replace(":", " ") in text
    assert "Deviations" in (sys.modules[module.__module__].__doc__ or "")


@every_name
def test_the_catalogue_says_what_the_class_acts_on(name):
    entry = registry.entries()[name]
    assert entry.acts_on == registry.load(entry).acts_on


class Whole(AttentionModule):
    def __init__(self, channels: int, *, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.strength


def test_a_subclass_may_ignore_the_base_constructor():
    module = Whole(8, strength=2.0)
    assert repr(module) == "Whole()"
    assert Whole.adapt(8, {"strength": 3.0}) == {"strength": 3.0}
    assert option_defaults(Whole) == {"strength": 1.0}
    assert not is_channel_gate(module)
    with pytest.raises(NotImplementedError, match="Whole has no channel gate"):
        module.gate(field())


@every_name
@pytest.mark.parametrize("channels", [0, -8])
def test_no_module_is_built_for_no_channels(name, channels):
    module = registry.load(registry.entries()[name])
    size = {"size": (H, W)} if needs_size(module) else {}
    with pytest.raises(ValueError, match=f"channels={channels} is not accepted"):
        module(channels, **size)
