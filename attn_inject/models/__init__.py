"""Where models come from: one file per source, all returning the same `LoadedModel`."""

from attn_inject.models.build import load, rebuild
from attn_inject.models.from_object import from_object
from attn_inject.models.loaded import LoadedModel, Provenance
from attn_inject.models.names import model_names
from attn_inject.versions import versions

__all__ = ["LoadedModel", "Provenance", "from_object", "load", "model_names", "rebuild", "versions"]
