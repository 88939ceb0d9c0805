"""Wrong commands, really run: what is wrong, the line to type, and the exit code."""

import os
import shlex
from pathlib import Path

import pytest

import attn_inject
from attn_inject.cli.main import main
from attn_inject.errors import UsageError, nearest
from attn_inject.request import Plan
from tests.cli.messages import COMMANDS

GOLDEN = Path(__file__).parent / "golden" / "messages.txt"


def told(command, capsys):
    words = [word.strip("\0") for word in command.split(" ")]
    code = main(words)
    return f"$ attn-inject {shlex.join(words)}\n{capsys.readouterr().err}exit code {code}\n"


def test_each_message_says_what_is_wrong_and_what_to_type(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = "\n".join(told(command, capsys) for command in COMMANDS)
    if os.environ.get("RENEW_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")
    assert text.count("\nhint: ") == text.count("\nerror: ") == len(COMMANDS)


def test_repeated_stages_add_up(capsys):
    assert main(["test_resnet", "--attn", "se", "--dry-run", "--stage", "3", "--stage", "2,3"]) == 0
    assert "would insert 2 modules at 2 sites" in capsys.readouterr().out


def test_none_is_a_value_of_a_model_argument(capsys):
    arguments = ["test_resnet", "--attn", "se", "--dry-run", "--json", "--model-arg", "norm_layer=None"]
    assert main(arguments) == 0


@pytest.mark.parametrize("stage", ["3", ("3", 4), 2.0, True])
def test_stages_are_numbers(stage):
    with pytest.raises(UsageError, match="is not the number of a stage") as caught:
        Plan.of("se", stage=stage)
    assert "stage=3" in caught.value.hint


def test_a_value_that_no_site_takes_is_not_a_misfit():
    with pytest.raises(UsageError, match="reduction=0 is not accepted"):
        attn_inject.inject("test_resnet", "se:reduction=0")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ResNet50", ["resnet50"]),
        ("res-net_50", ["resnet50"]),
        ("layer1", ["layer1.0", "layer1.1"]),
        ("resnet5", ["resnet50", "resnet50_gn"]),
    ],
)
def test_the_nearest_names(name, expected):
    known = ["resnet50_gn", "resnet50", "layer4.1", "layer1.0", "layer1.1", "vit"]
    assert nearest(name, known)[: len(expected)] == expected
