"""Where models come from: one file a place, all returning the same `LoadedModel`."""

from attn_inject.sources.from_object import from_object
from attn_inject.sources.loaded import LoadedModel, Provenance
from attn_inject.sources.loading import load, rebuild
from attn_inject.sources.names import model_names
from attn_inject.versions import versions

__all__ = ["LoadedModel", "Provenance", "from_object", "load", "model_names", "rebuild", "versions"]
