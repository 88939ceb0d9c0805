"""Imported once by the process that workers are forked from, so that none of them waits for torch."""

import atexit
import contextlib
import gc
import signal
import warnings

# A terminal sends Ctrl-C to every process of its group; only the driver reacts.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGINT, signal.SIG_IGN)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import fvcore.nn
    import timm
    import torchvision

    from attn_inject.operate import saving

# Imported objects stay: a full collection would visit all of them for every model.
gc.collect()
gc.freeze()
# At the end some libraries would report all of this as leaked.
atexit.register(gc.unfreeze)

__all__ = ["fvcore", "saving", "timm", "torchvision"]
