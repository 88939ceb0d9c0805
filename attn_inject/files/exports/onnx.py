"""`.onnx`: torch's dynamo exporter writes it, onnxruntime runs it; the extra `onnx` installs both.

Legend: N batch.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_inject.errors import MissingExtraError, ModelError
from attn_inject.files.exports.program import batch_shapes, tensors_of, unexportable
from attn_inject.models.inputs import Arguments
from attn_inject.models.library_errors import one_line

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2**31 - 1  # bytes; protobuf's limit for one message


def require_extra() -> None:
    """Check whether the extra is installed.

    Raises:
        MissingExtraError: A package is missing; the message names it and how to install it.
    """
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(
                f"Exporting to .onnx needs the package {package}: {error}.",
                hint="pip install 'attn-inject[onnx]'",
            ) from error


def export(
    model: nn.Module, arguments: Arguments, *, dynamic: bool, record: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of an ONNX file of a model in eval mode; arguments as for `program.export`.

    Args:
        model: Any module on the CPU.
        arguments: Of one forward.
        dynamic: Whether the batch may have any size.
        record: Keys and texts for the file's metadata.

    Raises:
        ModelError: The model cannot be exported, or is larger than 2 GiB.
        MissingExtraError: The extra `onnx` is not installed.
    """
    require_extra()
    args, kwargs = arguments
    shapes = batch_shapes(arguments, dynamic)
    try:
        with _quiet():
            program = torch.onnx.export(
                model, args, kwargs=kwargs, dynamo=True, dynamic_shapes=shapes, verbose=False
            )
    except Exception as error:
        raise unexportable("torch.onnx", _root(error), dynamic=dynamic) from error
    assert program is not None
    size = sum(tensor.nbytes for tensor in model.state_dict().values() if isinstance(tensor, torch.Tensor))
    if size > LARGEST:
        raise ModelError(
            f"The model has {size:,} bytes of tensors, and one .onnx file holds less than 2 GiB.",
            hint="Export to .pt2, or in Python with torch.onnx.export(..., external_data=True).",
        )
    proto = program.model_proto
    for key, value in (record or {}).items():
        proto.metadata_props.add(key=key, value=value)
    data: bytes = proto.SerializeToString()
    return data


def metadata(path: Path) -> dict[str, str]:
    """The metadata of an ONNX file; nothing of it runs, and tensors in other files are not read.

    Raises:
        MissingExtraError: The extra `onnx` is not installed.
        ValueError: It is not an ONNX file.
        OSError: It cannot be read.
    """
    require_extra()
    import onnx

    data = path.read_bytes()
    try:
        proto = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own classes
        raise ValueError(one_line(error)) from error
    return {prop.key: prop.value for prop in proto.metadata_props}


def run(path: Path, arguments: Arguments) -> list[torch.Tensor]:
    """The outputs of onnxruntime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    values = [tensor.numpy() for tensor in tensors_of(arguments)]
    feed = {entry.name: value for entry, value in zip(session.get_inputs(), values, strict=True)}
    outputs: list[Any] = session.run(None, feed)
    return [torch.from_numpy(output) for output in outputs]


def _root(error: Exception) -> Exception:
    """The first error; torch.onnx wraps it in advice on how to report it."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress that torch.onnx reports on stdout, by warnings and by loggers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
