"""Fuzzed inputs for everything that reads: each is read as what it says, or refused with a sentence.

    python -m tests.reliability.fuzz [SHARE] [SEED] [READER ...]

SHARE, 1 by default, is multiplied with the number of inputs of each reader, together more than 20,000. An
error that is not ours, a wrong result, more than 2 s of the processor or more than 500 MB for one input are
faults, which are printed with the beginning of the input.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from attn_inject.errors import AttnInjectError
from attn_inject.files.hub_folder import is_hub_folder
from attn_inject.files.request_toml import read_recipe
from attn_inject.models.timm_folder import read_folder
from attn_inject.request import AttentionSpec, ModelRequest, Plan
from attn_inject.sites.selection import match_modules
from attn_inject.trust import names_in
from attn_inject.zoo.card import card_text
from attn_inject.zoo.index_page import page_text
from attn_inject.zoo.ledger import NAME, read_ledger
from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.naming import FIELDS, check_template, file_name
from attn_inject.zoo.place import LocalPlace
from attn_inject.zoo.record import Record
from attn_inject.zoo.rows import index_document
from attn_inject.zoo.zoo_file import read_toml
from tests.nets import build
from tests.reliability import fuzz_files
from tests.reliability.fuzzing import Reader, altered, as_json, attack, disturbed

RECIPE = """model = "test_resnet"
attn = ["layer4.*=sa:groups=8", "ela-l:kernel_size=7"]
stage = [3, 4]
seed = 3

[model-arg]
drop_path_rate = 0.1

[[then]]
attn = "eca"
placement = "before-add"
"""
ZOO = """attn = "se"
out-dir = "zoo"
check = "off"
memory-limit = "50%"
timeout = "10m"
jobs = 2

[model-arg]
drop_path_rate = 0.1

[[entry]]
models = ["resnet*", "torchvision/resnet18"]
each-attn = ["se:reduction=8", "ela-l"]
name-template = "{source}/{model}.{attention}"

[[entry]]
models = "test_vit"
input-size = [3, 224, 224]
"""
LIST = "resnet18\n# a comment\ntimm/test_resnet  # another\n\ntorchvision/resnet18\nmodel.pt\n"
TOML = (
    *("[[entry]]", "[[then]]", "[model-arg]", "model-arg.", "attn", "models", "each-attn", "stage", "seed"),
    *('"""', "'''", "= ", "[[", "]]", "\n[", "trust = true", "force = true", "2026-01-01", "0x10", "nan"),
)
CONFIG = {
    "architecture": "test_resnet",
    "num_classes": 7,
    "num_features": 64,
    "model_args": {"drop_rate": 0.1},
    "pretrained_cfg": {"input_size": [3, 64, 64], "global_pool": "avg", "num_classes": 7},
}
LINE = Record(
    key="k", file="a.pt", model="timm/a", attention=("se",), placement="after", status="done", digest="0" * 64
).to_json()
RESULT = {
    "sites": [{"name": "layer1.0"}],
    "rejected": [],
    "base": {"params": 1, "flops": 2, "activations": 3},
    "delta": {"params": 1, "flops": 2, "activations": 3},
    "result": {"params": 2, "flops": 4, "activations": 6},
    "weights": {"kind": "random", "seed": 0},
}
LEDGER = [
    {"run": {"began": "2026-01-01", "files": ["a.pt"], "scratch": ".attn-inject-scratch-0"}},
    {"summaries": {"README.md": "0" * 64}},
    LINE | {"result": RESULT},
    LINE | {"status": "failed", "failure": {"code": "fit", "message": "no", "hint": "", "detail": ""}},
]


def texts(folder: Path) -> Iterator[Reader]:
    """Readers of texts and of small files."""
    spec_tokens = ("se", "ela-l", "layer4.*=", ":reduction=8", "timm:se", "tests.nets:build", ",", "=8", "->")
    specs = disturbed(["se", "ela-l:kernel_size=7,groups=2", "layer4.*=sa:groups=8", "timm:eca"], spec_tokens)
    yield Reader("specs", 3000, specs, _spec)
    globs = disturbed(["layer1.*", "layer?.[01].**", "**.conv1", "*.0"], ("layer", ".", "*", "**.", "[!a]"))
    yield Reader("globs", 3000, globs, _glob)
    templates = disturbed(
        ["{source}/{model}.{attention}", "{seed}-{start}"], [f"{{{name}}}" for name in FIELDS]
    )
    yield Reader("name templates", 1500, templates, _template)
    yield Reader("recipes", 2500, disturbed([RECIPE], TOML), _file(folder, "recipe.toml", _recipe))
    yield Reader("zoo.toml", 2500, disturbed([ZOO], TOML), _file(folder, "zoo.toml", _zoo))
    yield Reader(
        "lists", 1000, disturbed([LIST], ("@x", "#", "os:system")), _file(folder, "list.txt", names_in)
    )
    one_line = st.sampled_from(LEDGER).flatmap(altered).map(as_json)
    lines = st.one_of(one_line, one_line, disturbed([json.dumps(line) for line in LEDGER]))
    ledgers = st.lists(lines, min_size=1, max_size=4).map("\n".join)
    yield Reader("ledgers", 2500, ledgers, _file(folder, NAME, _ledger))
    configs = st.one_of(altered(CONFIG).map(as_json), disturbed([json.dumps(CONFIG)], ("[", "{", ":")))
    yield Reader("config.json", 2000, configs, _file(folder, "config.json", _config))


def _file(folder: Path, name: str, read: Callable[[Path], object]) -> Callable[[str], object]:
    """Write an input to a file and read that."""

    def written(content: str) -> object:
        path = folder / name
        path.write_bytes(content.encode(errors="surrogatepass"))
        return read(path)

    return written


def _spec(text: str) -> None:
    spec = AttentionSpec.parse(text)
    if spec.options and not any(value != value for value in spec.options.values()):
        assert AttentionSpec.parse(str(spec)).name == spec.name, "another module is read back"
    Plan.of(text)


NAMES = build("test_resnet")


def _glob(text: str) -> None:
    known = {name for name, _ in NAMES.named_modules()}
    found = match_modules(NAMES, Plan.of("se", at=text).at)
    assert found, "nothing was matched, without an error"
    assert known >= set(found)
    if not set(text) & set("*?["):
        assert found == (text,), "a name matched another one"


def _template(text: str) -> None:
    check_template(text)
    name = file_name(text, "timm", ModelRequest(name="timm/resnet18"), Plan.of("se"), "pt")
    path = os.path.normpath(os.path.join("/root/zoo", name))
    assert path.startswith("/root/zoo/"), f"{name} leaves the folder"
    assert all(0 < len(os.fsencode(part)) < 256 for part in name.split("/") if part), "a part is too long"


def _recipe(path: Path) -> None:
    recipe = read_recipe(path)
    for plan in recipe.operations:
        given = dict(plan)
        if attn := given.pop("attn", None):
            Plan.of(attn, **given)


def _zoo(path: Path) -> None:
    top, entries = read_toml(path)
    zoo = make_zoo([top, Options({"out_dir": str(path.parent)})], entries)
    assert not zoo.settings.force
    assert all(not entry.request.trust for entry in zoo.entries)


def _ledger(path: Path) -> None:
    ledger = read_ledger(LocalPlace(str(path.parent)))
    for record in ledger.records.values():
        assert Record.from_json(record.to_json()) == record
    document = index_document(ledger.records.values())
    page_text(document)
    card_text([*ledger.records.values()], document["outputs"], document["versions"])


def _config(path: Path) -> None:
    is_hub_folder(path.parent)
    request = read_folder(f"local-dir:{path.parent}").asked(ModelRequest(name=""))
    assert request.name.startswith("timm/")
    assert ":" not in request.name
    for number in (request.num_classes, *(request.input_size or ())):
        assert number is None or (isinstance(number, int) and number >= 0)


def run(share: float, start: int, names: list[str]) -> Iterator[tuple[str, Any]]:
    """The tally of each reader."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        before = os.getcwd()
        os.chdir(name)
        try:
            for reader in itertools.chain(texts(Path(name)), fuzz_files.files(Path(name))):
                if not names or reader.name in names:
                    yield reader.name, attack(reader, max(1, int(share * reader.count)), start)
                    if Path("owned").exists():
                        raise AttnInjectError(f"something in a file for {reader.name} ran")
        finally:
            os.chdir(before)


def main() -> None:
    """Fuzz and print."""
    share, start = float((sys.argv[1:] or ["1"])[0]), int((sys.argv[2:] or ["0"])[0])
    total, wrong = 0, 0
    for name, tally in run(share, start, sys.argv[3:]):
        count = sum(tally.endings.values())
        total, wrong = total + count, wrong + len(tally.faults)
        said = ", ".join(f"{number} {ending}" for ending, number in sorted(tally.endings.items()))
        print(f"{name}: {count} inputs, {len(tally.faults)} faults, at most {tally.longest:.2f} s and "
              f"{tally.largest / 1e6:.0f} MB; {said}", flush=True)  # fmt: skip
        for fault in tally.faults[:5]:
            print(f"  FAULT {fault}", flush=True)
    print(f"{total} inputs, {wrong} faults")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
