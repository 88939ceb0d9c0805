"""What a saved file holds, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from attn_inject.display.grid import Table
from attn_inject.display.listing import option_text
from attn_inject.display.numbers import plural, scaled, storage
from attn_inject.display.page import Part
from attn_inject.weights import WeightsOrigin


def saved_page(content: Mapping[str, Any]) -> list[Part]:
    """The page that `show` prints, from what `attn_inject.describe` returns."""
    sites = content["sites"]
    page: list[Part] = [_headline(content)]
    if sites:
        page += [_site_grid(sites), _option_grid(sites)]
    return [*page, _tensor_grid(content), _origin(content)]


def applied_page(file: str, content: Mapping[str, Any]) -> list[Part]:
    """The page that `--apply` prints: `content` is what `describe` returns of the whole model's file."""
    modules = plural(len(content["sites"]), "attention module")
    model = f"{content['model']} ({content['source']})"
    return [
        f"applied {modules} of {file} to {model}",
        f"saved {content['file']}, {storage(content['bytes'])}",
    ]


def exported_page(file: str, content: Mapping[str, Any]) -> list[Part]:
    """The page that `export` prints, from what `attn_inject.export` returns."""
    ending = f"saved {content['file']}, {storage(content['bytes'])}"
    if content["format"] == "hub":
        return [f"wrote {file} as a folder for the Hugging Face Hub, with a card", ending]
    if content["samples"] is None:
        return [f"wrote {file} as {content['format']}, tensors and recipe", ending]
    batch = "any batch size" if content["batch_size"] is None else f"a batch of {content['batch_size']}"
    difference, largest = f"{content['difference']:.3g}", f"{content['largest']:.3g}"
    lines = [
        f"exported {file} as {content['format']}, for {batch}",
        f"max |difference| to the model {difference} (largest output {largest}) "
        f"on {plural(content['samples'], 'image')}",
    ]
    if content["top1"] is not None:
        lines.append(f"top-1 agreement {content['top1']} of {content['samples']}")
    return ["\n".join(lines), ending]


def pushed_page(file: str, content: Mapping[str, Any]) -> list[Part]:
    """The page that `push` prints, from what `attn_inject.push` returns."""
    files = ", ".join(content["files"])
    return [f"uploaded {file} to {content['repository']}: {files}", content["url"]]


def restored_page(content: Mapping[str, Any]) -> list[Part]:
    """The page that `restore` prints, from what `attn_inject.restore` returns."""
    model = f"{content['model']} ({content['source']})"
    base, removed = plural(content["tensors"], "tensor"), plural(content["removed_tensors"], "tensor")
    lines = [
        f"restored {model}: {base}, {scaled(content['elements'])} elements",
        f"left out {removed} of attention, {scaled(content['removed_elements'])} elements",
    ]
    if content["taken"]:
        lines.append(f"took {plural(len(content['taken']), 'tensor')} from the base's own file")
    return ["\n".join(lines), f"saved {content['file']}"]


def _headline(content: Mapping[str, Any]) -> str:
    size = content["input_size"]
    built = [f"input {'x'.join(map(str, size))}"] if size else []
    built += [f"{name}={value}" for name, value in content["arguments"].items()]
    modules = plural(len(content["sites"]), "attention module")
    model = f"{content['model']} ({content['source']})"
    first = f"{content['file']}: {model} with {modules}, {storage(content['bytes'])}"
    return "\n".join([first, ", ".join(built)]) if built else first


def _site_grid(sites: Iterable[Mapping[str, Any]]) -> Table:
    rows = []
    for kind, run in groupby(sites, key=_kind):
        names = [site["name"] for site in run]
        shown = names[0] if len(names) == 1 else f"{names[0]} .. {names[-1]}"
        rows.append((shown, str(len(names)), *kind))
    return Table.of(
        "sites|>count|attention|map (CxHxW)|>params and buffers each|note", rows
    ).without_empty_columns()


def _kind(site: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a site after its name; neighbours with equal ones share a row."""
    shape = [site["channels"], site["height"], site["width"]]
    map_size = "x".join(str(length) for length in shape if length is not None)
    return site["attention"], f"{map_size} {site['layout']}", scaled(site["elements"]), site["note"]


def _option_grid(sites: Iterable[Mapping[str, Any]]) -> Table:
    rows = dict.fromkeys(
        (site["attention"], site["placement"], site["start"], option_text(site["options"])) for site in sites
    )
    return Table.of("attention|placement|start|options", rows).without_empty_columns()


def _tensor_grid(content: Mapping[str, Any]) -> Table:
    inserted = content["inserted_tensors"], content["inserted_elements"]
    whole = content["tensors"], content["elements"]
    base = whole[0] - inserted[0], whole[1] - inserted[1]
    rest = "base" if content["only"] == "all" else "running statistics"
    rows = [(rest, base), ("attention", inserted), ("together", whole)]
    return Table.of("part|>tensors|>params and buffers", [(name, str(n), scaled(e)) for name, (n, e) in rows])


def _origin(content: Mapping[str, Any]) -> str:
    written = ", ".join(f"{library} {version}" for library, version in content["versions"].items())
    weights = f"weights {WeightsOrigin(**content['weights'])}\n" if content.get("weights") else ""
    return f"{weights}digest {content['digest']}\nwritten with {written}"
