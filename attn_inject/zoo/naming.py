"""The file names of a zoo: a template, filled in with characters that every disk accepts."""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Iterable
from pathlib import PurePosixPath

from attn_inject.errors import UsageError, nearest
from attn_inject.request import ModelRequest, Plan

DEFAULT_TEMPLATE = "{source}/{model}.{attention}"
FIELDS = {
    "source": "timm, torchvision, factory or file",
    "model": "the model's name",
    "attention": "the modules with their options",
    "placement": "as in the plan",
    "start": "as in the plan",
    "seed": "as in the plan",
}
_LONGEST = 180  # characters of one field
# Bytes of one part of a path: most disks allow 255, and `.changed-` with a digest must fit, too.
_LONGEST_PART = 200
_UNSAFE = re.compile(r"[^A-Za-z0-9._=+,-]+")


def check_template(template: str) -> None:
    """Refuse a template that names no field, an unknown one, or a place outside the output folder.

    Raises:
        UsageError: The hint says what to write instead.
    """
    try:
        parts = [*string.Formatter().parse(template)]
    except ValueError as error:
        raise UsageError(f"--name-template {template} cannot be read: {error}.") from None
    fields = [name for _, name, _, _ in parts if name is not None]
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise UsageError(
            f"--name-template {template} has a field with more than a name in the braces.",
            hint=f"The fields are {', '.join(f'{{{name}}}' for name in FIELDS)}.",
        )
    if not template.isprintable() or "\\" in template:
        raise UsageError(f"--name-template {template!r} has characters that are not allowed in file names.")
    for name in fields:
        if name not in FIELDS:
            close = nearest(name, FIELDS, count=1)[0]
            raise UsageError(
                f"--name-template has no field {{{name}}}.",
                hint=f"Did you mean {{{close}}}? The fields are {', '.join(FIELDS)}.",
            )
    path = PurePosixPath(template)
    if path.is_absolute() or ".." in path.parts or template.endswith("/"):
        raise UsageError(
            f"--name-template {template} leads out of the output folder.",
            hint=f"Write a relative name such as {DEFAULT_TEMPLATE}.",
        )
    if not fields:
        raise UsageError(
            f"--name-template {template} gives every file the same name.",
            hint=f"For example {DEFAULT_TEMPLATE}.",
        )


def file_name(template: str, source: str, request: ModelRequest, plan: Plan, form: str) -> str:
    """The file of one output, relative to the output folder, with `/` between its parts."""
    words = {
        "source": source,
        "model": _model_word(source, request.name),
        "attention": "+".join(map(str, plan.attention)),
        "placement": plan.placement,
        "start": plan.start,
        "seed": str(plan.seed),
    }
    filled = "".join(
        literal + (safe(words[name]) if name is not None else "")
        for literal, name, _, _ in string.Formatter().parse(template)
    )
    *folders, last = filled.removesuffix(f".{form}").split("/")
    return "/".join(_short(part) for part in (*folders, last)) + f".{form}"


def _short(part: str) -> str:
    encoded = part.encode()
    if len(encoded) <= _LONGEST_PART:
        return part
    digest = hashlib.sha256(encoded).hexdigest()[:12]
    return f"{encoded[: _LONGEST_PART - 13].decode(errors='ignore')}-{digest}"


def _model_word(source: str, name: str) -> str:
    if source == "file":
        return PurePosixPath(name).stem
    return name.removeprefix(f"{source}/")


def safe(word: str) -> str:
    """The word with `-` for characters that file names cannot have, shortened with a digest if very long."""
    clean = _UNSAFE.sub("-", word).strip("-") or "-"
    clean = "-" + clean[1:] if clean.startswith(".") else clean
    if len(clean) <= _LONGEST:
        return clean
    return f"{clean[:_LONGEST]}-{hashlib.sha256(word.encode()).hexdigest()[:12]}"


def refuse_same_file(files: Iterable[tuple[str, str]]) -> None:
    """Refuse two outputs with the same name.

    Args:
        files: (file, what makes it) of every output.

    Raises:
        UsageError: It names both.
    """
    owners: dict[str, str] = {}
    for file, owner in files:
        # Some disks do not distinguish upper and lower case.
        other = owners.setdefault(file.lower(), owner)
        if other is not owner:
            raise UsageError(
                f"Two outputs would be saved as {file}: {other}, and {owner}.",
                hint="Leave one out, or distinguish them with --name-template, "
                "for example '{model}.{attention}.{placement}'.",
            )
