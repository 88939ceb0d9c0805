"""Every total of the cost table against fvcore's own analysis of the real modified model.

    python -m tests.operate.sweep [MODEL ...]

It takes minutes: each model is built with weights, modified and traced at full size. One line per model, then
every difference; the exit code is 1 if there is one.
"""

from __future__ import annotations

import sys

import timm
import torch
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
from torch import nn

import attn_inject
from attn_inject.cost.figures import StatsRow
from attn_inject.cost.handles import activation_handles, flop_handles
from attn_inject.models.inputs import InputSpec

MODELS = (
    "resnet50",
    "mobilenetv2_100",
    "convnext_tiny",
    "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "regnety_016",
)
Totals = tuple[int, int, int]


def analysed(model: nn.Module, size: tuple[int, ...]) -> Totals:
    """Parameters, flops and activations of a real model, as fvcore says with our handles."""
    inputs = InputSpec(size).make()[0]
    totals = []
    for analysis, handles in (
        (FlopCountAnalysis(model, inputs), flop_handles()),
        (ActivationCountAnalysis(model, inputs), activation_handles()),
    ):
        analysis.set_op_handle(**handles)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        totals.append(int(analysis.total()))
    return sum(parameter.numel() for parameter in model.parameters()), totals[0], totals[1]


def differences(name: str, attention: list[str] | None = None) -> tuple[int, list[str]]:
    """How many rows were compared, and each that differs."""
    table = attn_inject.stats([name], attention)
    wrong = []
    compared = 0
    for row in table.rows:
        if row.reason is not None:
            continue
        compared += 1
        if difference := compare(name, row):
            wrong.append(difference)
    return compared, wrong


def compare(name: str, row: StatsRow) -> str:
    """How a row differs from fvcore's analysis of the real model; "" for a true one."""
    if row.attention is None:
        model = timm.create_model(name)
    else:
        model = attn_inject.inject(name, row.attention, start="paper", check="off").model
    expected = analysed(model.eval(), tuple(model.default_cfg["input_size"]))
    told = (row.params, row.flops, row.activations)
    if expected == told:
        return ""
    return f"{name} x {row.attention}: the table says {told}, the real model {expected}"


def main() -> int:
    """Compare and print."""
    torch.set_num_threads(1)
    failed = False
    for name in sys.argv[1:] or MODELS:
        compared, wrong = differences(name)
        print(f"{name}: {compared} rows, {len(wrong)} differ", flush=True)
        failed = failed or bool(wrong)
        print("".join(f"  {line}\n" for line in wrong), end="", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
