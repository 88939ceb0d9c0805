"""`attn_inject.zoo.convert`: the zoo from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from attn_inject.request import PlanOptions
from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.record import Record
from attn_inject.zoo.run import NullWatcher, Watcher, run


def convert(
    models: str | Sequence[str],
    *,
    out_dir: str | Path,
    attn: str | Sequence[str] = (),
    each_attn: str | Sequence[str] = (),
    pretrained: bool = False,
    weights: str | None = None,
    weights_key: str | None = None,
    num_classes: int | None = None,
    input_size: int | Sequence[int] | None = None,
    model_args: Mapping[str, Any] | None = None,
    trust: bool = False,
    only: str = "all",
    keep_replaced: bool = False,
    format: str = "pt",
    name_template: str | None = None,
    jobs: int | None = None,
    memory_limit: int | str | None = None,
    timeout: float | str | None = None,
    retries: int = 1,
    only_failed: bool = False,
    fail_fast: bool = False,
    discard: bool = False,
    force: bool = False,
    ray: str | None = None,
    watcher: Watcher | None = None,
    **options: Unpack[PlanOptions],
) -> Iterator[Record]:
    """Convert many models, one process each, and yield a record for each output when it ends.

    Intact outputs of an earlier run come first, with `reused` set, and are not made again. A model that
    fails, crashes, hangs or runs out of memory is a record with its `failure`; the others continue.

    Args:
        models: Names, globs, saved files, or `@FILE` with one of these per line.
        out_dir: A folder, or a URL that fsspec supports, for example `s3://bucket/zoo`.
        attn: The modules of each output; `each_attn` makes one output per module instead.
        pretrained: Whether to fetch published weights; or `weights`, a file for all models, or its address;
            `weights_key` is where the state dict stands in it.
        num_classes: Outputs of the classifier; `input_size` is (C, H, W) in pixels, `model_args` further
            arguments of the architecture, `trust` lets saved files run the code that they name.
        only: `all` or `attention`; `keep_replaced` saves the replaced tensors; `format` is `pt` or
            `safetensors`.
        name_template: Of files, with the fields of `zoo.naming.FIELDS`.
        jobs: Processes at a time, by default one per core; `memory_limit` is their memory together, in
            bytes, `8GiB` or `50%` of what is free; `timeout` seconds for one output.
        retries: How often a model whose process died is tried again.
        only_failed: Whether to run only the outputs that failed before; `fail_fast` stops at the first
            failure.
        discard: Whether to remove each file once its digest is recorded.
        force: Whether to replace files that no zoo has made.
        ray: Address of a Ray cluster, or `auto`; `watcher` receives the progress of the run.
        options: Of each output, as in `attn_inject.inject`: `placement`, `where`, `skip`, `stage`, `blocks`,
            `at`, `start`, `stem`, `strict`, `check` and `seed`.

    Raises:
        AttnInjectError: The request cannot be met at all; nothing was converted.
    """
    return run(make_zoo([_as_typed(**locals())]), watcher or NullWatcher())


def _as_typed(
    *, options: PlanOptions, model_args: Mapping[str, Any] | None, watcher: object, **others: Any
) -> Options:
    """The options of the command, which have the same names."""
    given = {**others, **options, "model_arg": model_args}
    given = {name: value for name, value in given.items() if value is not None}
    return Options(given, lambda name: f"{name}=")
