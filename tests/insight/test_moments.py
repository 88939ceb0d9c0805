"""Parts give the figures of the whole."""

import pytest
import torch

from attn_inject.insight.moments import BINS, Moments, edges


@pytest.mark.parametrize("parts", [(2,), (1, 1), (3, 0, 5), (1, 7)])
def test_parts_of_different_means_give_the_figures_of_the_whole(parts):
    pieces = [torch.linspace(0, 1, 11).repeat(count) * 0.9**at for at, count in enumerate(parts)]
    moments = Moments()
    for piece in pieces:
        moments.add(piece)
    whole = torch.cat(pieces)
    expected = [
        whole.mean(),
        whole.std(correction=0),
        (whole < 0.05).float().mean(),
        (whole >= 0.95).float().mean(),
    ]
    torch.testing.assert_close(moments.figures(), torch.stack(expected))
    assert moments.count == len(whole)


def test_values_beyond_the_range_count_in_the_outermost_parts():
    moments = Moments()
    moments.add(torch.tensor([-3.0, 0.5, 7.0, float("nan")], dtype=torch.bfloat16))
    assert moments.histogram.sum() == 4
    assert moments.histogram[0] == 2
    assert moments.histogram[-1] == 1
    assert len(edges()) == BINS + 1
