"""A recipe as a TOML file for `--recipe FILE`, with the names of the command line's options.

    model = "resnet50"
    attn = ["layer4.*=sa", "ela-l:kernel_size=7"]
    stage = [3, 4]

    [model-arg]
    drop_path_rate = 0.1

    [[then]]                # a second plan, for the modified model
    attn = ["eca"]
    placement = "before-add"

A recipe says what is asked; tensors are not part of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from attn_inject.errors import UsageError, nearest
from attn_inject.files.toml_file import line_of, read_toml_file
from attn_inject.request import AttentionSpec
from attn_inject.trust import GivenName, refuse_typed_only, require_trust

THEN = "then"

_TEXTS, _NUMBERS = "a text or a list of texts", "a whole number or a list of them"
_TYPES = {"a text": str, "true or false": bool, "a whole number": int, "a table": dict}
MODEL_KEYS = {
    "model": "a text",
    "pretrained": "true or false",
    "weights": "a text",
    "weights-key": "a text",
    "num-classes": "a whole number",
    "input-size": "a list of whole numbers",
    "model-arg": "a table",
}
PLAN_KEYS = {
    "attn": _TEXTS,
    "placement": "a text",
    "where": _TEXTS,
    "skip": _TEXTS,
    "stage": _NUMBERS,
    "blocks": "a text",
    "at": _TEXTS,
    "start": "a text",
    "stem": "true or false",
    "strict": "true or false",
    "check": "a text",
    "seed": "a whole number",
}


@dataclass(frozen=True)
class RecipeFile:
    """The content of a recipe file; keys are options with `_` for `-`, only those in the file.

    Attributes:
        model: The model and how to build it.
        operations: The plans, one dictionary each, at least one.
    """

    model: Mapping[str, Any]
    operations: tuple[Mapping[str, Any], ...]


def read_recipe(path: str | os.PathLike[str], *, trust: bool = False) -> RecipeFile:
    """Read a recipe file.

    Args:
        path: The file.
        trust: Whether it may name code, `package.module:...`, as the model or as an attention module.

    Raises:
        FileError: It cannot be read, or names code and is not trusted.
        UsageError: It is not TOML, or has an unknown key or a value of another type; the line is named.
    """
    data, text = read_toml_file(path)
    further = data.pop(THEN, [])
    _check(data, MODEL_KEYS | PLAN_KEYS, text, path)
    if not isinstance(further, list) or not all(isinstance(table, dict) for table in further):
        raise UsageError(f"{path}: {THEN} must be a table in double brackets.", hint=f"Write [[{THEN}]].")
    for table in further:
        _check(table, PLAN_KEYS, text, path)
    model = {_plain(key): data[key] for key in data if key in MODEL_KEYS}
    first = {key: data[key] for key in data if key in PLAN_KEYS}
    asked = RecipeFile(
        model, tuple({_plain(k): _listed(k, v) for k, v in t.items()} for t in (first, *further))
    )
    require_trust(_names(asked, text, path), trust=trust)
    return asked


def recipe_text(content: Mapping[str, Any]) -> str:
    """The recipe that makes a saved file again, given its base.

    Args:
        content: What `attn_inject.describe` returns.
    """
    import tomli_w

    first, *further = (_options(plan) for plan in content["plans"])
    data = _model_options(content) | first
    arguments = data.pop("model-arg", None)
    if arguments:
        data["model-arg"] = arguments  # a table ends the keys before it
    if further:
        data[THEN] = further
    remarks = [" ".join(remark.splitlines()) for remark in _remarks(content)]
    return "".join(map(_spelled_out, "".join(f"# {line}\n" for line in remarks) + tomli_w.dumps(data)))


def _spelled_out(character: str) -> str:
    """Control characters escaped as in TOML, so that printed text cannot control a terminal."""
    if character.isprintable() or character == "\n":
        return character
    return f"\\U{ord(character):08X}"


def _remarks(content: Mapping[str, Any]) -> list[str]:
    written = ", ".join(f"{library} {version}" for library, version in content["versions"].items())
    remarks = [
        f"Makes {content['file']} again, given its base; written with {written}.",
        'Tensors are not part of a recipe: add pretrained = true or weights = "FILE".',
    ]
    if content["source"] == "object":
        remarks.append(f"The model, a {content['model']}, was an object: add model = ...")
    return remarks


def _model_options(content: Mapping[str, Any]) -> dict[str, Any]:
    source, name = content["source"], content["model"]
    options: dict[str, Any] = {}
    if source != "object":
        options["model"] = name if source == "factory" else f"{source}/{name}"
    if content["input_size"]:
        options["input-size"] = content["input_size"]
    # TOML has no null.
    options["model-arg"] = {key: value for key, value in content["arguments"].items() if value is not None}
    return options


def _options(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan from `request.to_dict` with the names of the command line's options, without empty lists."""
    attn = [str(AttentionSpec(**spec)) for spec in plan["attention"]]
    rest = {
        ("stage" if key == "stages" else key.replace("_", "-")): value
        for key, value in plan.items()
        if key != "attention"
    }
    return {"attn": attn} | {key: value for key, value in rest.items() if value != []}


def _check(table: Mapping[str, Any], known: Mapping[str, str], text: str, path: Any) -> None:
    for key, value in table.items():
        where = f"{path}{line_of(key, text)}"
        refuse_typed_only([key], lambda key, where=where: f"{where}: {key}")  # type: ignore[misc]
        if key not in known:
            close = nearest(key, [*known, THEN], count=1)[0]
            raise UsageError(f"{where}: there is no option {key!r:.80}.", hint=f"Did you mean {close}?")
        if not _is(value, known[key]):
            raise UsageError(f"{where}: {key} is {value!r:.80}, but must be {known[key]}.")


def _is(value: Any, kind: str) -> bool:
    if kind in _TYPES:
        return type(value) is _TYPES[kind]
    if kind == "a list of whole numbers" and not isinstance(value, list):
        return False
    item = str if kind == _TEXTS else int
    return all(type(entry) is item for entry in (value if isinstance(value, list) else [value]))


def _listed(key: str, value: Any) -> Any:
    """One value where several are possible is a list of one."""
    several = PLAN_KEYS[key] in (_TEXTS, _NUMBERS)
    return [value] if several and not isinstance(value, list) else value


def _names(asked: RecipeFile, text: str, path: Any) -> Iterator[GivenName]:
    """Everything in the file that may name code."""
    yield GivenName(asked.model.get("model", ""), f"{path}{line_of('model', text)}: model")
    where = f"{path}{line_of('attn', text)}: attn"
    for spec in (spec for plan in asked.operations for spec in plan.get("attn", [])):
        yield GivenName(AttentionSpec.parse(spec).name, where, "attention")


def _plain(key: str) -> str:
    return key.replace("-", "_")
