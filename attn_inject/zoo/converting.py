"""`attn_inject.zoo.convert`: the zoo from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attn_inject.zoo.manifest import Options, make_zoo
from attn_inject.zoo.record import Record
from attn_inject.zoo.run import NullWatcher, Watcher, run


def convert(
    models: str | Sequence[str],
    *,
    out_dir: str | Path,
    attn: str | Sequence[str] = (),
    each_attn: str | Sequence[str] = (),
    placement: str = "after",
    where: str | Sequence[str] = (),
    skip: str | Sequence[str] = (),
    stage: int | Sequence[int] = (),
    blocks: str = "residual",
    at: str | Sequence[str] = (),
    start: str = "auto",
    stem: bool = False,
    strict: bool = False,
    check: str = "full",
    seed: int = 0,
    pretrained: bool = False,
    weights: str | None = None,
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
) -> Iterator[Record]:
    """Convert many models, one process each, and yield a record for each output when it ends.

    Intact outputs of an earlier run come first, with `reused` set, and are not made again. A model that
    fails, crashes, hangs or runs out of memory is a record with its `failure`; the others continue.

    Args:
        models: Names, globs, saved files, or `@FILE` with one of these per line.
        out_dir: A folder, or a URL that fsspec supports, for example `s3://bucket/zoo`.
        attn: The modules of each output; `each_attn` makes one output per module instead.
        placement: As in `attn_inject.inject`, like all options down to `seed`.
        where: Globs of sites to keep; `skip` those to leave out, `stage` numbers to keep, from 1.
        blocks: `residual` or `family`; `at` names modules by glob instead.
        start: `identity`, `paper` or `auto`; `stem` also replaces the stem; `strict` makes a module that
            does not fit an error.
        check: `full`, `structure` or `off`; `seed` is of all random numbers.
        pretrained: Whether to fetch published weights; or `weights`, a file for all models.
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
        ray: Address of a Ray cluster, or `auto`.
        watcher: Receives the progress of the run.

    Raises:
        AttnInjectError: The request cannot be met at all; nothing was converted.
    """
    # The parameters are the options of the command, under the same names.
    options = {name: value for name, value in locals().items() if value is not None}
    watcher = options.pop("watcher", None)
    if model_args is not None:
        options["model_arg"] = options.pop("model_args")
    return run(make_zoo([Options(options, lambda name: f"{name}=")]), watcher or NullWatcher())
