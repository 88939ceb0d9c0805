from __future__ import annotations

from pathlib import Path

import numpy
import pytest
from PIL import Image

SHAPES = {"reds/a.png": (80, 90), "reds/b.jpg": (70, 70), "blues/c.png": (64, 100), "blues/d.webp": (90, 64)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Four images of two classes, in folders."""
    folder = tmp_path_factory.mktemp("photos")
    numbers = numpy.random.default_rng(0)
    for name, (rows, columns) in SHAPES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        pixels = numbers.integers(0, 255, (rows, columns, 3), dtype=numpy.uint8)
        pixels[..., 0 if name.startswith("reds") else 2] //= 4
        Image.fromarray(pixels).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder
