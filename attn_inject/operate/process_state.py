"""The state of the process that other people's code may change; it is read before, and put back after.

A module that sets the default type, a factory that changes the working directory: without this, the caller
and the next model of the same process would go on with it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from attn_inject.models.randomness import undisturbed

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextmanager
def undisturbed_process() -> Iterator[None]:
    """A block after which the process is as it was before: types, random numbers, folder, environment.

    What another thread changes meanwhile cannot be told apart, and is put back, too.
    """
    before = {name: read() for name, (read, _) in _PARTS.items()}
    try:
        with undisturbed():
            yield
    finally:
        for name, (read, write) in _PARTS.items():
            if read() != before[name]:
                write(before[name])


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _enter(folder: str | None) -> None:
    if folder is not None:
        with contextlib.suppress(OSError):  # it was removed meanwhile
            os.chdir(folder)


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


def _set_filters(before: list[Any]) -> None:
    warnings.filters[:] = before  # type: ignore[index]
    with warnings.catch_warnings():
        pass  # Python notices here that the filters changed


def _device() -> torch.device | None:
    device = torch.get_default_device()
    return None if device.type == "cpu" else device


def _handlers() -> dict[str, Any]:
    """Handlers of signals, which only the main thread may change."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {name: signal.getsignal(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}


def _set_handlers(before: dict[str, Any]) -> None:
    for name, handler in before.items():
        if handler is not None:  # None: it was not set from Python
            signal.signal(getattr(signal, name), handler)


def _kernels() -> Any:
    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    return deterministic, only_warns, torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision()


def _set_kernels(before: Any) -> None:
    deterministic, only_warns, torch.backends.cudnn.benchmark, precision = before
    torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
    torch.set_float32_matmul_precision(precision)


def _set_streams(before: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = before


_PARTS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the working directory": (_folder, _enter),
    "the environment": (lambda: dict(os.environ), _set_environment),
    "the default type": (torch.get_default_dtype, torch.set_default_dtype),
    "the default device": (_device, torch.set_default_device),
    "whether gradients are recorded": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "the kernels": (_kernels, _set_kernels),
    "the warning filters": (lambda: list(warnings.filters), _set_filters),
    "the handlers of signals": (_handlers, _set_handlers),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "the output streams": (lambda: (sys.stdout, sys.stderr), _set_streams),
}
