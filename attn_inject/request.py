"""What is asked: frozen values that the command line, recipe files and Python code make.

A plan is complete before a model is touched, so it can be printed, saved and compared.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict, Unpack

from attn_inject.errors import UsageError, unknown_name

PLACEMENTS = {
    "after": "the block's output, after the addition and its activation (SE-POST)",
    "before-add": "the branch, just before it is added (standard SE; most papers)",
    "before-block": "the input of the branch (SE-PRE)",
    "on-shortcut": "the shortcut, after its projection (SE-Identity)",
    "after-conv": "the output of the block's spatial convolution, after its norm and activation (SE_3x3)",
    "before-norm": "the output of the block's spatial convolution itself, before its norm (SimAM)",
    "replace-conv": "instead of each spatial convolution of the block that keeps the number of channels",
    "replace-attention": "instead of the channel or spatial attention that the model already has",
    "paper": "the paper's own placement, including its stages and blocks",
}
REPLACING = tuple(name for name in PLACEMENTS if name.startswith("replace-"))
STARTS = {
    "auto": "identity when weights were loaded, paper otherwise",
    "identity": "the modified model's output is bit-equal to the untouched one's until it is trained",
    "paper": "the paper's own initialisation",
}
CHECKS = {
    "full": "structure, outputs, gradients, modes, and the reopened file",
    "structure": "keys, tensors, output shapes and calls, without computing anything",
    "off": "none",
}
BLOCK_KINDS = {
    "residual": "residual blocks",
    "family": "also sibling blocks of the same class that have no shortcut",
    "inner": "the innermost of nested residual blocks",
    "outer": "the outermost of nested residual blocks, even if it is a group of blocks or a stack",
}
KEPT = {
    "all": "every tensor of the model",
    "attention": "the inserted modules and all running statistics of batch norms; load it onto its base",
}
DTYPES = {
    "float32": "single precision",
    "bfloat16": "half the memory, the same range",
    "float16": "half the memory, a smaller range",
}

Option = bool | int | float | str
# What Python callers may pass for one module or several.
Attention: TypeAlias = "str | type | AttentionSpec | Sequence[str | type | AttentionSpec]"


@dataclass(frozen=True)
class AttentionSpec:
    """One `--attn`: which module, with which options, for which sites.

    Attributes:
        name: A catalogue name, a plug-in's name or `package.module:Class`.
        options: Keyword arguments of the module's constructor, beyond `channels`.
        where: Glob over site names; the first spec whose glob matches a site is used there.
    """

    name: str
    options: Mapping[str, Option] = field(default_factory=dict)
    where: str = "*"

    @classmethod
    def of(cls, attention: type, *, where: str = "*", **options: Option) -> AttentionSpec:
        """Your own class, with options of its constructor.

        Args:
            attention: The class; it must be importable by name, so that a file can name it.
            where: Glob over site names.
            options: Keyword arguments of its constructor, beyond `channels`.

        Raises:
            UsageError: It is defined inside a function, so no file could name it.
        """
        if "<locals>" in attention.__qualname__:
            raise UsageError(
                f"{attention.__qualname__} is defined inside a function, so it cannot be imported by name.",
                hint="Define the class at the top of a module.",
            )
        name = f"{attention.__module__}:{attention.__qualname__}"
        return cls(name=name, options=options, where=where)

    @classmethod
    def parse(cls, text: str) -> AttentionSpec:
        """Read `[GLOB=]NAME[:option=value,...]`.

        The glob ends at the first `=` before the first `:`; the last `:` part is options
        if it contains `=`.

        Raises:
            UsageError: An empty name, an option without a value, or a text that is longer than any.
        """
        _refuse_long(text, "spec of an attention module")
        _refuse_other_writing(text)
        head, colon, tail = text.partition(":")
        glob, equals, rest = head.partition("=")
        where, name = (glob, rest + colon + tail) if equals else ("*", text)
        options: dict[str, Option] = {}
        before, colon, last = name.rpartition(":")
        if colon and "=" in last:
            name = before
            options = dict(_parse_option(item, text) for item in last.split(","))
        if not name or not where:
            raise UsageError(
                f"{text!r} is not an attention spec: a name is missing.",
                hint="Write [GLOB=]NAME[:option=value,...], for example 'layer4.*=se:reduction=8'.",
            )
        return cls(name=name, options=options, where=where)

    def __str__(self) -> str:
        options = ",".join(f"{key}={_option_text(value)}" for key, value in self.options.items())
        name = f"{self.name}:{options}" if options else self.name
        return name if self.where == "*" else f"{self.where}={name}"

    def serves(self, site: str) -> bool:
        """Whether this spec's glob matches the site called `site`."""
        return fnmatch.fnmatchcase(site, self.where)


_LONGEST = 1000  # characters of a glob or a spec; matching much longer ones takes minutes
_CALL = re.compile(r"(?P<name>[\w.=*\[\]:-]+)\((?P<options>.*)\)")
_LIST = re.compile(r"[\w-]+(\s*,\s*[\w-]+)+")


def _refuse_other_writing(text: str) -> None:
    """Refuse a call, `se(reduction=8)`, and a list, `se,eca`, and say how to write them.

    Raises:
        UsageError: Names the line to type.
    """
    if call := _CALL.fullmatch(text.strip()):
        options = call["options"].replace(" ", "")
        written = f"{call['name']}:{options}" if options else call["name"]
        raise UsageError(
            f"{text!r} is not an attention spec: options follow a colon.",
            hint=f"Write --attn {shlex.quote(written)}.",
        )
    if _LIST.fullmatch(text.strip()):
        names = [name.strip() for name in text.split(",")]
        repeated = " ".join(f"--attn {name}" for name in names)
        raise UsageError(
            f"{text!r} names {len(names)} attention modules, and one spec names one.",
            hint=f"Repeat the option: {repeated}; or choose by site: "
            f"--attn 'layer4.*={names[0]}' --attn {names[1]}.",
        )


def parse_value(text: str) -> Option:
    """`true`, `false`, whole numbers and decimals as values; anything else as text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _parse_option(item: str, text: str) -> tuple[str, Option]:
    key, equals, value = item.partition("=")
    if not (key.strip() and equals and value.strip()):
        raise UsageError(
            f"{item!r} in {text!r} is not an option.", hint="Write option=value, several separated by commas."
        )
    return key.strip().replace("-", "_"), parse_value(value.strip())


def _option_text(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """Which model, and how to build it.

    Attributes:
        name: `resnet50`, `timm/NAME`, `torchvision/NAME`, `package.module:factory`, or a saved file.
        pretrained: Whether to fetch the published weights.
        weights: A checkpoint to load, `.pt`, `.pth` or `.safetensors`: a path, or an address (`https://`,
            `hf-hub:ORG/NAME`, `s3://`).
        weights_key: Where the state dict stands in it: a key, or the beginning of its names. None finds it.
        num_classes: Outputs of the classifier; None keeps the architecture's own.
        input_size: (channels, height, width) in pixels; None takes the model's own.
        model_args: Further keyword arguments of the architecture.
        trust: Whether code that a saved file names may run.
    """

    name: str
    pretrained: bool = False
    weights: str | None = None
    weights_key: str | None = None
    num_classes: int | None = None
    input_size: tuple[int, ...] | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    trust: bool = False


class SiteOptions(TypedDict, total=False):
    """Where modules are inserted and how they start, as every function takes it; see `Plan`."""

    placement: str
    where: str | Sequence[str]
    skip: str | Sequence[str]
    stage: int | Sequence[int]
    blocks: str
    at: str | Sequence[str]
    start: str


class EditOptions(SiteOptions, total=False):
    """What is inserted where, as every function that inserts takes it; see `Plan`."""

    stem: bool
    strict: bool


class PlanOptions(EditOptions, total=False):
    """The fields of a `Plan` except its attention; see there."""

    check: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to insert, where, and how to check it.

    Attributes:
        attention: One spec per `--attn`; the first whose glob matches a site is used there.
        placement: A key of `PLACEMENTS`.
        where: Globs of sites to keep; empty keeps all.
        skip: Globs of sites to leave out.
        stages: Stage numbers to keep, from 1; empty keeps all.
        blocks: A key of `BLOCK_KINDS`.
        at: Globs of modules named by hand instead of found blocks.
        start: A key of `STARTS`.
        stem: Whether to replace the stem, too (`replace-conv` with a module that has one).
        strict: Whether a site that a module does not fit is an error instead of a skip.
        check: A key of `CHECKS`.
        seed: Seed of the new parameters and of the checks' inputs.
    """

    attention: tuple[AttentionSpec, ...]
    placement: str = "after"
    where: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    stages: tuple[int, ...] = ()
    blocks: str = "residual"
    at: tuple[str, ...] = ()
    start: str = "auto"
    stem: bool = False
    strict: bool = False
    check: str = "full"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse unknown values."""
        choices = {
            "placement": (self.placement, PLACEMENTS),
            "start": (self.start, STARTS),
            "check": (self.check, CHECKS),
            "kind of block": (self.blocks, BLOCK_KINDS),
        }
        for what, (value, known) in choices.items():
            if value not in known:
                raise unknown_name(what, value, known)
        if not 0 <= self.seed < 2**63:
            raise UsageError("The seed is not between 0 and 2**63.", hint="Give a smaller one.")
        if not self.attention:
            raise UsageError(
                "No attention module is named.", hint="Name one (--attn NAME), for example ela-l."
            )
        if self.stem and self.placement not in ("replace-conv", "paper"):
            raise UsageError(
                "--stem replaces the stem's convolution, so it needs --placement replace-conv.",
                hint="For example --attn sasa --placement replace-conv --stem.",
            )
        if self.at and self.placement in ("replace-conv", "paper"):
            raise UsageError(
                f"--at and --placement {self.placement} exclude each other: it looks inside residual blocks.",
                hint="Leave one of them out; --where and --skip select among the blocks.",
            )

    @classmethod
    def of(cls, attention: Attention | Plan, **options: Unpack[PlanOptions]) -> Plan:
        """A plan from what Python callers may pass: one value where several are possible.

        Args:
            attention: One spec or several, as text, as values or as classes; or a plan to change.
            options: The plan's fields; `stage` is `stages`.

        Raises:
            UsageError: Something is not a spec, or the options disagree.
            UnknownNameError: A value is unknown; the nearest one is in the hint.
        """
        values: dict[str, Any] = dict(options)
        values |= {key: as_globs(values[key]) for key in ("where", "skip", "at") if key in values}
        if "stage" in values:
            values["stages"] = _as_stages(values.pop("stage"))
        if isinstance(attention, Plan):
            return dataclasses.replace(attention, **values)
        return cls(attention=as_specs(attention), **values)

    def spec_for(self, site: str) -> AttentionSpec:
        """The first spec whose glob matches a site; the plan must have one."""
        return next(spec for spec in self.attention if spec.serves(site))


def check_kept(only: str) -> None:
    """Refuse a word that is not a key of `KEPT`.

    Raises:
        UnknownNameError: Names the nearest one.
    """
    if only not in KEPT:
        raise unknown_name("part of a model to keep", only, KEPT)


def as_specs(attention: Attention) -> tuple[AttentionSpec, ...]:
    """One spec or several, as text, values or classes, to a tuple of values.

    Raises:
        UsageError: Something is none of these, or does not parse.
    """
    given: Any = attention
    items = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    return tuple(map(_as_spec, items))


def _as_stages(stage: Any) -> tuple[int, ...]:
    """One number or several.

    Raises:
        UsageError: Something is not a whole number.
    """
    stages = tuple(stage) if isinstance(stage, Iterable) and not isinstance(stage, str) else (stage,)
    for number in stages:
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError(
                f"{number!r} is not the number of a stage.", hint="Write stage=3 or stage=(3, 4), from 1."
            )
    return stages


def _as_spec(item: Any) -> AttentionSpec:
    if isinstance(item, type):
        return AttentionSpec.of(item)
    if isinstance(item, AttentionSpec):
        return item
    if isinstance(item, str):
        return AttentionSpec.parse(item)
    raise UsageError(
        f"An attention module is given as text, a class or an AttentionSpec, not as {item!r}.",
        hint="For options write AttentionSpec.of(YourClass, option=value).",
    )


def as_globs(globs: str | Sequence[str]) -> tuple[str, ...]:
    """One glob or several to a tuple.

    Raises:
        UsageError: One is longer than any name.
    """
    given = (globs,) if isinstance(globs, str) else tuple(globs)
    for glob in given:
        _refuse_long(glob, "glob")
    return given


def _refuse_long(text: str, what: str) -> None:
    if len(text) > _LONGEST:
        raise UsageError(
            f"{text[:40]}... is not a {what}: it has more than {_LONGEST} characters.",
            hint="Names of modules and their options are much shorter.",
        )


def to_dict(value: Any) -> dict[str, Any]:
    """A plan or request as plain data, for JSON, TOML and recipes."""
    return dataclasses.asdict(value)
