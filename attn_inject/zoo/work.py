"""The work of a worker: find models, size one, convert one. Plain data in, plain data out.

It does not depend on the engine. The functions import torch, since the driver imports this file only for its
names.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attn_inject.errors import AttnInjectError, FitError, unknown_name
from attn_inject.request import AttentionSpec, ModelRequest, Plan
from attn_inject.zoo.engine import Ended, Failure, Task
from attn_inject.zoo.place import LocalPlace, Place
from attn_inject.zoo.stored import SCRATCH, read_whole

if TYPE_CHECKING:
    from attn_inject.models import LoadedModel

ProgressCallback = Callable[[str], None]


def perform(task: Task, progress: ProgressCallback = lambda _: None) -> Ended:
    """Do a task; an error is part of the answer."""
    began = time.perf_counter()
    _forget_peak()
    answer, failure = None, None
    try:
        answer = WORK[task.work](**task.payload, progress=progress)
    except AttnInjectError as error:
        failure = _out_of_memory(error) if _is_out_of_memory(error) else _told(error)
    # A model's own code may raise anything, even SystemExit, and must not end the worker.
    except BaseException as error:
        failure = _out_of_memory(error) if _is_out_of_memory(error) else _foreign_fault(error)
    seconds = time.perf_counter() - began
    return Ended(task=task, answer=answer, failure=failure, seconds=seconds, peak=peak_memory())


def _told(error: AttnInjectError) -> Failure:
    bug = traceback.format_exc() if error.exit_code == AttnInjectError.exit_code else ""
    return Failure(code=error.code, message=error.message, hint=error.hint, detail=bug)


def _foreign_fault(error: BaseException) -> Failure:
    return Failure(
        code=AttnInjectError.code,
        message=f"{type(error).__name__}: {error}",
        hint="This is a fault of attn-inject or of the model's own code; the ledger has the traceback.",
        detail=traceback.format_exc(),
    )


def _out_of_memory(error: BaseException) -> Failure:
    return Failure(
        code="memory",
        message=f"Memory ran out: {error}.".replace(": .", "."),
        hint="Use fewer --jobs, or less memory with --check off.",
    )


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error comes from Python's or torch's allocator; torch raises a RuntimeError."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def find_models(
    texts: Iterable[str], specs: Iterable[AttentionSpec], progress: ProgressCallback
) -> list[list[tuple[str, str]]]:
    """(source, name) of every model that each text names; the modules' options are checked, too.

    Raises:
        UnknownNameError: A name or glob matches nothing, or a module has no such option.
        UsageError: An option's value is of the wrong kind.
    """
    from attn_inject.attention.factory import resolve

    for spec in specs:
        try:
            resolve(spec, channels=64)
        except FitError:
            continue
    return [_matching(text) for text in texts]


def _matching(text: str) -> list[tuple[str, str]]:
    from attn_inject.models import model_names
    from attn_inject.models.names import resolve
    from attn_inject.operate.load_model import is_saved_file

    if is_saved_file(text):
        return [("file", text)]
    if not any(mark in text for mark in "*?["):
        found = resolve(text)
        return [(found.source, found.name)]
    names = model_names(text)
    if not names:
        known = [f"{source}/{name}" for source, name in model_names()]
        raise unknown_name("model", text, known, see="attn-inject list models")
    # A glob matches like bare names: timm's if both libraries have it.
    first: dict[str, tuple[str, str]] = {}
    for source, name in names:
        first.setdefault(name, (source, name))
    return list(first.values())


def size_model(request: ModelRequest, progress: ProgressCallback) -> dict[str, int]:
    """`params` and `bytes` of a model, `positions` of its input; of a saved file only `bytes`.

    Raises:
        AttnInjectError: It cannot be built.
    """
    from attn_inject.operate.load_model import is_saved_file, load_model

    if is_saved_file(request.name):
        return {"bytes": Path(request.name).stat().st_size}
    loaded = load_model(request, shapes_only=True)
    model = loaded.model
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}.values()
    return {
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        "positions": _positions(loaded),
    }


def _positions(loaded: LoadedModel) -> int:
    """Pixels of an input, over all frames; torchvision's detectors enlarge their input."""
    given = loaded.inputs.size[1:] if loaded.inputs.size else loaded.inputs.image_size or ()
    enlarged = getattr(getattr(loaded.model, "transform", None), "min_size", ())
    return max(math.prod(given), *(int(size) ** 2 for size in enlarged), 0)


def convert_model(
    request: ModelRequest,
    plan: Plan,
    place: Place,
    file: str,
    discard: bool,
    keeping: Mapping[str, Any],
    progress: ProgressCallback,
) -> dict[str, Any]:
    """One output: `result` as `inject --json` has it, `digest`, `size` and `versions`.

    Args:
        request: The model.
        plan: How it is modified.
        place: Where the file goes.
        file: Its name there.
        discard: Whether to remove it once its digest is known.
        keeping: `only` and `keep_replaced` of `saving.save_checked`.
        progress: Receives a sentence about each step.

    Raises:
        AttnInjectError: As `attn_inject.inject`.
    """
    import torch

    # One thread: results do not depend on how many models run at a time, and processes share the cores.
    torch.set_num_threads(1)
    if discard:
        # The scratch folder of the run, if there is one.
        beside = place.root if isinstance(place, LocalPlace) else None
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=beside) as folder:
            path = Path(folder) / Path(file).name
            return {**_converted(request, plan, path, keeping, progress), "discarded": True}
    with place.target(file) as path:
        return _converted(request, plan, path, keeping, progress)


def _converted(
    request: ModelRequest, plan: Plan, path: Path, keeping: Mapping[str, Any], progress: ProgressCallback
) -> dict[str, Any]:
    from attn_inject.operate.inject import inject

    result = inject(request, plan, out=path, force=True, progress=progress, **keeping).report.to_json()
    with open(path, "rb") as written:
        stored = read_whole(written)
    return {"result": result, "digest": stored.digest, "size": stored.size, "versions": result["versions"]}


WORK: Mapping[str, Callable[..., Any]] = {
    "find": find_models,
    "size": size_model,
    "convert": convert_model,
}


def _forget_peak() -> None:
    """Reset Linux's measurement of peak memory; elsewhere it stays that of the whole process."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def peak_memory() -> int:
    """This process's peak memory in bytes since the task began."""
    try:
        with open("/proc/self/status") as file:
            found = [line.split()[1] for line in file if line.startswith("VmHWM:")]
        return int(found[0]) * 1024
    except (OSError, IndexError):
        import resource

        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
