import pytest
import torch
from torch import nn

from attn_inject.cost.zero_storage import zero_storage_copy


class Swin(nn.Module):
    """A module that indexes a table with a buffer, as window attention does."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 2))
        self.register_buffer("relative_position_index", torch.arange(8), persistent=False)
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(x + self.table[self.relative_position_index])


def tensors(model):
    return [*model.parameters(), *model.buffers()]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_no_parameter_takes_more_than_one_element(device):
    model = zero_storage_copy(Swin().to(device))
    assert all(t.untyped_storage().nbytes() == t.element_size() for t in model.parameters())
    assert all(t.device.type == "cpu" for t in tensors(model))
    assert [t.shape for t in tensors(model)] == [t.shape for t in tensors(Swin())]


def test_it_runs_and_index_buffers_stay_valid():
    assert zero_storage_copy(Swin()).eval()(torch.zeros(8, 2)).shape == (8, 2)


def test_a_forward_may_write_to_a_buffer():
    class Queue(Swin):
        def forward(self, x):
            self.norm.running_mean[0].copy_(x.mean())
            return super().forward(x)

    assert zero_storage_copy(Queue()).eval()(torch.zeros(8, 2)).shape == (8, 2)


def test_only_floating_tensors_change_their_dtype():
    model = zero_storage_copy(Swin().to(torch.bfloat16), dtype=torch.float32)
    assert model.table.dtype == torch.float32
    assert model.relative_position_index.dtype == torch.int64
    assert zero_storage_copy(Swin().to(torch.bfloat16)).table.dtype == torch.bfloat16
