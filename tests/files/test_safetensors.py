import dataclasses
import json
import resource

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attn_inject.errors import FileError
from attn_inject.files import formats, pt
from attn_inject.files import safetensors as ours
from attn_inject.files.structure_digest import state_digest
from tests.files.test_pt import mutate


@pytest.fixture
def odd(small):
    """Every kind of tensor that the format knows, one under two names, and a value that is none."""
    weight = torch.randn(5, 3)
    state = {
        **{str(dtype): torch.ones(3).to(dtype) for dtype in ours._DTYPES},
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
        "sliced": torch.arange(12.0).reshape(3, 4)[:, 1:3],
        "one": weight,
        "two": weight.detach(),
        "extra": {"version": 3},
    }
    return dataclasses.replace(small, state_dict=state, digest=state_digest(state))


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("which", ["small", "odd"])
def test_what_was_written_is_read(tmp_path, same, which, mmap, request):
    contents = request.getfixturevalue(which)
    ours.write(tmp_path / "model.safetensors", contents)
    read = formats.read(tmp_path / "model.safetensors", mmap=mmap)
    assert same(read, contents)
    assert read.reference["seed"] == 0
    assert torch.equal(read.reference["outputs"][0], contents.reference["outputs"][0])


@pytest.mark.parametrize("mmap", [True, False])
def test_shared_tensors_are_written_once_and_stay_shared(tmp_path, odd, mmap):
    ours.write(tmp_path / "model.safetensors", odd)
    assert "two" not in safetensors.torch.load_file(tmp_path / "model.safetensors")
    read = ours.read(tmp_path / "model.safetensors", mmap=mmap).state_dict
    assert read["one"].data_ptr() == read["two"].data_ptr()
    assert read["one"].data_ptr() != read["sliced"].data_ptr()


@pytest.mark.parametrize("mmap", [True, False])
def test_every_tensor_begins_where_kernels_like_it(tmp_path, odd, mmap):
    """Elsewhere a kernel may add up in another order, and give another last bit."""
    ours.write(tmp_path / "model.safetensors", odd)
    read = ours.read(tmp_path / "model.safetensors", mmap=mmap).tensors.values()
    assert not [t for t in read if isinstance(t, torch.Tensor) and t.data_ptr() % ours.ALIGNMENT]


def test_the_library_reads_our_tensors(tmp_path, odd):
    ours.write(tmp_path / "model.safetensors", odd)
    loaded = safetensors.torch.load_file(tmp_path / "model.safetensors")
    tensors = {k: v for k, v in odd.state_dict.items() if isinstance(v, torch.Tensor) and k != "two"}
    assert loaded.keys() == tensors.keys()
    for name, value in tensors.items():
        assert loaded[name].dtype == value.dtype
        assert state_digest({"x": loaded[name]}) == state_digest({"x": value})


@pytest.mark.parametrize("mmap", [True, False])
def test_we_read_what_the_library_wrote_again(tmp_path, small, same, mmap):
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    ours.write(path, small)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    safetensors.torch.save_file(safetensors.torch.load_file(path), again, metadata)
    assert same(ours.read(again, mmap=mmap), small)


def test_equal_contents_give_equal_bytes_and_formats_give_each_other(tmp_path, small, same):
    paths = [tmp_path / name for name in ("a.safetensors", "b.pt", "c.safetensors", "d.pt")]
    for path, contents in zip(paths, [small, small, None, None], strict=True):
        if contents is None:
            contents = formats.read(paths[paths.index(path) - 1])
        formats.write(path, contents)
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert paths[1].read_bytes() == paths[3].read_bytes()


def test_an_output_that_is_too_large_for_a_header_is_left_out(tmp_path, small):
    large = dataclasses.replace(small, reference={"seed": 0, "outputs": [torch.zeros(2**18 + 1)]})
    ours.write(tmp_path / "model.safetensors", large)
    assert ours.read(tmp_path / "model.safetensors").reference is None


def test_an_unknown_type_is_named(tmp_path, small):
    state = {"w": torch.ones(2, dtype=torch.complex128)}
    with pytest.raises(FileError, match=r"w is of type torch\.complex128"):
        ours.write(tmp_path / "model.safetensors", dataclasses.replace(small, state_dict=state))
    assert not list(tmp_path.iterdir())


def test_the_content_tells_the_format(tmp_path, small, same):
    ours.write(tmp_path / "model.pt", small)
    assert same(formats.read(tmp_path / "model.pt"), small)
    pt.write(tmp_path / "model.safetensors", small)
    with pytest.raises(FileError, match=r"is a \.pt file by its content"):
        formats.read(tmp_path / "model.safetensors")


def header_of(path, change):
    """The file with its header changed."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def rename(header):
    header["fc"] = header.pop("empty")


def overlap(header):
    header["layer1.0.bn1.num_batches_tracked"]["data_offsets"] = [0, 8]
    header["layer1.0.conv1.weight"]["data_offsets"] = [0, 48]


def grow(header):
    header["layer1.0.conv1.weight"]["shape"] = [10**12, 3]


def negative(header):
    header["empty"]["shape"] = [-1, 0]


def reshape(header):
    header["layer1.0.conv1.weight"]["shape"].reverse()


def retype(header):
    """A type of the format that is never written here."""
    header["empty"]["dtype"] = "F8_E8M0"


def edit(header):
    header["__metadata__"]["attn_inject"] = header["__metadata__"]["attn_inject"].replace("layer2", "layer3")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: b"", "not written by attn-inject", id="empty"),
        pytest.param(lambda path: b"\xff" * 100, "not written by attn-inject", id="a huge header"),
        pytest.param(lambda path: path.read_bytes()[:300], "not written by attn-inject", id="cut header"),
        pytest.param(lambda path: path.read_bytes()[:-1], "damaged or cut short", id="cut tensors"),
        pytest.param(lambda path: path.read_bytes() + b"x", "damaged or cut short", id="too long"),
        pytest.param(lambda path: header_of(path, lambda h: h.clear()), "damaged", id="no tensors"),
        pytest.param(
            lambda path: header_of(path, lambda h: h.pop("__metadata__")), "not written", id="plain"
        ),
        pytest.param(lambda path: header_of(path, rename), "not the one that was saved", id="renamed"),
        pytest.param(lambda path: header_of(path, edit), "not the one that was saved", id="recipe"),
        pytest.param(lambda path: header_of(path, overlap), "damaged or cut short", id="overlap"),
        pytest.param(lambda path: header_of(path, grow), "damaged or cut short", id="claims terabytes"),
        pytest.param(lambda path: header_of(path, negative), "damaged or cut short", id="negative"),
        pytest.param(lambda path: header_of(path, reshape), "not the one that was saved", id="reshaped"),
        pytest.param(lambda path: header_of(path, retype), "damaged or cut short", id="unknown type"),
        pytest.param(lambda path: nested(), "damaged or cut short", id="nested without end"),
    ],
)
@pytest.mark.parametrize("mmap", [True, False])
def test_what_is_not_ours_is_refused(tmp_path, small, make, message, mmap):
    path = tmp_path / "model.safetensors"
    ours.write(path, small)
    path.write_bytes(make(path))
    with pytest.raises(FileError, match=message):
        formats.read(path, mmap=mmap)


def nested():
    text = b'{"a":' + b"[" * 200_000
    return len(text).to_bytes(8, "little") + text


@settings(
    max_examples=150,
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
    path = tmp_path / "model.safetensors"
    if not path.exists():
        ours.write(path, small)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(mutate(path.read_bytes(), kind, position, value))
    try:
        read = formats.read(broken, mmap=mmap)
    except FileError:
        return
    if state_digest(read.state_dict) == read.digest:
        assert same(read, small)


def test_a_full_disk_leaves_the_old_file_and_no_partial_one(tmp_path, small):
    path = tmp_path / "model.safetensors"
    ours.write(path, small)
    old = path.read_bytes()
    big = dataclasses.replace(small, state_dict={"w": torch.randn(1_000_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(FileError, match="cannot be written: File too large"):
            ours.write(path, big, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert [item.name for item in tmp_path.iterdir()] == ["model.safetensors"]
