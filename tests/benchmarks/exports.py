"""Every attention module of the catalogue on a transformer and on a convolutional network, exported and run.

    python -m tests.benchmarks.exports [MODEL ...] [--only GLOB] [--alone]

Prints one row for each module, model and format: the largest difference between the exported model's outputs
and the model's own, beside the largest output, and how many of the samples have the same largest class; or
the reason why it does not export. `--alone` exports the modules without a model around them, on a map and on
tokens. Each row of a whole model takes some twelve seconds of one free core, and those of sasa far more.
"""

from __future__ import annotations

import argparse
import fnmatch
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import timm
from torch import nn

import attn_inject
from attn_inject.attention import registry
from attn_inject.errors import AttnInjectError
from attn_inject.files.exports.exporter import SUFFIXES, export
from attn_inject.models.inputs import InputSpec
from tests.files.exports.modules import MAP, OnMaps, OnTokens
from tests.nets import make_generic, size_of

MODELS = ("vit_tiny_patch16_224", "resnet50")


def main() -> None:
    """Export and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--only", default="*")
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    print("| module | on | format | max difference | largest output | top-1 | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    names = fnmatch.filter(registry.entries(), options.only)
    with tempfile.TemporaryDirectory() as folder:
        for what, attention, model, inputs in alone(names) if options.alone else whole(names, options.models):
            for suffix in SUFFIXES:
                row(f"| {attention} | {what} | {suffix} |", make_generic(model), inputs, folder, suffix)


def whole(names: list[str], models: list[str]) -> Iterator[tuple[str, str, nn.Module, InputSpec]]:
    """Each module in each model, where it fits."""
    for what in models:
        for attention in names:
            base = timm.create_model(what)
            try:
                result = attn_inject.inject(base, attention, start="paper", check="off", inplace=True)
            except AttnInjectError as error:
                print(f"| {attention} | {what} | | {error.message} | | | |", flush=True)
                continue
            yield what, attention, result.model, InputSpec(size_of(base))


def alone(names: list[str]) -> Iterator[tuple[str, str, nn.Module, InputSpec]]:
    """Each module on a map and on tokens."""
    for attention in names:
        yield "a map", attention, OnMaps([attention]), MAP
        yield "tokens", attention, OnTokens([attention]), MAP


def row(head: str, model: nn.Module, inputs: InputSpec, folder: str, suffix: str) -> None:
    """Export once and print."""
    began = time.perf_counter()
    try:
        told = export(model, Path(folder) / f"model{suffix}", inputs, force=True)
        top1 = "" if told.top1 is None else f"{told.top1} of {told.samples}"
        cells = f"{told.difference:.2g} | {told.largest:.3g} | {top1}"
    except AttnInjectError as error:
        cells = f"{error.message.replace('|', '/')} | |"
    print(f"{head} {cells} | {time.perf_counter() - began:.0f} |", flush=True)


if __name__ == "__main__":
    main()
