"""What each start does to a trained model, on photographs: a table and a picture for the README.

    python -m tests.real.starts

prints the table and writes the picture. Three modules, both starts, nothing is trained.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape

import timm
import torch
from timm.data import ImageNetInfo

import attn_inject
from attn_inject.insight.inference import agreement, divergence
from tests.docs.pages import MANUAL
from tests.real.material import MODEL, base, photographs

PICTURE = MANUAL / "guides" / "figures" / "starts.svg"
MODULES = ("ela-l", "se", "cbam")
STARTS = ("identity", "paper")
_COLUMN, _IMAGE, _LINE = 150, 134, 19  # pixels
_CREDIT = (
    "Photographs: scikit-image; china by danielbuechele and flower by vultilion, CC BY 2.0, cropped. "
    "Nothing is trained."
)


@dataclass(frozen=True)
class Row:
    """What one start of one module does: log-probabilities of the base and of the modified model, (N, K)."""

    attention: str
    start: str
    base: torch.Tensor
    modified: torch.Tensor

    @property
    def told(self) -> str:
        same, count = round(agreement(self.base, self.modified) * len(self.base)), len(self.base)
        moved = divergence(self.base, self.modified)
        rest = "every bit stays" if torch.equal(self.base, self.modified) else f"{moved:.1f} nats away"
        return f"{same} of {count} keep their class, {rest}"


@torch.no_grad()
def compare() -> list[Row]:
    """Every module at both starts; the paper's start draws its weights from seed 0."""
    model = base()
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    x = torch.stack([transform(image) for image in photographs().values()])
    before = model(x).log_softmax(1)
    rows = []
    for attention in MODULES:
        for start in STARTS:
            modified = attn_inject.inject(model, attention, start=start, check="off", seed=0).model
            rows.append(Row(attention, start, before, modified(x).log_softmax(1)))
    return rows


def table(rows: list[Row]) -> str:
    """One line per module, as markdown."""
    lines = [("module", *(f"{start} start" for start in STARTS)), ("---",) * 3]
    for attention in MODULES:
        lines.append((f"`{attention}`", *(row.told for row in rows if row.attention == attention)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def picture(rows: list[Row]) -> str:
    """The photographs, and what each start of the first module says of them, as SVG."""
    images = list(photographs().values())
    said = [("base", rows[0].base), *((row.start, row.modified) for row in rows[: len(STARTS)])]
    width, height = 80 + _COLUMN * len(images), _IMAGE + 2 * _LINE * len(said) + 58
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label='
        f'"What {MODEL} says of six photographs: untouched, and with {rows[0].attention} at both starts">',
        "<style>text{font:12px sans-serif;fill:#1b1f24}.w{font-weight:600}.n{fill:#5b6675}</style>",
        f'<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>',
    ]
    for at, image in enumerate(images):
        left = 74 + at * _COLUMN
        parts.append(f'<image x="{left}" y="12" width="{_IMAGE}" height="{_IMAGE}" href="{_jpeg(image)}"/>')
        for line, (_, output) in enumerate(said):
            top = _IMAGE + 36 + 2 * _LINE * line
            index = int(output[at].argmax())
            name, share = _names()[index], float(output[at, index].exp())
            parts.append(f'<text x="{left}" y="{top}">{escape(name)}</text>')
            parts.append(f'<text class="n" x="{left}" y="{top + 15}">{share:.0%}</text>')
    for line, (name, _) in enumerate(said):
        parts.append(f'<text class="w" x="12" y="{_IMAGE + 36 + 2 * _LINE * line}">{name}</text>')
    parts.append(f'<text class="n" x="12" y="{height - 12}">{_CREDIT}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _names() -> list[str]:
    return ImageNetInfo("imagenet-1k").label_descriptions()


def _jpeg(image: object) -> str:
    """A photograph's middle, small, as a data URI."""
    from PIL import Image, ImageOps

    assert isinstance(image, Image.Image)
    file = io.BytesIO()
    ImageOps.fit(image, (2 * _IMAGE, 2 * _IMAGE)).save(file, "JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


if __name__ == "__main__":
    found = compare()
    print(table(found))
    PICTURE.write_text(picture(found), encoding="utf-8")
