"""The cost table: many attention modules on many models, the base counted once per model."""

from attn_inject.table.compare import compare
from attn_inject.table.fit import fit
from attn_inject.table.stats import stats

__all__ = ["compare", "fit", "stats"]
