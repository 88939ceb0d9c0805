"""Image files: a folder of class folders, a folder of files, or single files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_inject.errors import FileError, UsageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class ImageFile:
    """One file, and the name of its class folder or ""."""

    path: Path
    label: str = ""

    @property
    def name(self) -> str:
        """`cats/1.jpg`, or `1.jpg` without a class."""
        return f"{self.label}/{self.path.name}" if self.label else self.path.name


def image_files(places: Sequence[str | Path], limit: int | None) -> tuple[list[ImageFile], int]:
    """The images of files and folders, in the order of their names.

    Args:
        places: Files, folders of files, or folders of class folders.
        limit: The most to take, evenly over all; None for all.

    Returns:
        The images, and how many there are without the limit.

    Raises:
        FileError: A place does not exist, or a folder has no image.
        UsageError: `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit} is not accepted; it is a whole number from 1.")
    found = [image for place in places for image in _at(Path(place))]
    if not found:
        raise UsageError("No image is given.", hint="Name a folder or files: --images FOLDER.")
    if limit is None or len(found) <= limit:
        return found, len(found)
    return [found[at * len(found) // limit] for at in range(limit)], len(found)


def _at(place: Path) -> Iterator[ImageFile]:
    if place.is_file():
        yield ImageFile(place)
        return
    if not place.is_dir():
        raise FileError(f"{place} does not exist.", hint="--images takes a folder, or files.")
    own = [ImageFile(path) for path in _images_in(place)]
    folders = sorted(path for path in place.iterdir() if path.is_dir())
    labelled = [ImageFile(path, folder.name) for folder in folders for path in _images_in(folder)]
    if not own and not labelled:
        raise FileError(
            f"{place} has no image, and no folder with images.",
            hint=f"Images are files that end in {', '.join(SUFFIXES)}.",
        )
    yield from own
    yield from labelled


def _images_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def opened(image: ImageFile) -> Any:
    """The image in RGB, as Pillow opens it.

    Raises:
        FileError: It is not an image, or damaged.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(image.path) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FileError(
            f"{image.path} cannot be read as an image: {error}.", hint="Leave it out, or repair it."
        ) from None
