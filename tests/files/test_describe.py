import json

import pytest

from attn_inject.errors import FileError
from attn_inject.files import pt
from attn_inject.files.describe import describe


def test_it_tells_model_sites_and_sizes_as_plain_data(tmp_path, small):
    path = tmp_path / "model.pt"
    pt.write(path, small)
    told = describe(path)
    assert json.loads(json.dumps(told)) == told
    assert told["file"] == str(path)
    assert told["bytes"] == path.stat().st_size
    assert (told["source"], told["model"], told["arguments"]) == ("timm", "resnet18", {"num_classes": 3})
    assert told["input_size"] == [3, 64, 64]
    assert (told["tensors"], told["elements"]) == (4, 12 + 1 + 1)
    assert (told["inserted_tensors"], told["inserted_elements"]) == (1, 1)
    assert [site["name"] for site in told["sites"]] == ["layer1.0", "layer2.1"]
    assert told["sites"][0]["module"] == "layer1.0.attn_inject"
    assert [site["elements"] for site in told["sites"]] == [1, 0]
    assert told["sites"][1]["attention"] == "eca"
    assert told["witness"]
    assert told["digest"] == small.digest
    assert told["versions"] == {"torch": "2.15.0"}


def test_a_file_that_is_not_ours_is_an_error(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(FileError):
        describe(tmp_path / "model.pt")
