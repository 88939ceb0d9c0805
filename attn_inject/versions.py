"""The versions of what computes the figures, read without importing any of it."""

from __future__ import annotations

from importlib import metadata

# The only place that says it; the built package takes it from here.
VERSION = "0.1.0"
PACKAGES = ("attn-inject", "torch", "torchvision", "timm", "fvcore")


def versions() -> dict[str, str]:
    """Package to version; our own is that of the code that runs, installed or not.

    A library that is missing has the version `not installed`.
    """
    return {package: version(package) for package in PACKAGES}


def version(package: str) -> str:
    """The version of one package, or `not installed`."""
    if package == "attn-inject":
        return VERSION
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
