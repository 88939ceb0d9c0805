"""Every key and tensor of the base is still there, bit for bit, and every new key is ours."""

from __future__ import annotations

from torch import nn

from attn_inject.checks.witness import Witness
from attn_inject.digest import tensor_digests
from attn_inject.outcome import Check
from attn_inject.surgery.inserted import inserted_modules


def check_structure(model: nn.Module, before: Witness) -> tuple[Check, ...]:
    """The checks `keys` and `tensors`."""
    state = model.state_dict()
    missing = [key for key in before.digests if key not in state]
    ours = tuple(f"{name}." for name in inserted_modules(model))
    foreign = [key for key in state if key not in before.digests and not key.startswith(ours)]
    kept = {key: tensor for key, tensor in state.items() if key in before.digests}
    after = tensor_digests(kept)
    changed = [key for key in kept if after[key] != before.digests[key]]
    added = len(state) - len(kept)
    return (
        Check(
            name="keys",
            passed=not missing and not foreign,
            detail=_first(missing, "missing")
            or _first(foreign, "unexpected")
            or f"all {len(before.digests)} base keys kept, {added} added",
        ),
        Check(
            name="tensors",
            passed=not changed,
            detail=_first(changed, "changed") or f"all {len(kept)} base tensors unchanged, bit for bit",
        ),
    )


def _first(names: list[str], what: str) -> str:
    return f"{len(names)} {what}, the first is {names[0]}" if names else ""
