"""Damaged files: each loads as what was saved, or is refused with a sentence.

    python -m tests.reliability.mutations [COUNT]

hypothesis draws where and how a saved file is changed: a bit, a byte, a cut, a gap, an insertion, a piece of
the file in another place. `attn_inject.load` must then raise one of our errors, or give a model whose output
is that of the saved one, bit for bit. Nothing in the file may run: the mutations insert pickle opcodes too.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import attn_inject
from attn_inject.errors import AttnInjectError
from tests.nets import make_generic

SIZE = (3, 64, 64)
SUFFIXES = (".pt", ".safetensors")
PAYLOADS = (
    b"cposix\nsystem\n(S'touch owned'\ntR.",
    b'c__builtin__\nexec\n(S\'open("owned", "w")\'\ntR',
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch owned\x85R.",
    b'"attention":"os:system"',
    b"PK\x05\x06" + b"\xff" * 18,
)

mutations = st.one_of(
    st.tuples(st.sampled_from(["flip", "set", "drop", "insert"]), st.floats(0, 1), st.integers(0, 255)),
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
    st.tuples(st.just("payload"), st.floats(0, 1), st.integers(0, len(PAYLOADS) - 1)),
    st.tuples(st.just("move"), st.floats(0, 1), st.integers(0, 255)),
)


def mutate(data: bytes, kind: str, where: float, value: int) -> bytes:
    """One change; `where` is a share of the file, so that small and large ones are treated alike."""
    at = min(int(where * len(data)), len(data) - 1)
    if kind == "cut":
        return data[:at]
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ (1 << value % 8)]) + data[at + 1 :]
    if kind == "set":
        return data[:at] + bytes([value]) + data[at + 1 :]
    if kind == "drop":
        return data[:at] + data[at + 1 + value :]
    if kind == "payload":
        return data[:at] + PAYLOADS[value] + data[at + len(PAYLOADS[value]) :]
    if kind == "move":
        other = (at * 7919) % len(data)
        return data[:at] + data[other : other + 1 + value] + data[at + 1 + value :]
    return data[:at] + bytes([value]) * 3 + data[at:]


def interesting(data: bytes) -> st.SearchStrategy[float]:
    """Places: half of them in what is not a tensor, the first and last parts of a file."""
    edge = min(0.5, 30_000 / len(data))
    return st.one_of(st.floats(0, 1), st.floats(0, edge), st.floats(1 - edge, 1))


def run(count: int) -> Counter[str]:
    """How `count` mutations of each format ended; raises if one loads as another model."""
    ended: Counter[str] = Counter()
    model = make_generic(attn_inject.inject("test_resnet", "ela-l", input_size=SIZE, check="off").model)
    image = torch.randn(1, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.eval()(image)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in SUFFIXES:
            path = attn_inject.save(model, Path(folder) / f"model{suffix}")
            ended += Counter(f"{suffix} {ending}" for ending in _endings(path, count, image, expected))
    return ended


def _endings(path: Path, count: int, image: torch.Tensor, expected: torch.Tensor) -> list[str]:
    whole, endings = path.read_bytes(), []

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(change=mutations, place=interesting(whole))
    def one(change: tuple[str, float, int], place: float) -> None:
        kind, _, value = change
        path.write_bytes(mutate(whole, kind, place, value))
        endings.append(outcome(path, image, expected))

    one()
    return endings


def outcome(path: Path, image: torch.Tensor, expected: torch.Tensor) -> str:
    """`refused` or `the same model`; anything else raises."""
    try:
        loaded = attn_inject.load(path)
    except AttnInjectError as error:
        if error.exit_code == AttnInjectError.exit_code or not error.message:
            raise
        return f"refused ({type(error).__name__})"
    finally:
        assert not Path("owned").exists(), "something in the file ran"
    with torch.no_grad():
        assert torch.equal(loaded(image), expected), "another model was loaded"
    return "the same model"


def main() -> None:
    """Mutate and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for ending, number in sorted(run(count // len(SUFFIXES)).items()):
        print(f"{number:>5} {ending}")


if __name__ == "__main__":
    main()
