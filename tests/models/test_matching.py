import pytest
import timm
import torch
from torch import nn

from attn_inject.errors import FileError, ModelError
from attn_inject.models.matching import compare, put_weights
from attn_inject.models.weights_file import read_weights
from tests.models.checkpoints import CHECKPOINTS, OTHER, STATE, under
from tests.models.nets import net
from tests.nets import build, modify


@pytest.mark.parametrize("zipped", [True, False], ids=["archive", "older format"])
@pytest.mark.parametrize("title", CHECKPOINTS)
def test_the_state_dict_is_found(title, zipped, tmp_path):
    file = tmp_path / "w.pth"
    torch.save(CHECKPOINTS[title](), file, _use_new_zipfile_serialization=zipped)
    model = net(2)
    nn.init.zeros_(model[0].weight)
    notes = put_weights(read_weights(str(file)), model)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, STATE[key], rtol=1e-2, atol=1e-3)
    assert notes[0].startswith("loaded 9 of 9 tensors from w.pth")


TWO = {"state_dict": {**under("module.encoder_q."), **under("module.encoder_k.", OTHER)}}
TAKEN = {
    "state_dict_ema": ({"state_dict": STATE, "state_dict_ema": OTHER}, OTHER),
    "state_dict": ({"state_dict": STATE, "state_dict_ema": OTHER}, STATE),
    "student": ({"student": under("module.backbone."), "teacher": under("backbone.", OTHER)}, STATE),
    "teacher": ({"student": under("module.backbone."), "teacher": under("backbone.", OTHER)}, OTHER),
    "module.encoder_k": (TWO, OTHER),
    "state_dict.module.encoder_k": (TWO, OTHER),
    "b": ({"a": {"b": STATE}, "c": OTHER}, STATE),
}


@pytest.mark.parametrize("key", TAKEN)
def test_a_key_chooses_the_state_dict(key, tmp_path):
    content, expected = TAKEN[key]
    torch.save(content, tmp_path / "w.pt")
    model = net(2)
    notes = put_weights(read_weights(str(tmp_path / "w.pt"), key), model)
    assert torch.equal(model[0].weight, expected["0.weight"])
    assert len(notes) == 1


def test_an_unknown_key_is_told(tmp_path):
    torch.save({"model": STATE, "ema": {"net": OTHER}}, tmp_path / "w.pt")
    with pytest.raises(FileError, match="has no tensors under 'modle'") as caught:
        read_weights(str(tmp_path / "w.pt"), "modle")
    assert caught.value.hint == "They are under model, ema.net."


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (
            "`state_dict` beside `state_dict_ema` (timm)",
            (
                "loaded 9 of 9 tensors from w.pt (key state_dict_ema).",
                "w.pt: the averaged weights were taken; --weights-key state_dict takes that instead.",
            ),
        ),
        (
            "two encoders (MoCo)",
            (
                "loaded 9 of 9 tensors from w.pt (key state_dict, prefix module.encoder_q.); "
                "10 unknown to the model: module.encoder_k.0.weight, module.encoder_k.0.bias, "
                "module.encoder_k.1.weight and 7 more.",
                "w.pt: state_dict.module.encoder_k fits as well; "
                "--weights-key state_dict.module.encoder_k takes that instead.",
            ),
        ),
        ("a prefix of your own", ("loaded 9 of 9 tensors from w.pt (prefix my.vision.tower.).",)),
        (
            "an averaged model (`torch.optim.swa_utils`)",
            ("loaded 9 of 9 tensors from w.pt (prefix module.); 1 unknown to the model: n_averaged.",),
        ),
    ],
)
def test_what_was_found_is_told(title, expected, tmp_path):
    torch.save(CHECKPOINTS[title](), tmp_path / "w.pt")
    assert put_weights(read_weights(str(tmp_path / "w.pt")), net(2)) == expected


def test_the_model_itself_may_have_a_prefix(tmp_path):
    """A backbone's weights, loaded into a model that holds it as a child."""
    torch.save({"state_dict": under("backbone.")}, tmp_path / "w.pt")
    model = nn.Module()
    model.add_module("encoder", net(2))
    nn.init.zeros_(model.encoder[0].weight)
    (note,) = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note == "loaded 9 of 9 tensors from w.pt (key state_dict, prefix backbone. as encoder.)."
    assert torch.equal(model.encoder[0].weight, STATE["0.weight"])


def test_a_classifier_of_the_file_is_offered(tmp_path):
    torch.save(build("test_resnet", num_classes=7).state_dict(), tmp_path / "w.pt")
    notes = put_weights(read_weights(str(tmp_path / "w.pt")), build("test_resnet"))
    assert notes[1:] == (
        "w.pt has a classifier of 7 classes, which was left out; --num-classes 7 loads it, too.",
    )
    quiet = put_weights(read_weights(str(tmp_path / "w.pt")), build("test_resnet"), offer_classes=False)
    assert len(quiet) == 1


@pytest.mark.parametrize(("before", "after"), [(3, 1), (3, 5), (1, 3), (4, 3)])
def test_input_channels_are_converted_as_timm_does(before, after, tmp_path):
    state = build("test_resnet", in_chans=before).state_dict()
    torch.save(state, tmp_path / "w.pt")
    model = build("test_resnet", in_chans=after)
    notes = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert notes == (
        "loaded 92 of 92 tensors from w.pt.",
        f"w.pt: conv1.0.weight was converted from {before} to {after} input channels, "
        "as timm converts its own weights.",
    )
    expected = timm.models.adapt_input_conv(after, state["conv1.0.weight"], base_chans=before)
    assert torch.equal(model.conv1[0].weight, expected)


@pytest.mark.parametrize("kind", ["complex", "quantized"])
def test_numbers_that_would_lose_something_are_refused(kind, tmp_path):
    weight = STATE["3.weight"]
    other = (
        weight.to(torch.complex64)
        if kind == "complex"
        else torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
    )
    torch.save({**STATE, "3.weight": other}, tmp_path / "w.pt")
    model = net(2)
    kept = model[0].weight.clone()
    with pytest.raises(FileError, match=rf"holds {kind} numbers: 3\.weight is"):
        put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert torch.equal(model[0].weight, kept)


@pytest.mark.parametrize("name", ["module", "_orig_mod"])
def test_a_child_named_like_a_prefix_keeps_its_name(name, tmp_path):
    model = nn.Module()
    model.add_module(name, net())
    torch.save(model.state_dict(), tmp_path / "w.pt")
    child = model.get_submodule(name)
    nn.init.zeros_(child[0].weight)
    assert put_weights(read_weights(str(tmp_path / "w.pt")), model) == ("loaded 9 of 9 tensors from w.pt.",)
    assert torch.equal(child[0].weight, net()[0].weight)


def test_what_does_not_match_is_listed(tmp_path):
    other = net(5).state_dict()
    del other["1.bias"]
    other |= {f"extra{i}": torch.ones(1) for i in range(5)} | {"epoch": 7}
    torch.save(other, tmp_path / "w.pt")
    model = net(2)
    kept = model[3].weight.clone()
    notes = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert notes == (
        "loaded 6 of 9 tensors from w.pt; 2 of another shape: 3.weight (5, 4) instead of (2, 4), "
        "3.bias (5,) instead of (2,); 1 not in it: 1.bias; "
        "5 unknown to the model: extra0, extra1, extra2 and 2 more.",
    )
    assert torch.equal(model[3].weight, kept)
    assert torch.equal(model[0].weight, net(5)[0].weight)


def test_counters_of_old_files_are_not_missed():
    state = {name: value for name, value in STATE.items() if "num_batches" not in name}
    assert compare(net(), state).missing == []


def test_a_number_is_no_tensor():
    match = compare(net(), {**STATE, "0.bias": 4})
    assert match.reshaped == ["0.bias int instead of (4,)"]


def test_a_model_without_memory_is_only_compared(tmp_path):
    torch.save(net(5).state_dict(), tmp_path / "w.pt")
    model = net(2).to("meta")
    (note,) = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note.startswith(
        "would load 7 of 9 tensors from w.pt; 2 of another shape: 3.weight (5, 4) instead of"
    )
    assert model[0].weight.is_meta


def fits_by_chance(state):
    """What another architecture of the same widths leaves: norms, biases and a counter."""
    return {name: value for name, value in state.items() if value.ndim < 2}


def first_layer_alone(state):
    return {name: value for name, value in state.items() if name.startswith("conv1.")}


OTHERS = {
    "other names": lambda state: {"conv.weight": torch.ones(2, 2)},
    "fits by chance": fits_by_chance,
    "first layer alone": first_layer_alone,
    "the classifier alone": lambda state: {n: v for n, v in state.items() if n.startswith("fc.")},
    "other widths": lambda state: build("test_resnet", channels=(48, 64, 80, 96)).state_dict(),
    "a small part of another": lambda state: {"blocks.0.weight": torch.ones(10**6, 2)} | state,
}


@pytest.mark.parametrize("name", OTHERS)
def test_weights_of_another_model_are_refused(name, tmp_path):
    model = build("test_resnet")
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(OTHERS[name](model.state_dict()), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"another model: \d+ of \d+ tensors fit, which are \d+%") as caught:
        put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert caught.value.exit_code == 5
    assert "architecture" in caught.value.hint
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("kept", ["another classifier", "no classifier", "another stem"])
def test_a_classifier_or_a_stem_that_does_not_fit_is_no_reason(kept, tmp_path):
    """Although the classifier holds most of this model's weights."""
    model = build("test_resnet", num_classes=20000)
    assert 2 * model.fc.weight.numel() > sum(p.numel() for p in model.parameters())
    state = build("test_resnet", num_classes=0 if kept == "no classifier" else 7).state_dict()
    if kept == "another stem":
        state["conv1.0.weight"] = state["conv1.0.weight"].sum(1, keepdim=True)
    torch.save(state, tmp_path / "w.pt")
    note, *_ = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note.startswith("loaded ")
    assert torch.equal(model.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_attention_that_the_model_has_not_is_told(tmp_path):
    model = build("test_resnet")
    modify(model, "se")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=r"attention modules.*layer1\.0\.attn_inject\.") as caught:
        put_weights(read_weights(str(tmp_path / "w.pt")), build("test_resnet"))
    assert "open the file as the model" in caught.value.hint
    (note,) = put_weights(read_weights(str(tmp_path / "w.pt")), model)
    assert note.startswith("loaded ")


def test_tensors_that_cannot_be_copied_are_refused(tmp_path):
    torch.save({**STATE, "3.weight": torch.ones(2, 4).to_sparse()}, tmp_path / "w.pt")
    with pytest.raises(FileError, match="cannot be copied"):
        put_weights(read_weights(str(tmp_path / "w.pt")), net())
