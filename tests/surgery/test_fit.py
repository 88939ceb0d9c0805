"""Which modules a site takes."""

import pytest

import attn_inject


@pytest.mark.parametrize(
    ("spec", "sites"),
    [("se", 6), ("se:squeeze=none", 5), ("ge-theta", 6), ("ge-theta:extent=4", 5), ("simam", 5)],
)
def test_a_block_whose_grid_nobody_reads_takes_channel_gates_only(spec, sites):
    """The last block of a transformer that reads its class token; an option may decide the kind."""
    result = attn_inject.inject("test_vit", spec, dry_run=True)
    assert len(result.sites) == sites
