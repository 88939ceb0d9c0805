"""Imported once by the process that workers are forked from, so that none of them waits for torch."""

import atexit
import contextlib
import gc
import signal
import warnings

# A terminal sends Ctrl-C to every process of its group; the driver alone decides.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.SIG_IGN)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fvcore.nn
    import timm
    import torchvision

    from attn_inject.operate import saving

# What is imported stays: a full collection would look through all of it for every model.
gc.collect()
gc.freeze()
# At the end some libraries would report all that as leaked.
atexit.register(gc.unfreeze)

__all__ = ["fvcore", "saving", "timm", "torchvision"]
