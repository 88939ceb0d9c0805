"""Code that ends the program, wherever other people's code runs, is an error that names it."""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attn_inject
from attn_inject.errors import AttnInjectError, ModelError
from attn_inject.models.randomness import generator_states
from attn_inject.operate.containment import contained
from attn_inject.operate.process_state import undisturbed_process
from attn_inject.zoo.engine import Task
from attn_inject.zoo.work import perform
from tests.zoo.factories import tiny

HERE = __name__
FACTORY = f"{HERE}:rude_factory"
SIZE = (3, 32, 32)
NET = tiny()
OVER = threading.Event()
POOLS: list[ThreadPoolExecutor] = []


class LeavesWhenMade(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        sys.exit(0)


class LeavesWhenCalled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sys.exit(0)


class EndsAtOnce(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        os._exit(0)


def leaving() -> nn.Module:
    sys.exit(0)


def rude(x: torch.Tensor) -> torch.Tensor:
    """Changes everything that belongs to the process."""
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)
    warnings.simplefilter("error")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    sys.stdout = io.StringIO()
    os.environ.pop("KEPT", None)
    os.environ |= {"CHANGED": "theirs", "ADDED": "theirs"}
    os.chdir("/")
    return x


def rude_factory() -> nn.Module:
    model = tiny()
    rude(torch.zeros(1))
    return model


class Rude(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * self.scale
        rude(x)
        return y


def the_process() -> dict[str, Any]:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    streams = sys.stdout, sys.stderr, sys.getrecursionlimit(), list(warnings.filters), handlers
    torchs = (torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
              torch.get_num_threads(), torch.get_float32_matmul_precision(),
              torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)  # fmt: skip
    return {
        "streams": streams, "torch": torchs, "numbers": generator_states(), "folder": os.getcwd(),
        "environment": {name: value for name, value in os.environ.items() if "PYTEST" not in name},
    }  # fmt: skip


@pytest.fixture
def kept_process(monkeypatch, tmp_path):
    """The process before; were the code under test wrong, the next test would go on with what it left."""
    monkeypatch.setenv("KEPT", "mine")
    monkeypatch.setenv("CHANGED", "mine")
    monkeypatch.chdir(tmp_path)
    with undisturbed_process():
        yield the_process()


ALL = {
    "inject": lambda path: attn_inject.inject("test_resnet", f"{HERE}:Rude", input_size=SIZE, check="off"),
    "inject and save": lambda path: attn_inject.inject(NET, f"{HERE}:Rude", input_size=SIZE, out=path),
    "a factory": lambda path: attn_inject.inject(FACTORY, "se", input_size=SIZE, check="structure"),
    "find_sites": lambda path: attn_inject.find_sites(FACTORY, input_size=SIZE),
    "insert and apply": lambda path: (
        attn_inject.find_sites(NET, input_size=SIZE).insert(f"{HERE}:Rude", check="structure").apply()
    ),
    "stats": lambda path: attn_inject.stats(FACTORY, "se"),
    "compare": lambda path: attn_inject.compare(FACTORY, FACTORY),
    "a worker": lambda path: perform(
        Task(number=0, work="size", payload={"request": attn_inject.ModelRequest(name=FACTORY)})
    ),
}


@pytest.mark.parametrize("verb", ALL)
def test_the_process_is_as_before(tmp_path, kept_process, verb):
    with contextlib.suppress(AttnInjectError):  # a module that changes so much may fail the checks
        ALL[verb](tmp_path / "model.pt")
    now = the_process()
    for part, before in kept_process.items():
        assert now[part] == before, part


def test_the_default_device_is_put_back():
    before = torch.get_default_device()
    with contained():
        torch.set_default_device("meta")
    assert torch.get_default_device() == before


class StartsThread(nn.Identity):
    def __init__(self, channels: int, daemon: bool = False) -> None:
        super().__init__()
        self.daemon = daemon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not any(thread.name == "theirs" for thread in threading.enumerate()):
            threading.Thread(target=OVER.wait, name="theirs", daemon=self.daemon).start()
        return x


class Borrows(nn.Identity):
    def __init__(self, channels: int) -> None:
        super().__init__()
        POOLS.append(ThreadPoolExecutor(1))
        POOLS[-1].submit(int).result()


@pytest.mark.parametrize("is_daemon", [True, False])
def test_a_thread_that_would_keep_the_program_from_ending_is_an_error(tmp_path, is_daemon):
    OVER.clear()
    out, model, before = tmp_path / "model.safetensors", tiny(), [*tiny().state_dict()]
    expectation = contextlib.nullcontext() if is_daemon else pytest.raises(ModelError, match="thread theirs")
    spec = attn_inject.AttentionSpec.of(StartsThread, daemon=is_daemon)
    try:
        with expectation as caught:
            attn_inject.inject(model, spec, input_size=SIZE, check="structure", out=out, inplace=True)
    finally:
        OVER.set()
    assert out.exists() is is_daemon
    if not is_daemon:
        assert f"{HERE}:StartsThread ({__file__}" in caught.value.message
        assert [*model.state_dict()] == before


def test_a_pool_is_no_error():
    attn_inject.inject(NET, f"{HERE}:Borrows", input_size=SIZE, check="off")
    assert POOLS
    while POOLS:
        POOLS.pop().shutdown()


def test_exits_at_once_stay_what_they_are_for_others():
    left = os._exit
    with contained():
        pid = os.fork()
        if not pid:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        with pytest.raises(SystemExit):
            os._exit(0)
    assert os._exit is left


def refuses_to_copy() -> nn.Module:
    class Net(nn.Sequential):
        def __deepcopy__(self, memo):
            sys.exit(0)

    return Net(nn.Conv2d(3, 8, 3))


@pytest.mark.parametrize("name", ["LeavesWhenMade", "LeavesWhenCalled", "EndsAtOnce"])
def test_an_attention_module_does_not_end_the_program(tmp_path, name):
    out = tmp_path / "model.pt"
    with pytest.raises(ModelError) as caught:
        attn_inject.inject("test_resnet", f"{HERE}:{name}", input_size=(3, 32, 32), out=out)
    assert f"{HERE}:{name}" in caught.value.message
    assert ("os._exit(0)" if name == "EndsAtOnce" else "sys.exit(0)") in caught.value.message
    assert caught.value.exit_code == 5
    assert not out.exists()


def test_a_factory_does_not_end_the_program():
    request = attn_inject.ModelRequest(name=f"{HERE}:leaving")
    with pytest.raises(ModelError, match="leaving"):
        attn_inject.inject(request, "se")


def test_a_model_that_is_copied_does_not_end_the_program():
    with pytest.raises(ModelError, match=r"Net \(.*test_containment.py, line \d+\) called sys.exit\(0\)"):
        attn_inject.inject(refuses_to_copy(), "se")


def test_the_program_tells_it_and_ends_although_a_thread_still_runs(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "import sys, threading, time\nfrom torch import nn\n"
        "class Gate(nn.Module):\n"
        "    def __init__(self, channels):\n        super().__init__()\n"
        "    def forward(self, x):\n"
        "        threading.Thread(target=time.sleep, args=(600,)).start()\n        sys.exit(0)\n"
    )
    command = [sys.executable, "-m", "attn_inject", "test_resnet", "--attn", "theirs:Gate", "--out", "m.pt"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 5
    assert "theirs:Gate" in done.stderr
    assert not (tmp_path / "m.pt").exists()
