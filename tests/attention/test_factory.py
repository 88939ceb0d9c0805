import pytest
import torch
from torch import nn

from attn_inject.attention.ela import ELA
from attn_inject.attention.factory import build, create_attention, resolve
from attn_inject.attention.se import SE
from attn_inject.errors import FitError, UnknownNameError, UsageError
from attn_inject.request import AttentionSpec

HERE = "tests.attention.test_factory"


class Gate(nn.Module):
    """What somebody else might write: no base class, and hints of every kind."""

    def __init__(self, channels: int, *, scale: float = 1.0, heads: int | None = None, mode="mean", any=None):
        super().__init__()
        self.given = {"channels": channels, "scale": scale, "heads": heads, "mode": mode, "any": any}
        if mode == "broken":
            raise KeyError("no such mode")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Needy(nn.Module):
    def __init__(self, channels: int, *, heads: int, depth: int):
        super().__init__()


def test_builds_what_a_spec_says():
    module = create_attention("se:reduction=8,bias=false", channels=64)
    assert isinstance(module, SE)
    assert (module.fc1.out_channels, module.fc1.bias) == (8, None)


def test_keywords_overrule_the_spec():
    assert create_attention("se:reduction=8,bias=false", channels=64, reduction=4).options == {
        "reduction": 4,
        "bias": False,
        "squeeze": "avg",
        "gate": "sigmoid",
    }


def test_a_variant_brings_its_options_and_keeps_the_rest():
    module = create_attention("ELA_T", channels=64, shared=False)
    assert isinstance(module, ELA)
    assert module.options == {"kernel_size": 5, "groups": "C", "num_groups": 32, "shared": False}


@pytest.mark.parametrize(
    ("spec", "channels", "text", "note"),
    [
        ("se", 64, "se", ""),
        ("se:reduction=16", 64, "se", ""),
        ("se:reduction=8", 64, "se:reduction=8", ""),
        ("se:bias=false", 64, "se:bias=false", ""),
        ("ela-l", 256, "ela-l", ""),
        ("sa", 64, "sa:groups=32", "groups=64 does not fit 64 channels: groups=32 used"),
        ("sa", 24, "sa:groups=12", "groups=64 does not fit 24 channels: groups=12 used"),
        ("sa", 25, "sa", ""),
        (
            "ela-t",
            144,
            "ela-t:num_groups=24",
            "num_groups=32 does not fit 144 channels: num_groups=24 used",
        ),
        (
            "ela-l",
            28,
            "ela-l:groups=2,num_groups=14",
            "groups=C/8 does not fit 28 channels: groups=2 used; "
            "num_groups=16 does not fit 28 channels: num_groups=14 used",
        ),
    ],
)
def test_resolves_to_the_options_that_serve(spec, channels, text, note):
    resolved = resolve(spec, channels)
    assert (str(resolved), resolved.note) == (text, note)
    again = resolve(AttentionSpec(name=resolved.entry.name, options=dict(resolved.options)), channels)
    assert again.options == resolved.options
    assert again.note == ""
    assert str(again) == text


def test_resolved_options_are_complete():
    assert resolve("ela-s:shared=false", 256).options == {
        "kernel_size": 5,
        "groups": "C/8",
        "num_groups": 16,
        "shared": False,
    }


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("see", UnknownNameError, "There is no attention module called 'see'. Did you mean se"),
        (
            "se:reductio=8",
            UnknownNameError,
            "its options are reduction, bias, squeeze and gate. Did you mean reduction?",
        ),
        ("eca:zzz=8", UnknownNameError, "its options are kernel_size. Leave 'zzz' out."),
        ("nam:size=7", UnknownNameError, "nam has no option 'size'; it takes no options."),
        ("se:reduction=many", UsageError, "se: reduction=many is not accepted; reduction is a whole number."),
        ("se:reduction=1.5", UsageError, "reduction is a whole number. For example se:reduction=1."),
        ("se:reduction=true", UsageError, "reduction is a whole number."),
        ("se:bias=1", UsageError, "bias is true or false. For example se:bias=true."),
        ("ela-l:groups=0.5", UsageError, "groups is a whole number or a word."),
        ("se:reduction=0", FitError, "SE: reduction=0 is not accepted; reduction is a whole number from 1."),
        ("ca:reduction=-1", FitError, "CA: reduction=-1 is not accepted"),
        ("cbam:reduction=0", FitError, "CBAM: reduction=0 is not accepted"),
        ("cbam:kernel_size=4", FitError, "CBAM: kernel_size=4 is not accepted; kernel_size is an odd whole"),
        (
            "eca:kernel_size=2",
            FitError,
            "ECA: kernel_size=2 is not accepted; kernel_size is `auto` or an odd",
        ),
        ("ela-l:kernel_size=0", FitError, "ELA: kernel_size=0 is not accepted"),
        (
            "ela-l:groups=D/8",
            FitError,
            "ELA: groups=D/8 is not accepted; groups is a whole number from 1, or `C`",
        ),
        ("ela-l:num_groups=0", FitError, "ELA: num_groups=0 is not accepted"),
        ("sa:groups=0", FitError, "SA: groups=0 is not accepted; groups is a whole number from 1."),
        ("nam", FitError, "nam accepts maps of one size only, and no size is known here. Give size=(H, W)."),
        (f"{HERE}:Gate:mode=broken", FitError, "does not fit 24 channels. KeyError: 'no such mode'"),
        (f"{HERE}:Gate:scale=big", UsageError, "scale is a number."),
        (f"{HERE}:Gate:heads=big", UsageError, "heads is a whole number."),
        (f"{HERE}:Gate:mode=3", UsageError, "mode is a word."),
        (f"{HERE}:Needy:heads=2", UsageError, "Needy needs depth."),
        (f"{HERE}:Needy", UsageError, "Needy needs heads and depth."),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(spec, error, message):
    with pytest.raises(error) as caught:
        create_attention(spec, channels=24)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_odd_channel_count_does_not_fit_shuffle_attention():
    with pytest.raises(FitError, match=r"sa does not fit 25 channels\. SA: groups=64 is not accepted"):
        create_attention("sa", channels=25)


def test_a_fault_of_a_built_in_module_is_not_dressed_up_as_a_misfit(monkeypatch):
    monkeypatch.setattr(SE, "adapt", classmethod(lambda cls, channels, options: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        create_attention("se", channels=24)


def test_a_foreign_class_gets_its_channels_and_options():
    module = create_attention(f"{HERE}:Gate:scale=2,heads=4,any=word", channels=24)
    assert module.given == {"channels": 24, "scale": 2, "heads": 4, "mode": "mean", "any": "word"}


def test_the_size_reaches_the_modules_that_need_it():
    assert create_attention("nam", channels=8, size=(7, 5)).spatial.size == (7, 5)
    assert create_attention("se", channels=8, size=(7, 5)).channels == 8


def test_a_resolved_module_is_built_as_resolved():
    assert build(resolve("sa", 24), channels=24).groups == 12


@pytest.mark.parametrize("spec", ["timm:bottleneck", "timm:halo:block_size=7", "timm:bat", "timm:lambda"])
def test_modules_of_timm_are_built_for_the_map_size(spec):
    module = create_attention(spec, channels=64, size=(14, 14))
    assert module(torch.randn(2, 64, 14, 14)).shape == (2, 64, 14, 14)


def test_an_assertion_without_words_is_told_by_its_line():
    with pytest.raises(FitError, match=r"AssertionError: assert dim_out % num_heads == 0"):
        create_attention("timm:halo:num_heads=7", channels=64, size=(14, 14))


@pytest.mark.parametrize("spec", ["timm:se", "timm:gca", "TIMM:ELA", "timm:eca:kernel_size=5"])
def test_timm_modules_are_built_by_name(spec):
    module = create_attention(spec, channels=64)
    assert type(module).__module__.startswith("timm.layers")
    assert module(torch.randn(2, 64, 7, 5)).shape == (2, 64, 7, 5)


def test_a_timm_module_has_named_options_only():
    with pytest.raises(UnknownNameError, match="timm:se has no option 'reduction'; its options are rd_ratio"):
        create_attention("timm:se:reduction=8", channels=64)
