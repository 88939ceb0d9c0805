"""The caller's random numbers are not disturbed."""

import torch

from attn_inject.models.randomness import seeded


def test_a_seed_holds_inside_and_leaves_no_trace_outside():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1):
        assert torch.equal(torch.rand(3), first)
