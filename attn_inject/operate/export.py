"""Exports a saved file or a model object to another format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from attn_inject.errors import UsageError
from attn_inject.files import formats
from attn_inject.files.atomic import check_writable
from attn_inject.files.exports import exporter, onnx
from attn_inject.files.exports.agreement import Agreement
from attn_inject.files.exports.record import record_of
from attn_inject.files.loading import check_digest
from attn_inject.operate.containment import contained
from attn_inject.operate.hub import Source, inputs_of, write_hub_folder
from attn_inject.operate.injected import Injected
from attn_inject.operate.saving import load, save, since, unwrapped
from attn_inject.request import ModelRequest
from attn_inject.surgery.origin import origin_of

HUB = "hub"
SUFFIXES = (*formats.SUFFIXES, *exporter.SUFFIXES)


@contained()
def export(
    model: nn.Module | Injected | str | Path,
    out: str | Path,
    *,
    format: str = "",
    batch_size: int | None = None,
    input_size: Sequence[int] | None = None,
    example_input: Any = None,
    base: nn.Module | str | ModelRequest | None = None,
    trust: bool = False,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Write a model as `.pt2` (`torch.export`), `.onnx` or a folder for a hub, or its file in another format.

    An exported model runs without attn-inject. It is run and compared with the model before it is saved.

    Args:
        model: A file that attn-inject wrote, what `inject` returned, or any module; it is exported in eval
            mode.
        out: The file; its suffix determines the format, `.pt`, `.safetensors`, `.pt2` or `.onnx`.
        format: `hub` writes a folder for the Hugging Face Hub, which `load` and timm read: `config.json`,
            `model.safetensors` and a card; "" goes by the suffix.
        batch_size: The only batch size that the exported model takes; None allows any.
        input_size: (C, H, W) in pixels, if the model does not state it.
        example_input: A tensor, a tuple of arguments or a dictionary of keywords; it fixes the batch.
        base: As for `load`, like `trust`.
        seed: Of the images for the comparison.
        force: Whether an existing file, or a folder that was written before, may be replaced.

    Returns:
        The document of `export --json`: `file`, `bytes`, `format`, `batch_size`, and, where the exported
        model was run, `samples`, `difference` (the largest, absolute), `largest` (output, absolute) and
        `top1` (samples whose largest class is the same, None without classes).

    Raises:
        UsageError: The format, or the suffix, is not a known one.
        ModelError: The model cannot be exported; the message says why.
        CheckFailedError: The exported model computes something else; no file is left.
        MissingExtraError: `.onnx` without the extra `onnx`.
        FileError: A file cannot be read or written.
    """
    if format == HUB:
        source = Source(model, base, trust, example_input, input_size)
        return write_hub_folder(source, out, force=force)
    suffix = _suffix(out, format)
    check_writable(out, force=force)
    agreement = None
    if suffix in exporter.SUFFIXES:
        if suffix == ".onnx":
            onnx.require_extra()
        module = _module(model, base, trust)
        inputs = inputs_of(module, example_input, input_size)
        record = _record(module, is_as_loaded=not isinstance(model, nn.Module))
        how: dict[str, Any] = {"batch_size": batch_size, "seed": seed, "force": force}
        agreement = exporter.export(module, out, inputs, record=record, **how)
    else:
        _write_again(model, out, force=force)
    return _document(out, suffix, batch_size, agreement)


def _write_again(model: nn.Module | Injected | str | Path, out: str | Path, *, force: bool) -> None:
    """Save a model, or a file in the format of another suffix."""
    if isinstance(model, str | Path):
        contents = formats.read(model, mmap=False)
        check_digest(contents, model)
        formats.write(out, contents, force=force)
    else:
        save(model, out, force=force)


def _suffix(out: str | Path, format: str) -> str:
    if format:
        raise UsageError(f"There is no format {format!r}.", hint=f"Write {HUB}, or leave it out.")
    suffix = Path(out).suffix
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{out} has no suffix of a known format.",
            hint=f"Use one of {', '.join(SUFFIXES)}; for a folder: --format {HUB}.",
        )
    return suffix


def _record(module: nn.Module, *, is_as_loaded: bool) -> dict[str, str]:
    """What the exported file says about a modified model; nothing about others."""
    origin = origin_of(module)
    if origin is None:
        return {}
    return record_of(module, origin if is_as_loaded else since(origin))


def _module(model: nn.Module | Injected | str | Path, base: Any, trust: bool) -> nn.Module:
    if isinstance(model, str | Path):
        return load(model, base=base, trust=trust)
    return unwrapped(model.model if isinstance(model, Injected) else model)


def _document(
    out: str | Path, suffix: str, batch_size: int | None, agreement: Agreement | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": str(out),
        "bytes": Path(out).stat().st_size,
        "format": suffix.removeprefix("."),
        "batch_size": batch_size,
    }
    figures = vars(agreement) if agreement else dict.fromkeys(Agreement.__dataclass_fields__)
    return document | {name: figures[name] for name in ("samples", "difference", "largest", "top1")}
