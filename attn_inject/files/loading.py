"""From a saved file back to a modified model: rebuild empty, repeat the edits, assign the tensors."""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from attn_inject.errors import FileError
from attn_inject.files import formats
from attn_inject.files.contents import Contents
from attn_inject.files.rebuild import rebuild, repeat, require_base, require_structure
from attn_inject.files.recipe import Recipe
from attn_inject.files.structure_digest import state_digest
from attn_inject.surgery.inserted import inserted_modules
from attn_inject.surgery.origin import Origin, attach_origin
from attn_inject.trust import GivenName, require_trust

_Path = str | os.PathLike[str]


def load(
    path: _Path,
    *,
    base: nn.Module | None = None,
    trust: bool = False,
    verify: bool = True,
    inplace: bool = False,
) -> nn.Module:
    """The modified model that a file holds; see `saving.load`.

    Args:
        path: The file.
        base: The untouched architecture, or the base with its weights for a file that holds attention only.
        trust: Whether code that the file names, `package.module:...`, may run.
        verify: Whether to compare the tensors' digest, and that of the base.
        inplace: Whether attention is inserted into the given base itself, instead of a copy.

    Raises:
        AttnInjectError: As there.
    """
    contents = formats.read(path, mmap=not verify)
    check_trust(contents.recipe, path, trust)
    if verify:
        check_digest(contents, path)
    if contents.whole is None:
        return rebuilt(contents, path, base=base, trust=trust)
    model = _put_on(contents, path, base if inplace else copy.deepcopy(base), verify)
    attach_origin(model, Origin(contents.recipe.provenance, contents.recipe.plans))
    return model.eval()


def check_digest(contents: Contents, path: _Path) -> None:
    """Compare the tensors with those that were saved.

    Raises:
        FileError: They differ.
    """
    if state_digest(contents.tensors) != contents.digest:
        raise FileError(
            f"{path} is damaged: its tensors are not those that were saved.",
            hint="Copy or save it again. verify=False loads it nevertheless.",
        )


def check_trust(recipe: Recipe, path: _Path, trust: bool) -> None:
    """Refuse a recipe that names an attention class outside attn-inject, unless its file is trusted.

    Raises:
        FileError: Names the class.
    """
    require_trust((GivenName(edit.attention, str(path), "attention") for edit in recipe.edits), trust=trust)


def rebuilt(
    contents: Contents, path: _Path, *, base: nn.Module | None = None, trust: bool = False
) -> nn.Module:
    """The model of contents that are whole, with their tensors, not copies of them.

    Args:
        contents: What a file holds; their digest is not compared here.
        path: The file, for errors.
        base: The untouched architecture, if it has no name.
        trust: Whether code that the contents name may run.

    Raises:
        AttnInjectError: As `load`.
    """
    check_trust(contents.recipe, path, trust)
    model = rebuild(
        contents.recipe,
        str(path),
        keys=contents.state_dict.keys(),
        kept=contents.structure,
        base=base,
        trust=trust,
    )
    _assign(model, contents.state_dict, path)
    _give_back(model, contents.replaced)
    attach_origin(model, Origin(contents.recipe.provenance, contents.recipe.plans))
    # A model built from a name is in eval mode; a given base may need its values for the switch.
    return model if base is None else model.eval()


def _put_on(contents: Contents, path: _Path, model: nn.Module | None, verify: bool) -> nn.Module:
    """The base with the attention modules of a file that holds nothing else."""
    if model is None:
        raise FileError(
            f"{path} holds attention modules only, no base.",
            hint=f"Pass {contents.recipe.provenance.name} with its weights as base=, "
            f"or: attn-inject MODEL --apply {path} --weights FILE --out FILE",
        )
    require_base(model, contents.structure, contents.recipe, str(path))
    with torch.random.fork_rng(devices=[]):
        repeat(model, contents.recipe, str(path))
    require_structure(model, contents.structure, contents.recipe, str(path))
    try:
        unfitting = model.load_state_dict(dict(contents.state_dict), strict=False).unexpected_keys
    except RuntimeError as error:
        raise _unfit(path, error) from error
    if unfitting:
        raise _unfit(path, KeyError(f"The model has no {unfitting[0]}"))
    if verify and state_digest(model.state_dict()) != contents.whole:
        raise FileError(
            f"The base is not the one that {path} was saved with: its tensors differ.",
            hint="Give the weights that it was made with (--weights FILE). To use others: --no-verify, "
            "or verify=False in Python.",
        )
    return model


def _assign(model: nn.Module, state: Mapping[str, Any], path: _Path) -> None:
    """Assign the file's tensors to the model, without a copy; shared parameters stay shared."""
    tied = _tied(model)
    named = OrderedDict(state)
    # Some modules read their version there (MNASNet); the file's is the one built now.
    modules = model.named_modules(remove_duplicate=False)
    named._metadata = {name: {"version": module._version} for name, module in modules}  # type: ignore[attr-defined]
    try:
        model.load_state_dict(named, strict=True, assign=True)
    except (RuntimeError, AttributeError) as error:
        raise _unfit(path, error) from error
    for first, *others in tied:
        for name in others:
            owner, _, leaf = name.rpartition(".")
            model.get_submodule(owner)._parameters[leaf] = model.get_parameter(first)


def _give_back(model: nn.Module, kept: Mapping[str, Any]) -> None:
    """Give inserted modules the tensors of what they replace, so that they can be removed again."""
    for inserted in inserted_modules(model).values():
        edit, replaced = inserted.edit, inserted.replaced
        if edit is None or replaced is None:
            continue
        keys = replaced.state().keys()
        if all(isinstance(kept.get(f"{edit.name}.{key}"), torch.Tensor) for key in keys):
            inserted.replaced = replaced.filled({key: kept[f"{edit.name}.{key}"] for key in keys})


def _unfit(path: _Path, error: Exception) -> FileError:
    lines = " ".join(line.strip() for line in str(error).splitlines())
    return FileError(f"{path} does not fit its own recipe. {lines:.500}", hint="It is damaged.")


def _tied(model: nn.Module) -> list[list[str]]:
    """For each shared parameter, its names."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [group for group in names.values() if len(group) > 1]
