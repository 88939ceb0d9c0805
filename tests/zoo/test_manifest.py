"""Flags, TOML and Python give the same request; what is wrong is told with its place."""

from __future__ import annotations

import hashlib

import pytest

from attn_inject.errors import AttnInjectError, FileError, UnknownNameError, UsageError
from attn_inject.zoo.jobs import make_jobs
from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.zoo_file import read_toml

TOML = """\
# what holds for all
models = ["resnet1*", "@{names}"]
each-attn = ["se", "ela-l"]
out-dir = "zoo"
jobs = 2
timeout = "10m"
check = "structure"

[model-arg]
drop_path_rate = 0.1

[[entry]]
models = "torchvision/regnet_*"
attn = ["layer4.*=sa", "eca"]
input-size = [3, 128, 128]

[[entry]]
models = ["vit_tiny_*"]
placement = "before-add"
"""


def from_toml(tmp_path, text, **flags):
    path = tmp_path / "zoo.toml"
    path.write_text(text)
    top, entries = read_toml(path)
    return make_zoo([top, Options(flags)], entries)


def attention(entry):
    return [[str(spec) for spec in plan.attention] for plan in entry.plans]


def test_a_whole_file(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("# mine\nresnet50   # the usual\n\nresnet101\n")
    zoo = from_toml(tmp_path, TOML.replace("{names}", str(names)))
    first, second, third = zoo.entries
    assert first.models == ("resnet1*", "resnet50", "resnet101")
    assert attention(first) == [["se"], ["ela-l"]] == attention(third)
    assert attention(second) == [["layer4.*=sa", "eca"]]
    assert [entry.plans[0].placement for entry in zoo.entries] == ["after", "after", "before-add"]
    assert {entry.plans[0].check for entry in zoo.entries} == {"structure"}
    assert second.request.input_size == (3, 128, 128)
    assert first.request.model_args == {"drop_path_rate": 0.1}
    assert (zoo.settings.jobs, first.timeout) == (2, 600)


def test_flags_overrule_what_holds_for_all_and_not_what_an_entry_says(tmp_path):
    text = TOML.replace(', "@{names}"', "").replace("[model-arg]\ndrop_path_rate = 0.1\n", "")
    zoo = from_toml(tmp_path, text, attn=["gc"], jobs=1, placement="on-shortcut", out_dir="there")
    assert [attention(entry) for entry in zoo.entries] == [[["gc"]], [["layer4.*=sa", "eca"]], [["gc"]]]
    assert [entry.plans[0].placement for entry in zoo.entries] == ["on-shortcut"] * 2 + ["before-add"]
    assert (zoo.settings.jobs, zoo.settings.out_dir) == (1, "there")


COMPLETE = 'models = "a"\nattn = "se"\nout-dir = "zoo"\n'


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (COMPLETE + "placment = 'after'", UsageError, ["line 4: placment", "Did you mean placement?"]),
        (COMPLETE + "[[entry]]\nmodels = 'b'\nwere = 'x'", UsageError, ["line 6: were", "mean where?"]),
        (COMPLETE + "[[entry]]\nmodels = 'b'\njobs = 2", UsageError, ["line 6: jobs"]),
        (COMPLETE + "jobs = 'two'", UsageError, ["line 4: jobs", "whole number", "'two'"]),
        (COMPLETE + "jobs = 0", UsageError, ["never finish"]),
        (COMPLETE + "timeout = 'soon'", UsageError, ["line 4: timeout", "10m"]),
        (COMPLETE + "placement = 'afterwards'", UnknownNameError, ["line 1", "'afterwards'", "after"]),
        (COMPLETE + "[[entry]]\nmodels = 'b'\nattn = 'sse'", UnknownNameError, ["line 5", "'sse'"]),
        (COMPLETE + "format = 'pth'", UnknownNameError, ["'pth'"]),
        (COMPLETE + "name-template = '{modell}'", UsageError, ["{model}"]),
        (COMPLETE + "models = 'again'\n", UsageError, ["not TOML", "line 4"]),
        (COMPLETE + "[entry]\nmodels = 'b'", UsageError, ["[[entry]]"]),
        (COMPLETE + "each-attn = 'se'", UsageError, ["exclude each other"]),
        (COMPLETE + "pretrained = true\nweights = 'x.pt'", UsageError, ["exclude each other"]),
        ('models = "a"\nout-dir = "zoo"', UsageError, ["No attention module"]),
        ('attn = "se"\nout-dir = "zoo"', UsageError, ["No model"]),
        ('attn = "se"\nmodels = "a"', UsageError, ["--out-dir"]),
        (COMPLETE.replace('"a"', '"@gone.txt"'), FileError, ["gone.txt", "No such file"]),
    ],
)  # fmt: skip
def test_mistakes_name_their_line(tmp_path, text, kind, told):
    with pytest.raises(AttnInjectError) as caught:
        from_toml(tmp_path, text)
    assert type(caught.value) is kind
    for words in told:
        assert words in str(caught.value)


def test_a_key_says_where_in_the_weights_to_look(tmp_path):
    asked = {"models": "m", "attn": "se", "out_dir": "z"}
    made = make_zoo([Options({**asked, "weights": "w.pt", "weights_key": "ema"})])
    assert made.entries[0].request.weights_key == "ema"
    text = 'models = "m"\nattn = "se"\nout-dir = "z"\nweights = "w.pt"\nweights-key = "ema"\n'
    assert from_toml(tmp_path, text).entries == made.entries
    with pytest.raises(UsageError, match="none is named"):
        make_zoo([Options({**asked, "weights_key": "ema"})])


@pytest.mark.parametrize("address", ["https://host/w.pth", "hf-hub:org/name"])
def test_weights_at_an_address_are_known_by_their_content(address, tmp_path, monkeypatch):
    asked = Options({"models": "m", "attn": "se", "out_dir": "z", "weights": address})

    def key(content):
        (tmp_path / "w.pth").write_bytes(content)
        [job] = make_jobs(make_zoo([asked]), {"m": [("timm", "resnet18")]})
        assert job.inputs == ((address, hashlib.sha256(content).hexdigest()),)
        return job.key

    monkeypatch.setattr("attn_inject.models.remote.fetched", lambda _: tmp_path / "w.pth")
    assert key(b"one") != key(b"two")


def test_a_flag_of_the_wrong_kind_is_named_as_a_flag():
    with pytest.raises(UsageError, match=r"^--timeout is a time"):
        make_zoo([Options({"models": ["a"], "attn": "se", "out_dir": "z", "timeout": "soon"})])
