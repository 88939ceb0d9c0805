"""The libraries: a name for the command line, what to install, and the file that lists their models."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata

from tests.corpus.case import Case


@dataclass(frozen=True)
class Library:
    """One library of models.

    Attributes:
        distribution: What pip calls it.
        modules: The files whose `CASES` are its models; importing them imports the library.
    """

    distribution: str
    modules: tuple[str, ...]

    @property
    def version(self) -> str:
        """The installed version, or "" if there is none."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return ""

    def cases(self) -> dict[str, Case]:
        """Its models by name."""
        every: list[Case] = [
            case for module in self.modules for case in importlib.import_module(module).CASES
        ]
        by_name = {case.name: case for case in every}
        if len(by_name) != len(every):
            raise ValueError(f"a name stands twice in {', '.join(self.modules)}")
        return by_name


def _library(distribution: str, *files: str) -> Library:
    return Library(distribution, tuple(f"{__name__}.{file}" for file in files))


LIBRARIES = {
    "diffusers": _library("diffusers", "diffusers"),
    "kornia": _library("kornia", "kornia"),
    "monai": _library("monai", "monai"),
    "open_clip": _library("open_clip_torch", "open_clip"),
    "pytorchcv": _library("pytorchcv", "pytorchcv"),
    "smp": _library("segmentation_models_pytorch", "smp"),
    "spandrel": _library("spandrel", "spandrel"),
    "torchgeo": _library("torchgeo", "torchgeo"),
    "transformers": _library("transformers", "transformers", "transformers_tasks"),
    "ultralytics": _library("ultralytics", "ultralytics"),
    "vit_pytorch": _library("vit-pytorch", "vit_pytorch"),
    "x_transformers": _library("x-transformers", "x_transformers"),
}
