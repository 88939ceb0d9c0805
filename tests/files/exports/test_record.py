"""What `show` says of exported files, without the model that they were made of."""

from __future__ import annotations

import json
import zipfile

import onnx
import pytest
import torch

import attn_inject
from attn_inject.errors import FileError
from attn_inject.files.exports import record


@pytest.fixture(scope="module", params=[".onnx", ".pt2"])
def files(request, tmp_path_factory):
    """A saved file, and the same model exported."""
    folder = tmp_path_factory.mktemp("record")
    attn_inject.inject("test_resnet", ["layer4.*=sa", "eca"], out=folder / "m.pt")
    out = folder / f"m{request.param}"
    attn_inject.export(folder / "m.pt", out)
    return folder / "m.pt", out


def test_an_exported_file_is_described_like_the_saved_one(files):
    saved, exported = map(attn_inject.describe, files)
    differs = {key for key in saved if saved[key] != exported[key]}
    assert saved.keys() == exported.keys()
    assert differs == {"file", "bytes", "witness"}
    assert exported["weights"] == {"kind": "random", "seed": 0}


def test_a_module_that_may_have_been_trained_is_told(files, tmp_path):
    model = attn_inject.load(files[0])
    torch.nn.init.ones_(model.fc.bias)
    out = tmp_path / f"changed{files[1].suffix}"
    attn_inject.export(model, out)
    told = attn_inject.describe(out)
    assert told["weights"]["changed"]
    assert told["digest"] != attn_inject.describe(files[0])["digest"]


def test_people_find_the_origin_in_the_metadata_of_onnx(tmp_path):
    attn_inject.inject("test_resnet", "se", out=tmp_path / "m.pt")
    attn_inject.export(tmp_path / "m.pt", tmp_path / "m.onnx")
    told = {prop.key: prop.value for prop in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert told["attn_inject.base"] == "timm/test_resnet"
    assert told["attn_inject.weights"] == "random (seed 0)"
    assert told["attn_inject.version"] == attn_inject.__version__
    assert told["attn_inject.digest"] == attn_inject.describe(tmp_path / "m.pt")["digest"]


def of_archive(path, text):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/extra/attn_inject.json", text)
    return path


def damage(whole):
    """The record with one change each that a reader has to see."""
    edits = whole["recipe"]["splices"]
    yield {**whole, "site_elements": [1]}
    yield {**whole, "tensors": "many"}
    yield {
        **whole,
        "recipe": {**whole["recipe"], "splices": [{**edits[0], "placement": "everywhere"}, *edits[1:]]},
    }
    yield {**whole, "more": 1}


def test_what_has_no_record_or_a_wrong_one_is_refused(files, tmp_path):
    for name in ("x.onnx", "x.pt2"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(FileError, match="has no record"):
            attn_inject.describe(tmp_path / name)
    kept = record.read_record(files[1])
    whole = json.loads(record.record_of(attn_inject.load(files[0]), origin(files[0]))[record.KEY])
    assert kept.digest == whole["digest"]
    deep = json.dumps({record.KEY: "[" * 100_000})
    for text in ("[]", "{}", deep, "[" * 100_000, json.dumps({record.KEY: "[1]"})):
        with pytest.raises(FileError):
            attn_inject.describe(of_archive(tmp_path / "y.pt2", text))
    for wrong in damage(whole):
        with pytest.raises(FileError):
            attn_inject.describe(of_archive(tmp_path / "y.pt2", json.dumps({record.KEY: json.dumps(wrong)})))


def origin(file):
    from attn_inject.surgery.origin import origin_of

    return origin_of(attn_inject.load(file))


def test_a_plain_model_is_exported_without_a_record(tmp_path):
    attn_inject.export(torch.nn.Conv2d(3, 4, 1), tmp_path / "plain.pt2", input_size=(3, 8, 8))
    with pytest.raises(FileError, match="has no record"):
        attn_inject.describe(tmp_path / "plain.pt2")
