"""Every key and tensor of the base is still there, bit for bit, and every new key is ours."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import nn

from attn_inject.models.digests import tensor_digests
from attn_inject.results import Check
from attn_inject.surgery.inserted import AttnInject


def check_structure(
    model: nn.Module, before: Mapping[str, str], removed: Collection[str] = ()
) -> tuple[Check, ...]:
    """The checks `keys` and `tensors`.

    Args:
        model: The modified model.
        before: The digest of every key of the untouched one.
        removed: The keys of replaced modules, which must be absent.
    """
    state = model.state_dict()
    missing = [key for key in before if (key in removed) == (key in state)]
    # A block that the model holds under two names has two keys for each tensor.
    named = model.named_modules(remove_duplicate=False)
    ours = tuple(f"{name}." for name, module in named if isinstance(module, AttnInject))
    foreign = [key for key in state if key not in before and not key.startswith(ours)]
    kept = {key: tensor for key, tensor in state.items() if key in before}
    after = tensor_digests(kept)
    changed = [key for key in kept if after[key] != before[key]]
    added = len(state) - len(kept)
    gone = f", {len(removed)} of replaced modules removed" if removed else ""
    return (
        Check(
            name="keys",
            passed=not missing and not foreign,
            detail=_first(missing, "missing")
            or _first(foreign, "unexpected")
            or f"all {len(kept)} base keys kept, {added} added{gone}",
        ),
        Check(
            name="tensors",
            passed=not changed,
            detail=_first(changed, "changed") or f"all {len(kept)} base tensors unchanged, bit for bit",
        ),
    )


def _first(names: list[str], what: str) -> str:
    return f"{len(names)} {what}, the first is {names[0]}" if names else ""
