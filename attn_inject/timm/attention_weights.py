"""Weights that already hold attention tensors, loaded where timm expects those of a plain architecture.

A fine-tuned modified model comes back to `create_model(..., pretrained=True)` from a folder (`local-dir:`),
the hub (`hf-hub:`) or a file (`pretrained_cfg_overlay={"file": ...}`). timm loads weights into the base,
strictly and before it is modified. So the file is taken apart: timm gets the base's tensors, and the rest
waits until there is something to put it into.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models._hub import load_state_dict_from_path
from torch import nn

from attn_inject.errors import FileError

State = dict[str, torch.Tensor]
MARK = ".attn_inject"


def taken_apart(name: str, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], State]:
    """The arguments that give timm only the base's tensors, and the attention tensors.

    Args:
        name: The modified architecture.
        arguments: As `timm.create_model` passes them to an entry point.

    Returns:
        The arguments unchanged and no tensors, if the weights are those of a plain architecture.
    """
    given = arguments.get("pretrained_cfg"), arguments.get("pretrained_cfg_overlay")
    config = timm.models.resolve_pretrained_cfg(name, *given)
    state = _read(config, arguments.get("cache_dir"))
    attention = {key: value for key, value in state.items() if MARK in key}
    if not attention:
        return dict(arguments), {}
    plain = {key: value for key, value in state.items() if MARK not in key}
    overlay = {**(given[1] or {}), "state_dict": plain, "source": None, "custom_load": False}
    return {**arguments, "pretrained_cfg_overlay": overlay}, attention


def put(model: nn.Module, attention: State, name: str) -> None:
    """Copy attention tensors into a modified model, or into a feature extractor with fewer blocks.

    Raises:
        FileError: A tensor of the model is not among them, or has another shape.
    """
    # Feature extractors of timm flatten names, or add the prefix `model.`.
    by_plain_name = {_plain(key): value for key, value in attention.items()}
    own = {key: value for key, value in model.state_dict().items() if MARK in key}
    state = {}
    for key, value in own.items():
        found = by_plain_name.get(_plain(key), by_plain_name.get(_plain(key.removeprefix("model."))))
        if found is None or found.shape != value.shape:
            what = "are missing" if found is None else f"have the shape {tuple(found.shape)}"
            raise FileError(
                f"The weights do not fit {name}: the values of {key}, {tuple(value.shape)}, {what}.",
                hint="They belong to another attention module, placement or size.",
            )
        state[key] = found
    model.load_state_dict(state, strict=False)


def forget(config: dict[str, Any]) -> dict[str, Any]:
    """A model's configuration without the tensors that it was built from."""
    return {key: value for key, value in config.items() if key != "state_dict"}


def _read(config: Any, cache_dir: Any) -> Mapping[str, Any]:
    """The state dict that a configuration names, if it is not one of timm's; else nothing."""
    if config.state_dict:
        return dict(config.state_dict)
    if config.source == "local-dir":
        return dict(load_state_dict_from_path(Path(config.file)))
    if config.source == "hf-hub":
        return dict(timm.models.load_state_dict_from_hf(config.hf_hub_id, cache_dir=cache_dir))
    if config.file and not config.custom_load:
        return dict(timm.models.load_state_dict(config.file))
    return {}


def _plain(key: str) -> str:
    return key.replace(".", "_")
