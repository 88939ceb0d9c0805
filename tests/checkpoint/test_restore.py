import dataclasses

import pytest
import safetensors.torch
import torch

import attn_inject
from attn_inject.checkpoint import formats
from attn_inject.checkpoint.restore import restore
from attn_inject.errors import FileError
from tests.checkpoint.conftest import splice
from tests.models import build

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


@pytest.fixture
def replaced(small):
    """As after an operation by replacement: one tensor of the base is gone."""
    state = {name: value for name, value in small.state_dict.items() if "conv1" not in name}
    edit = splice(placement="after")
    object.__setattr__(edit, "placement", "replace-conv")
    recipe = dataclasses.replace(small.recipe, splices=(edit,))
    return dataclasses.replace(small, state_dict=state, recipe=recipe)


def test_what_a_replacement_took_out_comes_from_the_base(tmp_path, small, replaced, monkeypatch):
    monkeypatch.setattr(formats, "read", lambda path, mmap: replaced)
    base, out = tmp_path / "own.pt", tmp_path / "base.pt"
    inserted = "layer1.0.attn_inject.alpha"
    own = {name: value for name, value in small.state_dict.items() if name != inserted}
    torch.save({"state_dict": {**own, "layer1.0.bn1.num_batches_tracked": torch.tensor(0)}}, base)
    with pytest.raises(FileError, match=r"lacks what replace-conv took out of layer1\.0") as caught:
        restore("model.pt", out, verify=False)
    assert "--base FILE" in caught.value.hint
    assert not out.exists()
    told = restore("model.pt", out, base=base, verify=False)
    assert told["taken"] == ["layer1.0.conv1.weight"]
    assert equal(read(out), own)
    torch.save({"layer1.0.conv1.weight": torch.ones(1)}, base)
    with pytest.raises(FileError, match=r"has no .*, which the base"):
        restore("model.pt", tmp_path / "other.pt", base=base, verify=False)


def test_refusals_leave_nothing(tmp_path):
    model = attn_inject.inject("test_resnet", "se", input_size=TINY, check="off").model
    part = attn_inject.save(model, tmp_path / "part.pt", only="attention")
    with pytest.raises(FileError, match="no base that could be restored"):
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
