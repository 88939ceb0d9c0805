"""For authors of attention modules: the contract test that the built-in ones pass."""

from attn_inject.attention.testing import check_attention as check_attention

__all__ = ["check_attention"]
