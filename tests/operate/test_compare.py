"""Two models side by side."""

from __future__ import annotations

import pytest

import attn_inject
from attn_inject.errors import FileError, UsageError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    se, eca = folder / "se.pt", folder / "eca.pt"
    attn_inject.inject("test_resnet", "se", check="off", out=se)
    attn_inject.inject("test_resnet", "eca", stage=(3, 4), check="off", out=eca)
    return str(se), str(eca)


def test_each_side_is_what_its_table_says(files):
    comparison = attn_inject.compare(*files)
    rows = {
        row.attention: row
        for table in (
            attn_inject.stats(["test_resnet"], "se", per_site=True),
            attn_inject.stats(["test_resnet"], "eca", stage=(3, 4), per_site=True),
        )
        for row in table.rows
    }
    for side, attention in ((comparison.a, "se"), (comparison.b, "eca")):
        row = rows[attention]
        assert (side.figures.params, side.figures.flops) == (row.params, row.flops)
        assert side.figures.activations == row.activations
        assert [item.figures.flops for item in side.inserted] == [site.flops for site in row.per_site]
        assert [item.figures.gate_bytes for item in side.inserted] == [s.gate_bytes for s in row.per_site]
    assert comparison.difference.params == rows["eca"].params - rows["se"].params


def test_sites_of_either_are_listed(files):
    document = attn_inject.compare(*files).to_json()
    assert [site["module"] for site in document["sites"]] == [
        f"layer{stage}.0.attn_inject" for stage in (1, 2, 3, 4)
    ]
    assert document["sites"][0]["b"] is None
    assert (document["sites"][3]["a"]["attention"], document["sites"][3]["b"]["attention"]) == ("se", "eca")
    assert document["sites"][3]["b"]["placement"] == "after"


def test_a_file_beside_its_base(files):
    comparison = attn_inject.compare("test_resnet", files[0])
    assert comparison.a.inserted == ()
    assert comparison.difference.params == 6567


def test_bad_sides_are_told(tmp_path):
    with pytest.raises(UsageError, match="models are named"):
        attn_inject.compare("resnet1[08]*", "test_resnet")
    with pytest.raises(FileError, match="is a file"):
        attn_inject.compare("test_resnet", str(tmp_path / "missing.pt"))
