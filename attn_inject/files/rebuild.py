"""The modified architecture of a recipe, built again without values, for `load` to fill."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import nn

from attn_inject import models
from attn_inject.attention.registry import find
from attn_inject.errors import AttnInjectError, FileError, UnknownNameError
from attn_inject.files.recipe import Recipe
from attn_inject.files.structure_digest import first_difference, structure
from attn_inject.models.clone import clone_with
from attn_inject.surgery.apply import apply_edits, build_inserted
from attn_inject.surgery.edit import Edit
from attn_inject.surgery.inserted import AttnInject


def rebuild(
    recipe: Recipe,
    path: str,
    *,
    keys: Collection[str],
    kept: Mapping[str, str] | None,
    base: nn.Module | None = None,
    trust: bool = False,
) -> nn.Module:
    """Build the architecture, repeat the edits, and make sure that the result is the model that was saved.

    Args:
        recipe: What to build.
        path: The file, for errors.
        keys: Of the state dict that will be assigned; other buffers get their values here.
        kept: The saved structure, see `structure_digest`; None to skip the comparison.
        base: The untouched architecture, if it has no name; it is not changed.
        trust: Whether code that the recipe names may run.

    Returns:
        The modified model, with everything that `keys` name on the meta device, and all else real.

    Raises:
        FileError: The architecture built now is another one; the first differing module is named.
        AttnInjectError: It cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        model = _empty(recipe, path, base, trust)
        try:
            repeat(model, recipe, path)
        except AttnInjectError:
            if (
                kept is not None
            ):  # a renamed module is a better message than an edit that does not find its block
                require_base(_empty(recipe, path, base, trust), kept, recipe, path)
            raise
        _fill_own_buffers(model, recipe.edits, keys)
    if kept is not None:
        require_structure(model, kept, recipe, path)
    return model


def repeat(model: nn.Module, recipe: Recipe, path: str) -> None:
    """Repeat the recorded edits on a model, in place.

    Raises:
        FileError: They do not fit it.
    """
    try:
        apply_edits(model, recipe.edits)
    except UnknownNameError as error:
        for edit in recipe.edits:
            find(edit.attention)  # raises for a module that is not installed; else it is an option
        raise _unfitting(path, error, recipe) from error
    except AttnInjectError:
        raise
    except Exception as error:  # a recipe may name anything
        raise _unfitting(path, error, recipe) from error


def _unfitting(path: str, error: Exception, recipe: Recipe) -> FileError:
    return FileError(f"{path} does not fit the architecture built now: {error}", hint=versions_hint(recipe))


def require_base(model: nn.Module, kept: Mapping[str, str], recipe: Recipe, path: str) -> None:
    """Compare an untouched model with the recorded structure of the modified one.

    Raises:
        FileError: They differ; the message names the first difference.
    """
    # Replaced modules were recorded after the replacement.
    others = [edit.name for edit in recipe.edits if edit.replaces]
    others += [name for name, described in kept.items() if described.startswith(f"{AttnInject.__name__}(")]
    own = {
        name: described
        for name, described in kept.items()
        if not any(name == other or name.startswith(f"{other}.") for other in others)
    }
    built = structure(model)
    if difference := first_difference(own, {name: built[name] for name in built if name in own}):
        raise _other(path, difference, recipe)


def require_structure(model: nn.Module, kept: Mapping[str, str], recipe: Recipe, path: str) -> None:
    """Compare a model with the structure that was recorded when the file was written.

    Raises:
        FileError: They differ; the message names the first difference.
    """
    if difference := first_difference(kept, structure(model)):
        raise _other(path, difference, recipe)


def _other(path: str, difference: str, recipe: Recipe) -> FileError:
    hint = versions_hint(recipe)
    if recipe.versions == models.versions():
        given = ", ".join(f"{key}={value!r}" for key, value in recipe.provenance.arguments.items())
        made_of = f"{recipe.provenance.source}/{recipe.provenance.name}{f' with {given}' if given else ''}"
        hint = f"It was made from {made_of}. If this is what it is loaded onto, the file is damaged."
    return FileError(f"{path} was written for another architecture: {difference}.", hint=hint)


def _empty(recipe: Recipe, path: str, base: nn.Module | None, trust: bool) -> nn.Module:
    """The untouched architecture; tensors that the file holds are on meta, all others are real."""
    if base is None:
        return models.rebuild(recipe.provenance, empty=True, trust=trust, where=path).model
    stored = {id(tensor) for tensor in base.state_dict(keep_vars=True).values()}
    return clone_with(
        base,
        lambda tensor: (
            torch.empty_like(tensor, device="meta") if id(tensor) in stored else tensor.detach().clone()
        ),
    )


def _fill_own_buffers(model: nn.Module, edits: Iterable[Edit], keys: Collection[str]) -> None:
    """Give buffers of inserted modules, made on meta, their values if no state dict keeps them."""
    for edit in edits:
        name = edit.path
        inserted = model.get_submodule(name)
        lost = [key for key, _ in inserted.named_buffers() if f"{name}.{key}" not in keys]
        if not lost:
            continue
        real = build_inserted(edit)
        for key in lost:
            owner, _, leaf = key.rpartition(".")
            inserted.get_submodule(owner)._buffers[leaf] = real.get_buffer(key)


def versions_hint(recipe: Recipe) -> str:
    """Which libraries are no longer those that a file was written with."""
    now = models.versions()
    then = recipe.versions
    changed = [f"{name} {old} (now {now.get(name)})" for name, old in then.items() if now.get(name) != old]
    if not changed:
        return "The installed libraries have the versions that it was written with; it is damaged."
    return f"It was written with {', '.join(changed)}; install those versions."
