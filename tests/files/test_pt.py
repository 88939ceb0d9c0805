import dataclasses
import errno
import io
import resource
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attn_inject.errors import FileError
from attn_inject.files import atomic, pt
from attn_inject.files.structure_digest import state_digest


@pytest.mark.parametrize("mmap", [True, False])
def test_what_was_written_is_read(tmp_path, small, same, mmap):
    pt.write(tmp_path / "model.pt", small)
    read = pt.read(tmp_path / "model.pt", mmap=mmap)
    assert same(read, small)
    assert read.reference["seed"] == 0
    assert torch.equal(read.reference["outputs"][0], small.reference["outputs"][0])


def test_any_program_can_open_it_as_plain_data(tmp_path, small):
    pt.write(tmp_path / "model.pt", small)
    data = torch.load(tmp_path / "model.pt", weights_only=True)
    assert data["format"] == "attn-inject"
    assert data["format_version"] == 1
    assert data["recipe"]["splices"][0]["attention"] == "se"
    assert torch.equal(data["state_dict"]["layer1.0.conv1.weight"], small.state_dict["layer1.0.conv1.weight"])


def test_parameters_and_outputs_that_hang_on_a_graph_are_written_as_values(tmp_path, small):
    weight = torch.nn.Parameter(torch.randn(3))
    output = (weight * 2).expand(4, 3)
    contents = dataclasses.replace(small, state_dict={"w": weight}, reference={"outputs": [output]})
    pt.write(tmp_path / "model.pt", contents)
    read = pt.read(tmp_path / "model.pt")
    assert torch.equal(read.state_dict["w"], weight)
    assert torch.equal(read.reference["outputs"][0], output)
    assert not read.reference["outputs"][0].requires_grad


def test_who_looks_at_the_complete_file_can_refuse_it(tmp_path, small, same):
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    seen = []

    def look(hidden):
        seen.append(same(pt.read(hidden), small))
        raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        pt.write(path, small, force=True, before_publishing=look)
    assert seen == [True]
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["model.pt"]


AGAIN = """
import sys
from attn_inject.files import pt
pt.write(sys.argv[2], pt.read(sys.argv[1]))
"""


def test_equal_contents_give_equal_bytes_under_any_name_and_in_any_process(tmp_path, small):
    first, other = tmp_path / "model.pt", tmp_path / "another name.pt"
    pt.write(first, small)
    loose = dataclasses.replace(
        small,
        # The same text in objects of its own, which a pickle would otherwise tell apart.
        structure={"".join(list(name)): "".join(list(text)) for name, text in small.structure.items()},
        state_dict={"".join(list(name)): tensor.clone() for name, tensor in small.state_dict.items()},
    )
    pt.write(other, loose)
    assert other.read_bytes() == first.read_bytes()
    subprocess.run([sys.executable, "-W", "ignore", "-c", AGAIN, first, tmp_path / "b.pt"], check=True)
    assert (tmp_path / "b.pt").read_bytes() == first.read_bytes()


def test_a_slice_is_not_written_with_the_whole_that_it_looks_at(tmp_path, small):
    big = torch.zeros(1_000_000)
    pt.write(tmp_path / "model.pt", dataclasses.replace(small, state_dict={"w": big[:3]}))
    assert (tmp_path / "model.pt").stat().st_size < 20_000


def test_shared_tensors_are_written_once_and_stay_shared(tmp_path, small):
    weight = torch.randn(100, 100)
    state = {"one": weight, "two": weight.detach()}
    pt.write(tmp_path / "model.pt", dataclasses.replace(small, state_dict=state))
    assert (tmp_path / "model.pt").stat().st_size < 60_000
    read = pt.read(tmp_path / "model.pt").state_dict
    assert read["one"].data_ptr() == read["two"].data_ptr()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        pytest.param({"w": torch.empty(2, device="meta")}, "w has no values", id="meta"),
        pytest.param({"w": {1, 2}}, "state_dict: w is a set", id="set"),
        pytest.param({3: torch.ones(1)}, "a key that is not text: 3", id="key"),
    ],
)
def test_what_cannot_be_kept_is_named_and_no_file_appears(tmp_path, small, state, message):
    with pytest.raises(FileError, match=message):
        pt.write(tmp_path / "model.pt", dataclasses.replace(small, state_dict=state))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_file_and_no_partial_one(tmp_path, small):
    path = tmp_path / "model.pt"
    pt.write(path, small)
    old = path.read_bytes()
    big = dataclasses.replace(small, state_dict={"w": torch.randn(1_000_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (10_000, 2_000_000, 3_999_999):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(FileError, match="cannot be written: File too large"):
                pt.write(path, big, force=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == old
        assert [item.name for item in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), OSError(errno.EIO, "Input/output error")])
def test_an_interruption_inside_torch_stays_what_it_was(tmp_path, small, monkeypatch, raised):
    """torch.save turns whatever a write raises into a RuntimeError."""

    class Failing(io.BytesIO):
        writes = 0

        def write(self, data):
            self.writes += 1
            if self.writes == 3:
                raise raised
            return super().write(data)

    original = atomic._create
    monkeypatch.setattr(atomic, "_create", lambda target: (original(target)[0], Failing()))
    expected = FileError if isinstance(raised, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        pt.write(tmp_path / "model.pt", small)
    assert not list(tmp_path.iterdir())


def mutate(data, kind, position, value):
    position %= len(data)
    if kind == "cut":
        return data[:position]
    if kind == "flip":
        return data[:position] + bytes([data[position] ^ (1 << value % 8)]) + data[position + 1 :]
    if kind == "set":
        return data[:position] + bytes([value]) + data[position + 1 :]
    if kind == "drop":
        return data[:position] + data[position + 1 + value :]
    return data[:position] + bytes([value]) * 3 + data[position:]


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(["flip", "set", "cut", "drop", "insert"]),
    position=st.integers(0, 10**6),
    value=st.integers(0, 255),
    mmap=st.booleans(),
)
def test_a_damaged_file_is_an_error_or_reads_the_same(tmp_path, small, same, kind, position, value, mmap):
    path = tmp_path / "model.pt"
    if not path.exists():
        pt.write(path, small)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(mutate(path.read_bytes(), kind, position, value))
    try:
        read = pt.read(broken, mmap=mmap)
    except FileError:
        return
    if state_digest(read.state_dict) == read.digest:
        assert same(read, small)
