"""A network small enough to read its state dict at a glance."""

import torch
from torch import nn


def net(classes=2):
    torch.manual_seed(classes)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))
