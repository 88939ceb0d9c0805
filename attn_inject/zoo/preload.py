"""Imported once by the process that workers are forked from, so that none of them waits for torch."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fvcore.nn
    import timm
    import torchvision

    from attn_inject import keeping

__all__ = ["fvcore", "keeping", "timm", "torchvision"]
