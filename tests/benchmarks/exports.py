"""Every attention module of the catalogue on a convolutional network and on a transformer, exported and run.

    python -m tests.benchmarks.exports [MODEL ...] [--only GLOB]

Prints one row for each module, model and format: the largest difference between the exported model's outputs
and the model's own, beside the largest output, and how many of the samples have the same largest class; or
the reason why it does not export. Some forty minutes on two cores.
"""

from __future__ import annotations

import argparse
import fnmatch
import tempfile
import time
from pathlib import Path

import timm

import attn_inject
from attn_inject import registry
from attn_inject.errors import AttnInjectError
from attn_inject.exporting.run import SUFFIXES, export
from attn_inject.inputs import InputSpec
from tests.models import make_generic, size_of

MODELS = ("vit_tiny_patch16_224", "resnet50")


def main() -> None:
    """Export and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--only", default="*")
    options = parser.parse_args()
    print("| module | model | format | max difference | largest output | top-1 | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            for entry in registry.entries():
                if fnmatch.fnmatchcase(entry, options.only):
                    rows(name, entry, Path(folder))


def rows(name: str, attention: str, folder: Path) -> None:
    """One row for each format."""
    base = timm.create_model(name)
    model = attn_inject.inject(base, attention, start="paper", check="off", inplace=True).model
    make_generic(model)
    for suffix in SUFFIXES:
        began = time.perf_counter()
        try:
            told = export(model, folder / f"model{suffix}", InputSpec(size_of(base)), force=True)
            cells = f"{told.difference:.2g} | {told.largest:.3g} | {told.top1} of {told.samples}"
        except AttnInjectError as error:
            cells = f"{error.message.replace('|', '/')} | |"
        seconds = time.perf_counter() - began
        print(f"| {attention} | {name} | {suffix} | {cells} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
