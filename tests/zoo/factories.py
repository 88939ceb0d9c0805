"""Models of a zoo for tests: tiny ones, and such as crash, hang or vanish."""

from __future__ import annotations

import ctypes
import os
import signal
import time

import torch
from torch import nn


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + x)


def tiny(channels: int = 16) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, channels, 3), Block(channels), Block(channels), nn.AdaptiveAvgPool2d(1))


def other(channels: int = 24) -> nn.Module:
    return tiny(channels)


def slow(seconds: float = 0.8) -> nn.Module:
    """Enough time for a test to kill somebody."""
    time.sleep(seconds)
    return tiny()


def slow_too(seconds: float = 0.8) -> nn.Module:
    return slow(seconds)


def plain() -> nn.Module:
    """Has no residual block, and is larger than the others."""
    return nn.Sequential(nn.Conv2d(3, 512, 7), nn.ReLU())


def crash() -> nn.Module:
    ctypes.string_at(0)
    raise AssertionError("a segfault ends the process")


def killed() -> nn.Module:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL ends the process")


def leave() -> nn.Module:
    os._exit(7)


def hang() -> nn.Module:
    time.sleep(600)
    return tiny()


def raising() -> nn.Module:
    raise RuntimeError("the builder's own trouble")


def once(path: str) -> nn.Module:
    """Crashes the first time, and is well the second time."""
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(7)
    return tiny()
