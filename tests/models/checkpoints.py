"""Checkpoints as they are found: what stands around one state dict, and what `--weights` says about each."""

from __future__ import annotations

import argparse
import collections
import pathlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from tests.models.nets import net

STATE = net().state_dict()
# Of the same model, and not what shall be taken.
OTHER = {name: value + 1 for name, value in STATE.items()}


def under(prefix: str, state: Mapping[str, Any] = STATE) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in state.items()}


def optimizer() -> dict[str, Any]:
    """The state of Adam, whose tensors have the shapes of the model's."""
    parameters = [torch.nn.Parameter(v.float()) for v in STATE.values()]
    adam = torch.optim.Adam(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    adam.step()
    return adam.state_dict()


class Configuration(dict):
    """Stands for the class of a training library that need not be installed."""


class Listed(list):
    """The same for a list."""


def foreign(kind: type, module: str, name: str, *args: Any) -> Any:
    """An instance of a class that pickles under another library's name."""
    made = type(name, (kind,), {"__module__": module})
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        sys.modules.setdefault(".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    setattr(sys.modules[module], name, made)
    return made(*args)


def _lightning() -> dict[str, Any]:
    options = foreign(Configuration, "pytorch_lightning.utilities.parsing", "AttributeDict", {"lr": 0.1})
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": under("model."),
        "optimizer_states": [optimizer()],
        "hyper_parameters": options,
    }


# What a page calls it, and what is saved.
CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "a state dict": lambda: STATE,
    "`model_state_dict` (PyTorch's tutorial), with an optimizer": lambda: {
        "epoch": 5,
        "model_state_dict": STATE,
        "optimizer_state_dict": optimizer(),
        "loss": torch.tensor(0.4),
    },
    "`state_dict`": lambda: {"state_dict": STATE, "epoch": 3},
    "`model`": lambda: {"model": STATE, "loss": torch.ones(())},
    "`net`": lambda: {"net": STATE, "acc": 93.1},
    "`weights`": lambda: {"weights": STATE},
    "`params`": lambda: {"params": STATE},
    "a key of your own": lambda: {"what_i_call_it": STATE},
    "nested keys": lambda: {"checkpoint": {"model": {"state_dict": STATE}}},
    "`state_dict` beside an empty `state_dict_ema`": lambda: {"state_dict": STATE, "state_dict_ema": {}},
    "`state_dict` beside `state_dict_ema` (timm)": lambda: {"state_dict": OTHER, "state_dict_ema": STATE},
    "`model` beside `model_ema` (torchvision)": lambda: {"model": OTHER, "model_ema": STATE},
    "`params` beside `params_ema` (BasicSR)": lambda: {"params": OTHER, "params_ema": STATE},
    "`module.` (DataParallel)": lambda: under("module."),
    "`_orig_mod.` (torch.compile)": lambda: under("_orig_mod."),
    "`module._orig_mod.`": lambda: under("module._orig_mod."),
    "`_orig_mod.module.`": lambda: {"state_dict": under("_orig_mod.module.")},
    "`_orig_mod.` inside": lambda: {n.replace("3.", "3._orig_mod."): v for n, v in STATE.items()},
    "`_fsdp_wrapped_module.` (FSDP)": lambda: under("_fsdp_wrapped_module."),
    "`model.`, options and optimizers (Lightning)": _lightning,
    "`backbone.`": lambda: under("backbone."),
    "`net.`": lambda: {"state_dict": under("net.")},
    "`encoder.`": lambda: under("encoder."),
    "a prefix of your own": lambda: under("my.vision.tower."),
    "`backbone.` beside a head (OpenMMLab)": lambda: {
        "meta": {"CLASSES": ("cat", "dog")},
        "state_dict": {**under("backbone."), "cls_head.fc.weight": torch.ones(90, 4)},
    },
    "a student and a teacher (DINO)": lambda: {
        "student": under("module.backbone."),
        "teacher": under("backbone.", OTHER),
    },
    "two encoders (MoCo)": lambda: {
        "state_dict": {
            **under("module.encoder_q."),
            **under("module.encoder_k.", OTHER),
            "module.queue": torch.ones(128, 64),
        }
    },
    "an averaged model (`torch.optim.swa_utils`)": lambda: {"n_averaged": torch.ones(()), **under("module.")},
    "numpy's numbers and arrays beside it": lambda: {
        "state_dict": STATE,
        "best": np.float64(0.93),
        "step": np.int64(7),
        "history": np.arange(3.0),
    },
    "numpy's arrays instead of tensors": lambda: {"model": {n: v.numpy() for n, v in STATE.items()}},
    "paths beside it": lambda: {
        "state_dict": STATE,
        "file": pathlib.PurePosixPath("runs/1"),
        "folder": pathlib.Path("runs"),
    },
    "the options of a script (`argparse`)": lambda: {
        "state_dict": STATE,
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs")),
    },
    "a `deque` and a `Counter`": lambda: {
        "model": STATE,
        "losses": collections.deque([0.5, 0.4]),
        "seen": collections.Counter("aab"),
    },
    "a configuration of omegaconf": lambda: {
        "state_dict": STATE,
        "cfg": foreign(Configuration, "omegaconf.dictconfig", "DictConfig", {"lr": 0.1}),
    },
    "a configuration of mmengine": lambda: {
        "state_dict": STATE,
        "meta": {"cfg": foreign(Configuration, "mmengine.config.config", "ConfigDict", {"lr": 0.1})},
    },
    "half precision": lambda: {name: value.half() for name, value in STATE.items()},
    "parameters instead of tensors": lambda: {
        name: torch.nn.Parameter(value, requires_grad=value.is_floating_point())
        for name, value in STATE.items()
    },
}
