"""The names of a classifier's classes, where its library knows them."""

from __future__ import annotations

from collections.abc import Sequence

from attn_inject.models.loaded import LoadedModel


def class_names(loaded: LoadedModel, count: int) -> Sequence[str]:
    """One name for each of `count` outputs: ImageNet's for 1000 of a library's model, else numbers."""
    if count == 1000 and (loaded.provenance.source == "timm" or hasattr(loaded.model, "pretrained_cfg")):
        from timm.data import ImageNetInfo

        info = ImageNetInfo("imagenet-1k")
        return [info.index_to_description(index) for index in range(count)]
    if count == 1000 and loaded.provenance.source == "torchvision":
        from torchvision.models import get_model_weights

        weights = get_model_weights(loaded.provenance.name.partition(".")[0])
        names: Sequence[str] = weights.DEFAULT.meta.get("categories", ())
        if len(names) == count:
            return names
    return [f"class {index}" for index in range(count)]
