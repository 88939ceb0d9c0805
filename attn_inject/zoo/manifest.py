"""The request of a zoo: entries of models with their plans, and the settings of the run; frozen values.

Flags, `zoo.toml` and Python have the same options, named like the long flags; here they are merged and
parsed. Models are kept as typed: which of them exist is looked up later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attn_inject.attention import registry
from attn_inject.errors import AttnInjectError, UsageError, nearest, unknown_name
from attn_inject.request import AttentionSpec, ModelRequest, Plan, as_specs, check_kept
from attn_inject.trust import GivenName, names_in, refuse_typed_only, require_known_store, require_trust
from attn_inject.zoo import values
from attn_inject.zoo.naming import DEFAULT_TEMPLATE, check_template

FORMATS = ("pt", "safetensors")

MODEL_KEYS: dict[str, Callable[[Any], Any]] = {
    "pretrained": values.truth,
    "weights": values.text,
    "weights_key": values.text,
    "num_classes": values.whole,
    "input_size": values.size,
    "model_arg": values.arguments,
    "trust": values.truth,
}
PLAN_KEYS: dict[str, Callable[[Any], Any]] = {
    "placement": values.text,
    "where": values.texts,
    "skip": values.texts,
    "stage": values.wholes,
    "blocks": values.text,
    "at": values.texts,
    "start": values.text,
    "stem": values.truth,
    "strict": values.truth,
    "check": values.text,
    "seed": values.whole,
}
ENTRY_KEYS: dict[str, Callable[[Any], Any]] = {
    "models": values.texts,
    "attn": values.texts,
    "each_attn": values.texts,
    **PLAN_KEYS,
    **MODEL_KEYS,
    "only": values.text,
    "keep_replaced": values.truth,
    "format": values.text,
    "name_template": values.text,
    "timeout": values.seconds,
}
RUN_KEYS: dict[str, Callable[[Any], Any]] = {
    "out_dir": values.text,
    "jobs": values.whole,
    "memory_limit": values.memory,
    "retries": values.whole,
    "only_failed": values.truth,
    "fail_fast": values.truth,
    "discard": values.truth,
    "force": values.truth,
    "ray": values.text,
}
NAMED = {"models": "model", "attn": "attention", "each_attn": "attention"}
_PLAN_DEFAULTS = {"placement": "after", "blocks": "residual", "start": "auto", "check": "full", "seed": 0}


@dataclass(frozen=True, kw_only=True)
class ZooEntry:
    """Models with the same options.

    Attributes:
        models: As typed: names, globs, saved files.
        plans: Each model has one output per plan.
        request: How the models are built; its name is empty.
        only: A key of `request.KEPT`.
        keep_replaced: Whether replaced tensors are saved, too.
        format: A member of `FORMATS`.
        template: Of the file's name, see `naming`.
        timeout: Seconds allowed for one output; None for no limit.
    """

    models: tuple[str, ...]
    plans: tuple[Plan, ...]
    request: ModelRequest
    only: str = "all"
    keep_replaced: bool = False
    format: str = FORMATS[0]
    template: str = DEFAULT_TEMPLATE
    timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run.

    Attributes:
        out_dir: A folder, or a URL that fsspec supports.
        jobs: Models at a time; None takes one per core.
        memory_limit: Bytes, or a share of what is free; None takes 80 % of it.
        retries: How often a model whose process died is tried again.
        only_failed: Whether only outputs that failed before are run.
        fail_fast: Whether the first failure stops the run.
        discard: Whether each file is removed once its digest is recorded.
        force: Whether files may be replaced that no zoo has made.
        ray: Address of a Ray cluster, `auto`, or None for this machine only.
    """

    out_dir: str
    jobs: int | None = None
    memory_limit: int | float | None = None
    retries: int = 1
    only_failed: bool = False
    fail_fast: bool = False
    discard: bool = False
    force: bool = False
    ray: str | None = None


@dataclass(frozen=True, kw_only=True)
class Zoo:
    """A complete request."""

    entries: tuple[ZooEntry, ...]
    settings: Settings


@dataclass(frozen=True)
class Options:
    """Options from one place, and how to name them in an error.

    Attributes:
        given: By name, with underscores, not yet parsed.
        tell: From an option's name to its place for people: `--jobs`, or `zoo.toml, line 3: jobs`.
        is_typed: Whether the user gave them, and no file.
    """

    given: Mapping[str, Any]
    tell: Callable[[str], str] = field(default=lambda name: flag(name))
    is_typed: bool = True

    def read(self, kinds: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
        """The options among `kinds`, as values; names of models and modules as `GivenName`.

        Raises:
            UsageError: One has the wrong kind of value.
            FileError: A file gives what only the user may give.
        """
        if not self.is_typed:
            refuse_typed_only(self.given, self.tell)
        found: dict[str, Any] = {}
        for name, kind in kinds.items():
            if name in self.given:
                try:
                    found[name] = kind(self.given[name])
                except ValueError as error:
                    raise UsageError(f"{self.tell(name)} {error}.") from None
            if name in found and name in NAMED:
                where = "" if self.is_typed else self.tell(name)
                found[name] = tuple(GivenName(text, where, NAMED[name]) for text in found[name])
        return found

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Raise for the first option that is not among `known`, with the nearest one that is."""
        known = [*known]
        for name in self.given:
            if name not in known:
                close = nearest(name, known, count=1)[0].replace("_", "-")
                raise UsageError(
                    f"{self.tell(name)} is not an option of a zoo.", hint=f"Did you mean {close}?"
                )


def flag(name: str) -> str:
    """`out_dir` as `--out-dir`."""
    return "--" + name.replace("_", "-")


def make_zoo(top: Sequence[Options], entries: Sequence[Options] = ()) -> Zoo:
    """One request from options of several places.

    Args:
        top: Options for all models, later ones overrule; models in it make a separate entry.
        entries: Options for some models; they overrule `top`.

    Raises:
        UsageError: An unknown option, a value of the wrong kind, nothing to do, or no output folder.
        UnknownNameError: No such attention module, placement, check, start or format.
        FileError: A list of models cannot be read; a file names code, or gives what only the user may
            give.
    """
    common: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for options in top:
        options.refuse_unknown([*ENTRY_KEYS, *RUN_KEYS])
        common = _overlaid(common, options.read(ENTRY_KEYS))
        settings |= options.read(RUN_KEYS)
    _check_folder(top, trust=common.get("trust", False))
    made = [_entry(common, _teller_of("models", top))] if common.get("models") else []
    shared = {name: value for name, value in common.items() if name != "models"}
    for options in entries:
        options.refuse_unknown(ENTRY_KEYS)
        made.append(_entry(_overlaid(shared, options.read(ENTRY_KEYS)), options.tell("models")))
    if not made:
        raise UsageError("No model is named.", hint="For example: attn-inject zoo 'resnet1*' --attn ela-l.")
    return Zoo(entries=tuple(made), settings=_settings(settings))


def _check_folder(top: Sequence[Options], *, trust: bool) -> None:
    giving = [options for options in top if "out_dir" in options.given]
    if giving and not giving[-1].is_typed:
        require_known_store(giving[-1].given["out_dir"], giving[-1].tell("out_dir"), trust=trust)


def _teller_of(name: str, top: Sequence[Options]) -> str:
    """The place of an option, in the strongest source that gives it."""
    return next(options.tell(name) for options in reversed(top) if name in options.given)


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` overruled by `above`; if `above` names modules, both options for them are replaced."""
    renamed = {"attn", "each_attn"} & above.keys()
    kept = {n: value for n, value in below.items() if not (renamed and n in ("attn", "each_attn"))}
    return {**kept, **above}


def _entry(options: Mapping[str, Any], where: str) -> ZooEntry:
    with _told_at(where):
        models = tuple(name for given in options.get("models", ()) for name in _listed(given))
        modules = _named_modules(options)
    # The origin of a name is lost after this line, so every name is checked here.
    require_trust((*models, *modules), trust=options.get("trust", False))
    with _told_at(where):
        return _made_entry(options, tuple(name.text for name in models))


@contextmanager
def _told_at(where: str) -> Iterator[None]:
    try:
        yield
    except AttnInjectError as error:
        if where.startswith("--"):
            raise
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from None


def _made_entry(options: Mapping[str, Any], models: tuple[str, ...]) -> ZooEntry:
    if not models:
        raise UsageError("No model is named.", hint="Give names or globs, for example resnet18 'regnety_*'.")
    chosen: dict[str, Any] = {name: options.get(name, default) for name, default in _PLAN_DEFAULTS.items()}
    several: dict[str, Any] = {name: options.get(name, ()) for name in ("where", "skip", "stage", "at")}
    plans = [
        Plan.of(specs, **chosen, **several, **{n: options.get(n, False) for n in ("stem", "strict")})
        for specs in _modules(options)
    ]
    form = options.get("format", FORMATS[0]).removeprefix(".")
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    only = options.get("only", "all")
    check_kept(only)
    template = options.get("name_template", DEFAULT_TEMPLATE)
    check_template(template)
    return ZooEntry(
        models=models,
        plans=tuple(plans),
        request=_request(options),
        only=only,
        keep_replaced=options.get("keep_replaced", False),
        format=form,
        template=template,
        timeout=options.get("timeout"),
    )


def _request(options: Mapping[str, Any]) -> ModelRequest:
    named = {"model_arg": "model_args"}
    request = ModelRequest(
        name="", **{named.get(name, name): options[name] for name in MODEL_KEYS if name in options}
    )
    if request.pretrained and request.weights:
        raise UsageError("--pretrained and --weights exclude each other.", hint="Keep one of them.")
    if request.weights_key and not request.weights:
        raise UsageError(
            "--weights-key says where in a file of weights to look, and none is named.",
            hint="Add --weights FILE.",
        )
    return request


def _modules(options: Mapping[str, Any]) -> list[tuple[AttentionSpec, ...]]:
    """The specs of each output: one for each of `each_attn`, or a single one for all of `attn`."""
    together, single = (
        as_specs([name.text for name in options.get(way, ())]) for way in ("attn", "each_attn")
    )
    if together and single:
        raise UsageError(
            "--attn and --each-attn exclude each other.",
            hint="--attn inserts all its modules into one output, --each-attn makes one output per module.",
        )
    if not (together or single):
        raise UsageError(
            "No attention module is named.", hint="Add --attn ela-l, or --each-attn se --each-attn ela-l."
        )
    for spec in (*together, *single):
        registry.find(spec.name)
    return [together] if together else [(spec,) for spec in _unique(single)]


def _named_modules(options: Mapping[str, Any]) -> list[GivenName]:
    """The modules without their globs and options."""
    given = [*options.get("attn", ()), *options.get("each_attn", ())]
    return [dataclasses.replace(name, text=AttentionSpec.parse(name.text).name) for name in given]


def _unique(specs: Iterable[AttentionSpec]) -> list[AttentionSpec]:
    return list({str(spec): spec for spec in specs}.values())


def _listed(given: GivenName) -> list[GivenName]:
    """`@FILE` as the names in the file; anything else unchanged."""
    return names_in(Path(given.text[1:])) if given.text.startswith("@") else [given]


def _settings(options: Mapping[str, Any]) -> Settings:
    if not options.get("out_dir"):
        raise UsageError(
            "No output folder is given.", hint="Add --out-dir FOLDER, or a URL such as s3://bucket/zoo."
        )
    if options.get("jobs") == 0:
        raise UsageError("--jobs 0 would never finish.", hint="Give 1 or more.")
    return Settings(**options)
