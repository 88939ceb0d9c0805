"""The versions of what computes the figures, read without importing any of it."""

from __future__ import annotations

from importlib import metadata

PACKAGES = ("attn-inject", "torch", "torchvision", "timm", "fvcore")


def versions() -> dict[str, str]:
    """Package to installed version, `not installed` where it is missing."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
