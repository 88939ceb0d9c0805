"""What attention does in a model on images, as one offline page; a small script in it draws the maps."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources
from typing import Any

from attn_inject.display.diff_html import table_html
from attn_inject.display.escaping import html_json, html_text
from attn_inject.display.grid import Table
from attn_inject.display.look_page import LEGEND, headline, sites_table, times
from attn_inject.insight.seen import Drawn, GateSeen, Look, Picture


def look_html(look: Look) -> str:
    """The page that `look --out page.html` writes."""
    text = _part("page.html")
    filled = {
        "TITLE": html_text(look.model),
        "HEADLINE": "<br>".join(map(html_text, headline(look).splitlines())),
        "VERDICT": "".join(f"<li>{html_text(line)}</li>" for line in look.verdict),
        "SITES": table_html(sites_table(look.sites)),
        "LEGEND": html_text(LEGEND),
        "CLASSES": _classes(look),
        "NOTES": "".join(f"<p class='note'>{html_text(line)}</p>" for line in (*look.notes, times(look))),
        "STYLE": _part("page.css"),
        "SCRIPT": _part("page.js"),
        "DATA": html_json(document(look)),
    }
    # In one pass over the template, so that nothing that a model is called is taken for a mark.
    pieces = text.split("@@")
    return "".join(filled[piece] if at % 2 else piece for at, piece in enumerate(pieces))


def look_frame(look: Look) -> str:
    """The page within a notebook, as a document of its own, so that two do not disturb each other."""
    style = "width:100%;height:48em;border:0"
    page = escape(look_html(look), quote=True)
    return f'<iframe title="attention" style="{style}" srcdoc="{page}"></iframe>'


def document(look: Look) -> dict[str, Any]:
    """What the script draws."""
    names = [site.site for site in look.sites]
    return {
        "classes": list(look.classes),
        "sites": [
            {"name": site.site, "gates": list(map(_gate, site.gates)), "scale": look.scales.get(site.site)}
            for site in look.sites
        ],
        "pictures": [_picture(picture, names) for picture in look.pictures],
    }


def _gate(gate: GateSeen) -> dict[str, Any]:
    return {
        "name": gate.name,
        "mean": gate.mean,
        "std": gate.std,
        "by_class": list(gate.by_class.values()),
        "histogram": list(gate.histogram),
    }


def _picture(picture: Picture, sites: list[str]) -> dict[str, Any]:
    return {
        "name": picture.name,
        "image": f"data:image/jpeg;base64,{base64.b64encode(picture.thumbnail).decode()}",
        "said": picture.said,
        "base_said": picture.base_said,
        "maps": [_drawn(picture.maps.get(site)) for site in sites],
        "cams": [_drawn(picture.base_cam), _drawn(picture.cam)] if picture.cam else None,
        "cam_class": picture.cam_class,
    }


def _drawn(drawn: Drawn | None) -> list[Any] | None:
    if drawn is None:
        return None
    rows, columns, values = drawn
    return [rows, columns, base64.b64encode(values).decode()]


def _classes(look: Look) -> str:
    """The mean of every gate on every class, which the lines of the figure show."""
    if len(look.classes) < 2:
        return ""
    rows = [
        (
            site.site,
            gate.name,
            *(f"{gate.by_class.get(name, 0.0):.3f}" for name in look.classes),
            _spread(gate),
        )
        for site in look.sites
        for gate in site.gates
    ]
    titles = "|".join(["site", "gate", *(f">{name.replace('|', ' ')}" for name in look.classes), ">spread"])
    table = table_html(Table.of(titles, rows))
    return f"<details><summary>The figure in numbers</summary>{table}</details>"


def _spread(gate: GateSeen) -> str:
    return "" if gate.class_spread is None else f"{gate.class_spread:.3f}"


def _part(name: str) -> str:
    return resources.files("attn_inject.display").joinpath("look_parts", name).read_text(encoding="utf-8")
