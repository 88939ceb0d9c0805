"""A modified model as a folder for the Hugging Face Hub, and onto it."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_inject import models
from attn_inject.checks.forward import equal, largest_difference, run
from attn_inject.cost.comparison import Comparison, Side
from attn_inject.cost.count import count
from attn_inject.display.model_card import Card, card_text
from attn_inject.errors import CheckFailedError, FileError, MissingExtraError, UsageError
from attn_inject.files import formats, hub_folder, loading
from attn_inject.files.contents import Contents
from attn_inject.files.structure_digest import state_digest
from attn_inject.models.clone import to_meta
from attn_inject.models.inputs import InputSpec
from attn_inject.models.library_errors import one_line
from attn_inject.models.network import hub, without_retries
from attn_inject.operate.compare import inserted_of
from attn_inject.operate.containment import contained
from attn_inject.operate.injected import Injected
from attn_inject.operate.load_model import load_model
from attn_inject.operate.saving import save
from attn_inject.request import ModelRequest
from attn_inject.surgery.inserted import recorded_edits
from attn_inject.surgery.origin import origin_of
from attn_inject.surgery.removal import undo
from attn_inject.versions import versions
from attn_inject.weights import WeightsOrigin

CHECKS = (
    ("digest", "the tensors are those that were saved, bit for bit"),
    ("structure", "the architecture built again is the one that was saved"),
    ("output", "the model read back from the folder gives the same output, bit for bit"),
)
_JSON = (bool, int, float, str, list, tuple)


@dataclasses.dataclass(frozen=True)
class Source:
    """What is written, and how it is opened.

    Attributes:
        model: A file that attn-inject wrote, what `inject` returned, or a modified module.
        base: As for `load`.
        trust: As for `load`.
        example_input: As for `export`.
        input_size: (C, H, W) in pixels, if the model does not state it.
    """

    model: nn.Module | Injected | str | Path
    base: nn.Module | str | ModelRequest | None = None
    trust: bool = False
    example_input: Any = None
    input_size: Sequence[int] | None = None


def inputs_of(module: nn.Module, example_input: Any, input_size: Sequence[int] | None) -> InputSpec:
    """How to call a model that was built; a modified one knows its input size."""
    origin = origin_of(module)
    size = input_size if input_size is not None or origin is None else origin.provenance.input_size
    return models.from_object(module, example_input=example_input, input_size=size).inputs


def write_hub_folder(
    source: Source, folder: str | Path, *, repository: str = "", force: bool = False
) -> dict[str, Any]:
    """Write a modified model as a folder that `attn_inject.load` and timm load, with a card.

    Args:
        source: The model.
        folder: It is made, if its parent exists.
        repository: `ORG/NAME`, where it will be; a local folder by default.
        force: Whether a folder that was written before may be replaced.

    Returns:
        The document of `export --json`.

    Raises:
        FileError: A file cannot be read or written, or holds attention only.
        FitError: The model has no inserted modules.
        CheckFailedError: The model read back gives another output; nothing is written.
    """
    hub_folder.check_folder(folder, force=force)
    with tempfile.TemporaryDirectory() as scratch:
        contents = _contents(source, Path(scratch) / "model.safetensors")
    path = source.model if isinstance(source.model, str | Path) else Path(folder)
    base = load_model(source.base).model if isinstance(source.base, str | ModelRequest) else source.base
    loading.check_digest(contents, path)
    model = loading.rebuilt(contents, path, base=base, trust=source.trust)
    inputs = inputs_of(model, source.example_input, source.input_size)

    def check(written: Path) -> None:
        # Not before the tensors are written: a model may change its buffers.
        output = run(model, inputs, seed=0, batch_size=1)
        again = run(loading.load(written, base=base, trust=source.trust), inputs, seed=0, batch_size=1)
        if not equal(again, output):
            raise CheckFailedError(
                f"The model read back differs by {largest_difference(again, output):.3g}.",
                hint="Nothing was saved.",
            )

    config = _configuration(model)
    own = Path(folder).resolve().name
    card = Card(
        name=repository or own,
        place=f"hf-hub:{repository}" if repository else own,
        costs=_costs(model, inputs, contents),
        weights=contents.recipe.provenance.weights,
        checks=CHECKS,
        loads_in_timm=_loads_in_timm(contents),
        input_size=contents.recipe.provenance.input_size,
        front=_front(config, contents.recipe.provenance.weights),
        versions=versions(),
    )
    hub_folder.write_folder(folder, contents, config=config, card=card_text(card), force=force, check=check)
    size = sum((Path(folder) / name).stat().st_size for name in hub_folder.FILES)
    nothing = dict.fromkeys(("batch_size", "samples", "difference", "largest", "top1"))
    return {"file": str(folder), "bytes": size, "format": "hub", **nothing}


@contained()
def push(
    model: nn.Module | Injected | str | Path,
    repository: str,
    *,
    private: bool = False,
    message: str = "",
    base: nn.Module | str | ModelRequest | None = None,
    trust: bool = False,
) -> dict[str, Any]:
    """Upload a modified model to the Hugging Face Hub, with timm's configuration and a card.

    Args:
        model: A file that attn-inject wrote, what `inject` returned, or a modified module.
        repository: `ORG/NAME`; it is made if it does not exist.
        private: Whether a new repository is private.
        message: Of the commit.
        base: As for `load`.
        trust: As for `load`.

    Returns:
        The document of `push --json`: `repository`, `url` of the commit, and `files`.

    Raises:
        UsageError: `repository` is not of the form `ORG/NAME`.
        FileError: The file cannot be read, or the Hub refuses or cannot be reached.
        CheckFailedError: The model read back gives another output; nothing is uploaded.
        MissingExtraError: huggingface_hub cannot be imported.
    """
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name) or "/" in name or ":" in repository:
        raise UsageError(f"{repository!r} names no repository.", hint="Write ORG/NAME.")
    client = _client()
    told = model if isinstance(model, str | Path) else "The model"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / name
        with without_retries(hub()) as reachable:
            if not reachable:
                raise _not_uploaded(told, repository, f"{hub()} cannot be reached.")
        write_hub_folder(Source(model, base=base, trust=trust), folder, repository=repository)
        try:
            api = client.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                commit_message=message or "Upload a model that attn-inject modified",
            )
        except Exception as error:  # the client's own, those of its HTTP library, ValueError
            raise _not_uploaded(told, repository, one_line(error)) from error
    url = str(getattr(commit, "commit_url", commit))
    return {"repository": repository, "url": url, "files": list(hub_folder.FILES)}


def _client() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            f"Uploading needs the package huggingface_hub: {one_line(error)}.",
            hint="pip install huggingface_hub",
        ) from error
    return huggingface_hub


def _not_uploaded(told: str | Path, repository: str, reason: str) -> FileError:
    return FileError(
        f"{told} was not uploaded to {repository}: {reason}",
        hint="It takes a network and a token that may write (`hf auth login`, or HF_TOKEN). Without: "
        "attn-inject export FILE --out FOLDER --format hub",
    )


def _contents(source: Source, scratch: Path) -> Contents:
    """The whole model as data, without the tensors of what was replaced, which no strict loading takes."""
    file = source.model
    if not isinstance(file, str | Path):
        file = save(file, scratch)
    contents = formats.read(file, mmap=False)
    if contents.whole is not None:
        raise FileError(
            f"{file} holds attention modules only, no base.",
            hint=f"Put them onto it first: attn-inject MODEL --apply {file} --weights FILE --out FILE",
        )
    if not contents.replaced:
        return contents
    loading.check_digest(contents, file)
    return dataclasses.replace(contents, replaced={}, digest=state_digest(contents.state_dict))


def _costs(model: nn.Module, inputs: InputSpec, contents: Contents) -> Comparison:
    provenance = contents.recipe.provenance
    base = to_meta(model)
    undo(base, recorded_edits(base))
    counted = count(model, inputs)
    told = {"model": provenance.name, "source": provenance.source}
    return Comparison(
        a=Side(**told, figures=count(base, inputs).cost, inserted=()),
        b=Side(**told, figures=counted.cost, inserted=tuple(inserted_of(model, counted))),
    )


def _configuration(model: nn.Module) -> dict[str, Any]:
    """What JSON can hold of timm's configuration, with the present number of classes; {} for other models."""
    config = getattr(model, "pretrained_cfg", None)
    if not isinstance(config, Mapping):
        return {}
    present = {key: getattr(model, key) for key in ("num_classes", "num_features") if hasattr(model, key)}
    return {key: value for key, value in {**config, **present}.items() if isinstance(value, _JSON)}


def _loads_in_timm(contents: Contents) -> bool:
    """Whether the base is timm's, no code has to be trusted, and strict loading finds tensors alone."""
    try:
        loading.check_trust(contents.recipe, "", trust=False)
    except FileError:
        return False
    is_named = contents.recipe.provenance.source == "timm"
    return is_named and all(isinstance(value, torch.Tensor) for value in contents.state_dict.values())


def _front(config: Mapping[str, Any], weights: WeightsOrigin | None) -> dict[str, str]:
    """License and base, if they are known; a task, if the model is a classifier."""
    front = {"pipeline_tag": "image-classification"} if config.get("num_classes") else {}
    if weights is None or weights.kind not in ("timm", "hub"):
        return front
    if licence := config.get("license"):
        front["license"] = str(licence)
    return front | {"base_model": weights.name if weights.kind == "hub" else f"timm/{weights.name}"}
