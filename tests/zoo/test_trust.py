"""Files run no code: names of code in zoo.toml and in lists need `--trust`."""

from __future__ import annotations

import sys

import pytest

from attn_inject.errors import FileError
from attn_inject.trust import GivenName
from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.run import NullWatcher, preview
from attn_inject.zoo.zoo_file import read_toml

COMPLETE = 'models = "test_resnet"\nattn = "se"\nout-dir = "zoo"\n'

NAMING = {
    "models": ('models = ["os:abort"]\nattn = "se"\n[model-arg]\na = "x"', "line 1: models", "os:abort"),
    "attn": ('models = "test_resnet"\nattn = "layer4.*=evil:Gate:k=3"', "line 2: attn", "evil:Gate"),
    "each-attn": ('models = "test_resnet"\neach-attn = ["se", "evil:Gate"]', "line 2: each-attn", "evil"),
    "entry": (COMPLETE + '[[entry]]\nmodels = ["evil.nets:net"]', "line 5: models", "evil.nets:net"),
    "entry's attn": (COMPLETE + '[[entry]]\nmodels = "a"\nattn = "evil:Gate"', "line 6: attn", "evil:Gate"),
    "no module of timm": ('models = "timm:create_model"\nattn = "se"', "line 1: models", "timm:create"),
}  # fmt: skip


def from_toml(tmp_path, text, **flags):
    path = tmp_path / "zoo.toml"
    path.write_text(text)
    top, entries = read_toml(path)
    return make_zoo([top, Options({"out_dir": str(tmp_path / "zoo"), **flags})], entries)


@pytest.mark.parametrize(
    "name", ["evil:Gate", "timmy:Gate", "timm_extra.gates:Gate", "timm/evil.py:Gate", "timm.x:Y"]
)
def test_a_class_is_code_however_much_like_timms_it_is_called(name):
    assert GivenName(name, "zoo.toml", "attention").is_code
    assert not GivenName("timm:se", "zoo.toml", "attention").is_code
    assert not GivenName("TIMM:se", "zoo.toml", "attention").is_code


@pytest.mark.parametrize("case", NAMING)
def test_code_that_a_zoo_file_names_needs_trust(tmp_path, case):
    text, place, name = NAMING[case]
    with pytest.raises(FileError) as caught:
        from_toml(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'zoo.toml'}, {place} names {name}")
    assert "--trust" in caught.value.hint
    assert from_toml(tmp_path, text, trust=True).entries


def test_code_that_a_list_names_needs_trust(tmp_path):
    listed = tmp_path / "models.txt"
    listed.write_text("test_resnet\nevil.nets:net  # mine\n")
    options = {"models": [f"@{listed}"], "attn": "se", "out_dir": str(tmp_path / "zoo")}
    with pytest.raises(FileError, match=r"models.txt, line 2 names evil.nets:net"):
        make_zoo([Options(options)])
    assert make_zoo([Options(options | {"trust": True})]).entries[0].models == (
        "test_resnet",
        "evil.nets:net",
    )


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("", 4, "trust = true"),
        ("[[entry]]\nmodels = 'b'\n", 6, "trust = true"),
        ("", 4, "force = true"),
        ("", 4, "ray = 'evil.example:6379'"),
    ],
)
@pytest.mark.parametrize("flags", [{}, {"trust": True, "force": True, "ray": "auto"}])
def test_a_file_does_not_give_what_only_the_user_may(tmp_path, text, line, flags, key):
    with pytest.raises(FileError, match=rf"zoo.toml, line {line}: {key.partition(' ')[0]} is refused"):
        from_toml(tmp_path, COMPLETE + text + key, **flags)


@pytest.mark.parametrize("url", ["dask://zoo", "simplecache::s3://a/b", "reference://x", "ssh://host/zoo"])
def test_a_folder_that_a_file_names_is_in_a_usual_store(tmp_path, url):
    path = tmp_path / "zoo.toml"
    path.write_text(COMPLETE.replace('"zoo"', f'"{url}"'))
    top, _ = read_toml(path)
    with pytest.raises(FileError, match=r"zoo.toml, line 3: out-dir is refused"):
        make_zoo([top])
    assert make_zoo([top, Options({"trust": True})]).settings.out_dir == url
    assert make_zoo([top, Options({"out_dir": "mine"})]).settings.out_dir == "mine"


def test_a_file_may_name_a_bucket(tmp_path):
    path = tmp_path / "zoo.toml"
    path.write_text(COMPLETE.replace('"zoo"', '"s3://bucket/zoo"'))
    assert make_zoo([read_toml(path)[0]]).settings.out_dir == "s3://bucket/zoo"


def test_what_the_user_types_is_the_users_wish(tmp_path):
    options = {"models": ["my.nets:net"], "attn": "my.gates:Gate", "out_dir": str(tmp_path / "zoo")}
    assert make_zoo([Options(options)]).entries[0].models == ("my.nets:net",)


def test_a_preview_imports_nothing_that_others_wrote(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    marks = tmp_path / "imported"
    (tmp_path / "theirs.py").write_text(f"open({str(marks)!r}, 'w').close()\n")
    options = {
        "models": ["theirs:net", "test_resnet"],
        "each_attn": ["theirs:Gate", "se"],
        "out_dir": str(tmp_path / "zoo"),
    }
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dry_run = preview(make_zoo([Options(options)]), NullWatcher())
    assert not marks.exists()
    assert "theirs" not in sys.modules
    assert [planned.params is None for planned in dry_run.outputs] == [True, True, False, False]
