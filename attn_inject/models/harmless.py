"""What checkpoints hold beside tensors, and what torch's `weights_only` reader may make of it.

Nothing is imported for a name in a file. A name stands here with the function or class that takes its place:
numpy's scalars and arrays, paths, options. The configurations of training libraries become dictionaries that
nobody looks at, so these libraries are neither needed nor called.
"""

from __future__ import annotations

import argparse
import pathlib
import types
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

# Libraries whose configurations stand beside the tensors.
_CONFIGURATIONS = (
    *("addict", "easydict", "lightning", "lightning_fabric", "mmcv", "mmengine", "ml_collections"),
    *("omegaconf", "pytorch_lightning", "typing", "yacs"),
)


class _Dictionary:
    """Called in place of a class whose objects are not made; torch fills nothing but dictionaries."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return OrderedDict()


class _List:
    """The same for lists."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return []


# Their own names and those under which newer and older versions of Python write them.
_PATHS = {
    f"{module}.{name}": kind
    for module in ("pathlib", "pathlib._local")
    for name, kind in {
        "PosixPath": pathlib.PurePosixPath,
        "PurePosixPath": pathlib.PurePosixPath,
        "WindowsPath": pathlib.PureWindowsPath,
        "PureWindowsPath": pathlib.PureWindowsPath,
    }.items()
}
_PLAIN = {
    "argparse.Namespace": argparse.Namespace,
    "types.SimpleNamespace": types.SimpleNamespace,
    "builtins.frozenset": frozenset,
    "builtins.range": range,
    "builtins.slice": slice,
    "collections.defaultdict": _Dictionary,
    "collections.deque": _List,
    # Configurations name these as the types of their entries.
    **{f"builtins.{name}": _Dictionary for name in ("bool", "dict", "float", "int", "object", "str")},
    **{f"builtins.{name}": _List for name in ("list", "tuple")},
}


def substitutes(names: Iterable[str]) -> list[Any]:
    """For `torch.serialization.safe_globals`: what takes the place of each harmless name."""
    found = {name: kind for name in names if (kind := _substitute(name)) is not None}
    if any(name.startswith("numpy.") for name in found):
        found |= _numpy()  # a dtype is an object of a class that the file does not name
    return [(kind, name) for name, kind in found.items()]


def is_harmless(name: str) -> bool:
    """Whether something takes the place of a global of a file."""
    return _substitute(name) is not None


def _substitute(name: str) -> Any:
    if name.partition(".")[0] in _CONFIGURATIONS:
        return _Dictionary
    return {**_PLAIN, **_PATHS, **_numpy()}.get(name)


def _numpy() -> dict[str, Any]:
    try:
        import numpy as np
    except ImportError:
        return {}
    core: Any = getattr(np, "_core", None) or np.core
    made = {"scalar": core.multiarray.scalar, "_reconstruct": core.multiarray._reconstruct}
    names = {f"numpy.{room}.multiarray.{name}": f for room in ("core", "_core") for name, f in made.items()}
    dtypes = {type(np.dtype(code)) for code in np.typecodes["All"]}
    kinds = {f"numpy.dtypes.{kind.__name__}": kind for kind in dtypes}
    return {**names, **kinds, "numpy.dtype": np.dtype, "numpy.ndarray": np.ndarray}
