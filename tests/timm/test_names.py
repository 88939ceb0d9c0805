"""Modified names in timm, and which lists do not show them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm
from timm.models import _registry as theirs

import attn_inject.timm
from attn_inject.attention import registry as attention_registry
from attn_inject.errors import UnknownNameError, UsageError
from attn_inject.models import names
from attn_inject.timm import rule

PLAIN = timm.list_models()
assert "resnet50" in PLAIN


def is_plain(name):
    return name in PLAIN


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("resnet50", None),
        ("resnet50_ela", None),
        ("resnet50_ela-l", None),
        ("ela_l", None),
        ("_ela_l", None),
        ("resnet49_ela_l", None),
        ("resnet50_ela_l_se", None),
        ("resnet50_ela_l", ("resnet50", "ela-l")),
        ("resnet50_gn_se", ("resnet50_gn", "se")),
        ("resnet50_ge_theta_minus", ("resnet50", "ge-theta-minus")),
        ("vit_tiny_patch16_224_nam_channel", ("vit_tiny_patch16_224", "nam-channel")),
    ],
)
def test_the_rule(name, parts):
    assert rule.split(name, is_plain) == parts
    assert timm.is_model(name) is (parts is not None or name == "resnet50")


@pytest.mark.parametrize("attention", attention_registry.entries())
def test_every_attention_module_makes_a_name(attention):
    assert timm.is_model(f"resnet18_{attention.replace('-', '_')}")


def test_no_name_of_timm_could_be_read_in_two_ways():
    suffixes = [name.replace("-", "_") for name in attention_registry.entries()]
    made = [f"{base}_{suffix}" for base in PLAIN for suffix in suffixes]
    assert len(set(made)) == len(made)
    assert not set(made) & set(PLAIN)


@pytest.mark.parametrize(
    ("glob", "shown"),
    [
        ("", []),
        ("*", []),
        ("resnet18*", []),
        ("resnet18_*", []),
        ("resnet18_e*", []),
        ("resnet18_ela_*", ["resnet18_ela_b", "resnet18_ela_l", "resnet18_ela_s", "resnet18_ela_t"]),
        ("test_resnet_ela*", [f"test_resnet_ela_{size}" for size in "bslt"]),
        ("test_resnet_*ela*", [f"test_resnet_ela_{size}" for size in "bslt"]),
        ("test_resn*ela_l", ["test_resnet_ela_l"]),
        ("test_*se*", []),
        ("resnet1[58]_se", ["resnet18_se"]),
        ("resnet18_ge_theta_*", ["resnet18_ge_theta_minus", "resnet18_ge_theta_plus"]),
        ("test_res*_ela_l", ["test_resnet_ela_l"]),
        (["resnet18_se", "resnet18_eca"], ["resnet18_eca", "resnet18_se"]),
    ],
)
def test_a_list_shows_made_names_when_its_filter_asks_for_them(glob, shown):
    timm.is_model("resnet18_ela_l")  # being asked for once does not put it into every list
    unasked = timm.list_models()
    assert {name for name in timm.list_models(glob) if name not in unasked} == set(shown)
    assert timm.list_models() == unasked


def test_lists_of_timms_own_models_stay_as_they_are():
    timm.list_models("*_ela_l")
    assert set(PLAIN) <= set(timm.list_models())
    assert not [name for name in timm.list_models() if rule.split(name, is_plain)]
    assert timm.models.list_models is timm.list_models is theirs.list_models


def test_pretrained_tags_are_the_bases():
    tags = timm.list_models("resnet18.*", pretrained=True)
    assert timm.list_models("resnet18_se", pretrained=True) == [t.replace("18", "18_se") for t in tags]
    assert timm.is_model_pretrained("resnet26_se")
    assert timm.is_model_pretrained("resnet26_se.bt_in1k")
    assert not timm.is_model_pretrained("resnet26_se.no_such_tag")
    own, base = (timm.get_pretrained_cfg(name) for name in ("resnet26_se.bt_in1k", "resnet26.bt_in1k"))
    assert (own.hf_hub_id, own.url, own.input_size) == (base.hf_hub_id, base.url, base.input_size)
    assert own.architecture == "resnet26_se"
    assert timm.get_pretrained_cfg("resnet18_gc").tag == timm.get_pretrained_cfg("resnet18").tag


def test_a_registered_name_is_listed():
    attn_inject.timm.register("registered_resnet", base="test_resnet", attn="se:reduction=4", stage=(3, 4))
    attn_inject.timm.register("registered_resnet", base="test_resnet", attn="se:reduction=4", stage=(3, 4))
    try:
        assert timm.is_model("registered_resnet")
        assert "registered_resnet" in timm.list_models()
        assert timm.list_models("registered_*") == ["registered_resnet"]
        with pytest.raises(UsageError, match="other values"):
            attn_inject.timm.register("registered_resnet", base="test_resnet", attn="se")
    finally:
        theirs._model_entrypoints.pop("registered_resnet")


@pytest.mark.parametrize(
    ("error", "values"),
    [
        (UsageError, {"name": "resnet50.ela"}),
        (UsageError, {"name": "resnet18"}),
        (UsageError, {"attn": []}),
        (UnknownNameError, {"base": "resnet51"}),
        (UnknownNameError, {"base": "resnet50.a1_in1k"}),
        (UnknownNameError, {"attn": "ela-xxl"}),
        (UnknownNameError, {"placement": "behind"}),
        (UnknownNameError, {"start": "fast"}),
    ],
)
def test_what_cannot_be_registered(error, values):
    with pytest.raises(error):
        attn_inject.timm.register(**{"name": "mine", "base": "test_resnet", "attn": "se", **values})
    assert not timm.is_model("mine")


def test_a_modified_name_is_no_model_to_operate_by_name():
    with pytest.raises(UsageError, match="modified architecture"):
        names.resolve("resnet18_se")
    with pytest.raises(UnknownNameError):
        names.resolve("resnet18_sex")
    assert ("timm", "resnet18_se") not in names.model_names("resnet18_se")


def test_a_name_is_served_whatever_was_imported_before():
    script = (
        "import timm; from timm import create_model, list_models, is_model\n"
        "import attn_inject.timm\n"
        "assert timm.is_model_pretrained('resnet18_se.a1_in1k')\n"
        "assert is_model('resnet18_eca')\n"
        "assert timm.get_pretrained_cfg('resnet18_gc').architecture == 'resnet18_gc'\n"
        "create_model('test_resnet_eca')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
