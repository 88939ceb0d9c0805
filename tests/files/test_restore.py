import pytest
import safetensors.torch
import torch

import attn_inject
from attn_inject.errors import FileError, FitError
from attn_inject.files.restore import restore
from tests.nets import build

TINY = (3, 64, 64)


def read(path):
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    return torch.load(path, weights_only=True)


def equal(one, other):
    return sorted(one) == sorted(other) and all(
        one[name].dtype == value.dtype and torch.equal(one[name], value) for name, value in other.items()
    )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("out", ["base.pt", "base.pth", "base.safetensors"])
def test_what_went_in_comes_out_bit_for_bit(tmp_path, suffix, out):
    base = build("test_resnet")
    once = attn_inject.inject(base, "ela-l", input_size=TINY, check="off").model
    twice = attn_inject.inject(once, "sa", stage=4, input_size=TINY, check="off").model
    saved = attn_inject.save(twice, tmp_path / f"model{suffix}")
    told = attn_inject.restore(saved, tmp_path / out)
    restored = read(tmp_path / out)
    assert equal(restored, base.state_dict())
    if not out.endswith(".safetensors"):
        assert list(restored) == list(base.state_dict())
    build("test_resnet").load_state_dict(restored)
    assert (told["tensors"], told["taken"]) == (len(base.state_dict()), [])
    assert told["removed_tensors"] == len(twice.state_dict()) - len(base.state_dict())
    assert told["elements"] == sum(t.numel() for t in base.state_dict().values())


def test_remove_gives_the_same(tmp_path):
    base = build("test_resnet")
    model = attn_inject.inject(base, "se", input_size=TINY, check="off").model
    removed = attn_inject.remove(model)
    assert [type(m) for m in removed.modules()] == [type(m) for m in base.modules()]
    assert equal(removed.state_dict(), base.state_dict())


STEM = {"placement": "replace-conv", "stem": True}
REPLACING = {
    "convolutions": ("resnet10t", ["sasa"], {"placement": "replace-conv"}),
    "attention": ("mobilenetv3_small_050", ["simam"], {"placement": "replace-attention"}),
    "a stem": ("torchvision/resnet18", ["sasa"], {**STEM, "where": "layer4.*"}),
}


@pytest.fixture(params=REPLACING, scope="module")
def replaced(request):
    """A base, and the same after replacing modules and another modification."""
    name, attention, plan = REPLACING[request.param]
    base = build(name)
    model = attn_inject.inject(base, attention, **plan, input_size=TINY, check="off").model
    return base, attn_inject.inject(model, "eca", stage=1, input_size=TINY, check="off").model


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_a_replacement_took_out_is_kept_or_comes_from_the_base(tmp_path, replaced, suffix):
    base, model = replaced
    bare = attn_inject.save(model, tmp_path / f"bare{suffix}")
    whole = attn_inject.save(model, tmp_path / f"whole{suffix}", keep_replaced=True)
    told = restore(whole, tmp_path / "one.pt")
    assert told["taken"] == []
    assert attn_inject.describe(whole)["replaced_tensors"] == len(base.state_dict()) - (
        told["tensors"] - attn_inject.describe(whole)["replaced_tensors"]
    )
    with pytest.raises(FileError, match=r"lacks .*, which (replace-|stem).* replaced") as caught:
        restore(bare, tmp_path / "two.pt")
    assert "--base FILE" in caught.value.hint
    assert not (tmp_path / "two.pt").exists()
    torch.save({"state_dict": base.state_dict()}, tmp_path / "own.pt")
    taken = restore(bare, tmp_path / "two.pt", base=tmp_path / "own.pt")["taken"]
    assert len(taken) == attn_inject.describe(whole)["replaced_tensors"] > 0
    for path in (tmp_path / "one.pt", tmp_path / "two.pt"):
        assert equal(read(path), base.state_dict())
    torch.save({taken[0]: torch.ones(1), "other": torch.ones(1)}, tmp_path / "foreign.pt")
    if len(taken) > 1:
        with pytest.raises(FileError, match=r"has no .*, which the base"):
            restore(bare, tmp_path / "three.pt", base=tmp_path / "foreign.pt")


def test_convolutions_come_back_in_their_own_order(tmp_path):
    base = build("resnet10t")
    result = attn_inject.inject(base, "sasa", placement="replace-conv", input_size=TINY, check="off")
    attn_inject.save(result, tmp_path / "model.pt", keep_replaced=True)
    restore(tmp_path / "model.pt", tmp_path / "base.pt")
    assert list(read(tmp_path / "base.pt")) == list(base.state_dict())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_model_loaded_with_what_was_replaced_gives_it_back(tmp_path, replaced, suffix):
    base, model = replaced
    path = attn_inject.save(model, tmp_path / f"model{suffix}", keep_replaced=True)
    loaded = attn_inject.load(path, base=base)
    again = attn_inject.save(loaded, tmp_path / f"again{suffix}", keep_replaced=True)
    assert again.read_bytes() == path.read_bytes()
    removed = attn_inject.remove(loaded)
    assert equal(removed.state_dict(), base.state_dict())
    assert [type(m) for m in removed.modules()] == [type(m) for m in base.modules()]
    bare = attn_inject.load(attn_inject.save(model, tmp_path / f"bare{suffix}"), base=base)
    with pytest.raises(FitError, match="were not kept"):
        attn_inject.save(bare, tmp_path / f"three{suffix}", keep_replaced=True)


def test_refusals_leave_nothing(tmp_path):
    model = attn_inject.inject("test_resnet", "se", input_size=TINY, check="off").model
    part = attn_inject.save(model, tmp_path / "part.pt", only="attention")
    with pytest.raises(FileError, match="no base to restore"):
        restore(part, tmp_path / "base.pt")
    whole = attn_inject.save(model, tmp_path / "whole.pt")
    with pytest.raises(FileError, match="exists already"):
        restore(whole, part)
    data = bytearray(whole.read_bytes())
    largest = max(model.state_dict().values(), key=lambda t: t.numel())
    position = bytes(data).index(largest.numpy().tobytes()[:64])
    data[position] ^= 1
    whole.write_bytes(data)
    with pytest.raises(FileError, match="damaged"):
        restore(whole, tmp_path / "base.pt")
    assert {path.name for path in tmp_path.iterdir()} == {"part.pt", "whole.pt"}
