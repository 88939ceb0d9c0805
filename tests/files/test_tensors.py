from collections import Counter

import pytest
import torch

from attn_inject.errors import FileError
from attn_inject.files.tensors import check_tensors, storable


def memories(state):
    return [state[name].untyped_storage().nbytes() for name in state]


def test_each_tensor_brings_exactly_its_own_memory():
    big = torch.arange(1000.0)
    state = {"slice": big[10:20], "expanded": torch.ones(1).expand(5), "strided": torch.randn(4, 6).t()}
    stored = storable(state)
    assert memories(stored) == [40, 20, 96]
    assert all(torch.equal(stored[name], state[name]) for name in state)
    assert stored["strided"].data_ptr() == state["strided"].data_ptr()


def test_shared_memory_stays_shared():
    weight = torch.randn(4, 3)
    stored = storable({"one": weight, "two": weight.t(), "half": weight[:2]})
    assert len({tensor.data_ptr() for tensor in stored.values()}) == 1


def test_an_expanded_tensor_is_written_out_even_if_its_memory_is_shared():
    one = torch.ones(1)
    stored = storable({"one": one, "expanded": one.expand(5)})
    assert memories(stored) == [4, 20]


def test_parameters_become_tensors_and_other_values_stay():
    stored = storable({"weight": torch.nn.Parameter(torch.ones(2)), "extra": {"n": 1}})
    assert type(stored["weight"]) is torch.Tensor
    assert not stored["weight"].requires_grad
    assert stored["extra"] == {"n": 1}


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        pytest.param(torch.empty(2, device="meta"), "w has no values", id="meta"),
        pytest.param(torch.eye(3).to_sparse(), "w is a Tensor .*sparse", id="sparse"),
    ],
)
def test_tensors_without_plain_values_are_refused_by_name(tensor, message):
    with pytest.raises(FileError, match=message):
        storable({"w": tensor})


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(torch.ones(1).expand(2**40), id="terabytes out of four bytes"),
        pytest.param(torch.empty(2, device="meta"), id="meta"),
        pytest.param(torch.eye(3).to_sparse(), id="sparse"),
        pytest.param(torch.nn.Parameter(torch.ones(2)), id="another class"),
        pytest.param(torch.ones(5), id="more memory than the file has for it"),
    ],
)
def test_tensors_that_no_file_of_ours_holds_are_refused(tensor):
    sizes = Counter([4, 8, 36, 72])
    with pytest.raises(FileError, match="do not fit what it holds"):
        check_tensors({"state": [{"w": tensor}]}, sizes, "model.pt")


def test_tensors_of_the_recorded_sizes_are_taken():
    shared = torch.ones(2)
    check_tensors([shared, shared[:1], torch.zeros(0), torch.ones(2)], Counter([8, 8]), "model.pt")
    with pytest.raises(FileError):
        check_tensors([shared, torch.ones(2)], Counter([8]), "model.pt")
