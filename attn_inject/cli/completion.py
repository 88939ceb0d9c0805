"""What the shell offers for MODEL, SPEC and placements; names of models are listed once and kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from attn_inject.attention import registry
from attn_inject.request import PLACEMENTS
from attn_inject.versions import versions

_OPENERS = ("hf-hub:", "local-dir:", "torchvision/", "timm/")
_MOST = 100


def models(incomplete: str) -> list[str]:
    """Names of models that begin with what was typed; files are left to the shell."""
    known = _known_models()
    offered = [opener for opener in _OPENERS if incomplete and opener.startswith(incomplete)]
    return (offered + [name for name in known if name.startswith(incomplete)])[:_MOST]


def specs(incomplete: str) -> list[tuple[str, str]]:
    """Attention modules, also behind a glob, `layer4.*=s`."""
    glob, equals, name = incomplete.rpartition("=")
    entries = registry.entries().values()
    return [(f"{glob}{equals}{e.name}", e.summary) for e in entries if e.name.startswith(name)]


def placements(incomplete: str) -> list[tuple[str, str]]:
    """Placements with their meaning."""
    return [(name, meaning) for name, meaning in PLACEMENTS.items() if name.startswith(incomplete)]


def _known_models() -> list[str]:
    """Every name, from the cache of these versions, since importing timm takes seconds."""
    file = _cache()
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        names = list(dict.fromkeys(_listed()))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names), encoding="utf-8")
    except OSError:
        pass  # without a cache it is slow, and still right
    return names


def _listed() -> Iterable[str]:
    from attn_inject.models import model_names

    for source, name in model_names():
        yield name
        yield f"{source}/{name}"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    known = versions()
    stamp = "-".join(f"{name}{known.get(name, '')}" for name in ("timm", "torchvision"))
    return Path(base) / "attn-inject" / f"models-{stamp}.txt"
