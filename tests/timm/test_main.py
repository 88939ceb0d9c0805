"""`python -m attn_inject.timm SCRIPT.py ARGS`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from attn_inject.timm.__main__ import main

SCRIPT = """
import sys, timm, helper
if __name__ == "__main__":
    model = timm.create_model(sys.argv[1], num_classes=2)
    print(sys.argv[0].endswith("train.py"), __file__.endswith("train.py"), helper.WORD, type(model).__name__)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A script that imports only timm and a file beside itself."""
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "helper.py").write_text("WORD = 'beside'\n")
    (tmp_path / "train.py").write_text(SCRIPT)
    return str(tmp_path / "train.py")


def test_a_script_runs_as_it_does_alone(script, capsys):
    assert main([script, "test_resnet_ela_l"]) == 0
    assert capsys.readouterr().out == "True True beside ResNet\n"


def test_from_a_shell(script, tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "attn_inject.timm", script, "test_resnet_ela_l"]
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "True True beside ResNet\n"), done.stderr


def test_the_scripts_own_failure_is_its_own(script):
    with pytest.raises(RuntimeError, match="Unknown model"):
        main([script, "test_resnet_ela_xl"])


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "No script is named"),
        (["--model", "resnet50_se"], 2, "No script is named"),
        (["no_such_script.py"], 9, "There is no script 'no_such_script.py'"),
    ],
)
def test_what_cannot_be_run(arguments, code, told, capsys):
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert told in err
    assert "hint: Write python -m attn_inject.timm SCRIPT.py ARGS" in err


def test_a_mistake_in_the_name_is_told_without_a_traceback(script, capsys):
    assert main([script, "test_efficientnet_se"]) == 6
    err = capsys.readouterr().err
    assert err.startswith("error: The model has no residual block")
    assert "Traceback" not in err
