"""The versions of the libraries that compute the figures, read without importing them."""

from __future__ import annotations

from importlib import metadata

# The only place of the version; the built package reads it here.
VERSION = "0.1.0"
PACKAGES = ("attn-inject", "torch", "torchvision", "timm", "fvcore")


def versions() -> dict[str, str]:
    """Package to version; our own is that of the running code, installed or not.

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
