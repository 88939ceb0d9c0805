import math
import re

import pytest
import torch

from attn_inject.attention import registry
from attn_inject.attention.catalog import ROWS
from attn_inject.attention.contract import option_defaults
from attn_inject.attention.factory import create_attention
from attn_inject.request import PLACEMENTS

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def test_names_and_aliases_are_used_once():
    names = [name for row in ROWS for name in (row.name, *row.aliases)]
    assert len(set(names)) == len(names)


def test_nothing_of_the_catalogue_is_refused():
    assert list(registry.entries())[: len(ROWS)] == [row.name for row in ROWS]


@every_row
def test_every_row_says_everything(row):
    assert re.fullmatch(r"[a-z]+2?(-[a-z]+){0,2}", row.name)
    assert row.title
    assert re.fullmatch(r"[A-Z]\w+ (et al\.|and [A-Z]\w+)", row.authors)
    if row.arxiv:
        assert re.fullmatch(r"\d{4}\.\d{5}", row.arxiv)
        assert row.year == 2000 + int(row.arxiv[:2]), "the year is that of the arXiv id"
    else:
        assert row.venue.endswith(str(row.year))
    assert row.paper_url.startswith("https://")
    assert row.placement in PLACEMENTS
    assert row.inverted in ("", *PLACEMENTS)
    assert set(row.stages) <= {1, 2, 3, 4}
    assert row.blocks in ("all", "last", "second")
    assert row.acts_on in ("channel", "spatial")
    assert row.summary
    assert row.summary[0].islower()
    assert not row.summary.endswith(".")


@every_row
def test_every_option_fits_in_json_and_on_the_command_line(row):
    assert all(type(value) in (bool, int, float, str) for value in row.options.values())


@every_row
def test_options_are_the_defaults_of_the_class_except_where_a_name_is_a_variant(row):
    defaults = option_defaults(registry.load(row))
    assert row.options.keys() == defaults.keys()
    if row.name not in ("ela-t", "ela-b", "ela-s"):
        assert dict(row.options) == defaults


@every_row
@pytest.mark.parametrize(
    ("channels", "size"), [(64, (56, 56)), (256, (14, 7)), (384, (1, 1)), (2048, (7, 7))]
)
def test_the_formula_counts_the_parameters(row, channels, size):
    with torch.device("meta"):
        module = create_attention(row.name, channels=channels, size=size)
    options = {
        **row.options,
        "groups": 32 if row.name == "sa" and channels == 64 else row.options.get("groups"),
    }
    letters = {
        "C": channels,
        "H": size[0],
        "W": size[1],
        "r": options.get("reduction"),
        "k": options.get("kernel_size"),
        "G": options.get("groups"),
        "E": options.get("heads"),
        "log2": math.log2,
    }
    assert eval(row.parameters, letters) == sum(p.numel() for p in module.parameters())
