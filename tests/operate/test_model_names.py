"""Names, globs and lists of models."""

from __future__ import annotations

import pytest

from attn_inject.errors import FileError, UnknownNameError, UsageError
from attn_inject.operate.model_names import expand
from attn_inject.request import ModelRequest
from tests.nets import build


def names(*given):
    return [wanted.name for wanted in expand(given)]


def test_names_stay_as_they_are_and_are_counted_once():
    assert names("resnet18", "torchvision/resnet18", "package.module:[ab]", "resnet18") == [
        "resnet18",
        "torchvision/resnet18",
        "package.module:[ab]",
    ]


def test_globs_mean_timm_first_and_torchvision_where_it_alone_has_the_name():
    found = names("resnet1[08]", "alexne?")
    assert found == ["resnet10", "resnet18", "alexnet"] or found == ["resnet18", "alexnet"]
    assert names("torchvision/resnet18*") == ["torchvision/resnet18"]
    assert all(wanted.listed for wanted in expand("resnet1[08]"))
    assert not expand("resnet18")[0].listed


def test_requests_keep_their_other_wishes():
    [wanted] = expand(ModelRequest(name="resnet1[8]", num_classes=7))
    assert (wanted.model.name, wanted.model.num_classes) == ("resnet18", 7)


def test_objects_are_taken():
    model = build("test_resnet", meta=True)
    assert [wanted.model for wanted in expand([model, model])] == [model]


def test_lists_hold_names_globs_and_comments(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("# models\n\nresnet18   # small\ntorchvision/alexne*\n")
    assert names(f"@{file}") == ["resnet18", "torchvision/alexnet"]


def test_code_in_a_list_needs_trust(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("resnet18\nevil.nets:net\n")
    with pytest.raises(FileError, match=r"list\.txt, line 2 names evil\.nets:net"):
        expand(f"@{file}")
    trusted = expand(ModelRequest(name=f"@{file}", trust=True))
    assert [wanted.name for wanted in trusted] == ["resnet18", "evil.nets:net"]


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        (None, FileError, "cannot be read"),
        (b"\xff\xfe\x00", FileError, "cannot be read"),
        (b"# nothing\n", UsageError, "names no model"),
        (b"@other.txt\n", UsageError, "another list"),
        (b"resnot*\n", UnknownNameError, "resnot"),
    ],
)
def test_bad_lists_are_told(tmp_path, content, error, told):
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=told):
        names(f"@{file}")


def test_a_glob_that_matches_nothing_names_what_is_near():
    with pytest.raises(UnknownNameError) as failure:
        names("resnet5[x]*")
    assert "resnet" in failure.value.hint
