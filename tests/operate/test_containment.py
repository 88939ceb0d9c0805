"""Code that ends the program, wherever other people's code runs, is an error that names it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.errors import ModelError

HERE = __name__


class LeavesWhenMade(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        sys.exit(0)


class LeavesWhenCalled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sys.exit(0)


def leaving() -> nn.Module:
    sys.exit(0)


def refuses_to_copy() -> nn.Module:
    class Net(nn.Sequential):
        def __deepcopy__(self, memo):
            sys.exit(0)

    return Net(nn.Conv2d(3, 8, 3))


@pytest.mark.parametrize("name", ["LeavesWhenMade", "LeavesWhenCalled"])
def test_an_attention_module_does_not_end_the_program(tmp_path, name):
    out = tmp_path / "model.pt"
    with pytest.raises(ModelError) as caught:
        attn_inject.inject("test_resnet", f"{HERE}:{name}", input_size=(3, 32, 32), out=out)
    assert f"{HERE}:{name}" in caught.value.message
    assert "sys.exit(0)" in caught.value.message
    assert caught.value.exit_code == 5
    assert not out.exists()


def test_a_factory_does_not_end_the_program():
    request = attn_inject.ModelRequest(name=f"{HERE}:leaving")
    with pytest.raises(ModelError, match="leaving"):
        attn_inject.inject(request, "se")


def test_a_model_that_is_copied_does_not_end_the_program():
    with pytest.raises(ModelError, match=r"Net \(.*test_containment.py, line \d+\) called sys.exit\(0\)"):
        attn_inject.inject(refuses_to_copy(), "se")


def test_the_program_tells_it(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "import sys\nfrom torch import nn\n"
        "class Gate(nn.Module):\n"
        "    def __init__(self, channels):\n        super().__init__()\n"
        "    def forward(self, x):\n        sys.exit(0)\n"
    )
    command = [sys.executable, "-m", "attn_inject", "test_resnet", "--attn", "theirs:Gate", "--out", "m.pt"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 5
    assert "theirs:Gate" in done.stderr
    assert not (tmp_path / "m.pt").exists()
