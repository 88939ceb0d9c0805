import pytest
import torch

from attn_inject.attention import parts


@pytest.mark.parametrize(
    ("total", "limit", "expected"),
    [(24, 16, 12), (144, 32, 24), (64, 64, 64), (64, 100, 64), (17, 16, 1), (8, 0, 1), (8, -3, 1), (1, 1, 1)],
)
def test_largest_divisor(total, limit, expected):
    assert parts.largest_divisor(total, limit) == expected


@pytest.mark.parametrize(
    ("value", "channels", "expected"),
    [("C", 48, 48), ("C/8", 48, 6), ("C / 8", 20, 2), ("C/8", 4, 0), ("C/16", 64, 4), (3, 48, 3)],
)
def test_group_count(value, channels, expected):
    assert parts.group_count("ELA", "groups", value, channels) == expected


@pytest.mark.parametrize("value", ["c", "C/", "C/0", "8", "", "C/8/2", 0, -1, True, 2.0])
def test_group_count_refuses(value):
    with pytest.raises(
        ValueError, match=r"ELA: groups=.* is not accepted; groups is a whole number from 1, or"
    ):
        parts.group_count("ELA", "groups", value, 48)


@pytest.mark.parametrize(("value", "count", "odd"), [
    (1, True, True), (2, True, False), (0, False, False), (-1, False, False), (3.0, False, False),
    (True, False, False), ("3", False, False), (None, False, False),
])  # fmt: skip
def test_what_is_a_count_and_what_is_odd(value, count, odd):
    assert parts.is_count(value) is count
    assert parts.is_odd(value) is odd


def test_refusals_name_module_option_value_and_what_is_accepted():
    with pytest.raises(
        ValueError, match=r"^SE: reduction=0 is not accepted; reduction is a whole number from 1\.$"
    ):
        parts.require_count("SE", "reduction", 0)
    with pytest.raises(ValueError, match=r"^ECA: kernel_size=4 is not accepted; kernel_size is an odd whole"):
        parts.require_odd("ECA", "kernel_size", 4)
    with pytest.raises(
        ValueError, match=r"^ELA: groups=5 is not accepted; groups is a divisor of the 24 chan"
    ):
        parts.require_divisor("ELA", "groups", 5, 24)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_strips(layout):
    x = torch.randn(2, 3, 5, 4).to(memory_format=layout)
    z_h, z_w = parts.strip_means(x)
    torch.testing.assert_close(z_h, x.sum(3) / 4)
    torch.testing.assert_close(z_w, x.sum(2) / 5)
    gated = parts.strip_gate(x, z_h, z_w)
    torch.testing.assert_close(gated, torch.einsum("nchw,nch,ncw->nchw", x, z_h, z_w))
    assert gated.is_contiguous(memory_format=layout)
    assert parts.strip_gate(x.bfloat16(), z_h, z_w).dtype == torch.bfloat16


@pytest.mark.parametrize("gradient", [True, False])
def test_peak(gradient):
    x = torch.tensor([[1.0, 3.0, 3.0], [0.0, -1.0, 0.0]], requires_grad=True)
    with torch.set_grad_enabled(gradient):
        assert parts.peak(x, 1).tolist() == [[3.0], [0.0]]
    parts.peak(x, 1).sum().backward()
    assert x.grad is not None
    assert sorted(x.grad.sum(1).tolist()) == [1.0, 1.0]
