"""Attention modules where models are expected, and what was probably meant."""

from __future__ import annotations

from attn_inject.attention import registry
from attn_inject.errors import UsageError


def refuse_listed_attention(models: list[str], attn: list[str] | None) -> None:
    """Refuse attention modules among the models: most often several after one `--attn`.

    Raises:
        UsageError: One of `models` is the name of an attention module.
    """
    modules = [model for model in models if _is_attention(model)]
    if not modules:
        return
    others = [name for name in attn or () if not _is_attention(name)]
    if len(models) == len(others) == 1:
        raise UsageError(
            f"{models[0]} is an attention module, and {others[0]} is not: MODEL and SPEC are exchanged.",
            hint=f"Write attn-inject {others[0]} --attn {models[0]}.",
        )
    repeated = " ".join(f"--attn {name}" for name in [*(attn or ()), *modules])
    if len(modules) == len(models):
        kept = " ".join(f"--attn {name}" for name in attn or ())
        several = f"; with {', '.join(modules)}, too: MODEL {repeated}" if attn else ""
        raise UsageError(
            f"{modules[0]} is an attention module; a model is expected in its place.",
            hint=f"Name the model first: MODEL {kept or repeated}{several}.",
        )
    raise UsageError(
        f"One --attn takes one module, so {', '.join(modules)} was read as a model.",
        hint=f"Repeat the option: {repeated}.",
    )


def _is_attention(text: str) -> bool:
    """Whether a text begins with the name of an attention module."""
    return text.partition(":")[0].lower() in registry.entries()
