import pytest
import torch

from attn_inject.attention.bam import BAM
from tests.attention.agreement import Tensors, assert_agrees, batch_norm, layer, logistic, means, rectified


def code(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    hidden = batch_norm(tensors, "channel.1", layer(tensors, "channel.0", means(x)), training)
    m_c = layer(tensors, "channel.3", rectified(hidden))[:, :, None, None]
    m_s = rectified(batch_norm(tensors, "spatial.1", layer(tensors, "spatial.0", x), training))
    for at in (3, 6):
        m_s = layer(tensors, f"spatial.{at}", m_s, dilation=4)
        m_s = rectified(batch_norm(tensors, f"spatial.{at + 1}", m_s, training))
    m_s = layer(tensors, "spatial.9", m_s)
    return x * (1 + logistic(m_c * m_s))


def literal(tensors: Tensors, x: torch.Tensor, training: bool) -> torch.Tensor:
    m_c = layer(tensors, "channel.1", layer(tensors, "channel.0", means(x)))
    m_c = batch_norm(tensors, "channel.2", m_c, training)[:, :, None, None]
    m_s = layer(tensors, "spatial.0", x)
    for at in (1, 2):
        m_s = layer(tensors, f"spatial.{at}", m_s, dilation=4)
    m_s = batch_norm(tensors, "spatial.4", layer(tensors, "spatial.3", m_s), training)
    return x + x * logistic(m_c + m_s)


@pytest.mark.parametrize(("is_literal", "formula"), [(False, code), (True, literal)])
def test_agrees_with_its_formula(is_literal, formula):
    assert_agrees(BAM(16, reduction=4, literal=is_literal), formula, (3, 16, 6, 5))


@pytest.mark.parametrize("option", ["reduction", "dilation"])
def test_refuses_what_is_no_count(option):
    with pytest.raises(ValueError, match=f"BAM: {option}=0 is not accepted; {option} is a whole number"):
        BAM(16, **{option: 0})
