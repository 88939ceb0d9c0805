"""The cost table: many attention modules on many models, the base counted once per model."""

from attn_inject.operate.compare import compare
from attn_inject.operate.fit import fit
from attn_inject.operate.stats import stats

__all__ = ["compare", "fit", "stats"]
