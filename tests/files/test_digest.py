import pytest
import torch
from torch import nn

from attn_inject.files.structure_digest import first_difference, state_digest, structure
from attn_inject.models.digests import digest, tensor_digests
from attn_inject.surgery.apply import apply_edits
from attn_inject.surgery.removal import remove
from tests.files.conftest import edit
from tests.files.factories import Block

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.complex64,
    torch.int64,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_bit_of_every_dtype_counts(dtype):
    raw = torch.arange(64, dtype=torch.uint8) % 2
    tensor = raw.view(dtype) if dtype != torch.bool else raw.bool()
    other = tensor.clone()
    other.view(torch.uint8)[-1] ^= 1
    assert digest(tensor) == digest(tensor.clone())
    assert digest(tensor) != digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(torch.zeros(4), torch.zeros(4, dtype=torch.int32), id="dtype"),
        pytest.param(torch.zeros(2, 3), torch.zeros(3, 2), id="shape"),
        pytest.param(torch.zeros(0), torch.zeros(0, 2), id="shape of nothing"),
        pytest.param(torch.zeros(()), torch.zeros(1), id="scalar"),
        pytest.param(torch.zeros(2), -torch.zeros(2), id="sign of zero"),
        pytest.param([1], [2], id="no tensors"),
        pytest.param("1", 1, id="text and number"),
    ],
)
def test_values_that_differ_have_other_digests(one, other):
    assert digest(one) != digest(other)


def test_the_layout_in_memory_does_not_count():
    tensor = torch.randn(2, 3, 4, 5)
    same = [
        tensor.contiguous(memory_format=torch.channels_last),
        tensor.transpose(0, 1).contiguous().transpose(0, 1),
        torch.cat([tensor, tensor])[:2],
        nn.Parameter(tensor),
    ]
    assert {digest(item) for item in same} == {digest(tensor)}
    assert digest(torch.ones(1).expand(5)) == digest(torch.ones(5))
    assert digest(torch.randn(3, dtype=torch.complex64).conj().conj()) is not None
    complex_numbers = torch.randn(3, dtype=torch.complex64)
    assert digest(complex_numbers.conj()) == digest(complex_numbers.conj().resolve_conj())
    assert digest(complex_numbers.conj()) != digest(complex_numbers)


def test_names_count_and_their_order_does_not():
    one, two = torch.zeros(2), torch.ones(2)
    assert state_digest({"a": one, "b": two}) == state_digest({"b": two, "a": one})
    assert state_digest({"a": one, "b": two}) != state_digest({"a": two, "b": one})
    assert state_digest({"a": one}) != state_digest({"b": one})
    assert state_digest({"a": one}) != state_digest({"a": one, "b": one})
    assert tensor_digests({"a": one, "b": two}).keys() == {"a", "b"}


def test_structure_tells_names_classes_and_settings():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Sequential(nn.Linear(2, 3)))
    assert structure(model) == {
        "": "Sequential()",
        "0": "Conv2d(3, 4, kernel_size=(1, 1), stride=(1, 1))",
        "1": "ReLU(inplace=True)",
        "2": "Sequential()",
        "2.0": "Linear(in_features=2, out_features=3, bias=True)",
    }


def test_structure_names_the_class_below_the_generated_one():
    model = nn.Sequential(Block(8))
    before = structure(model)
    apply_edits(model, [edit("0", channels=8, options={"reduction": 2, "bias": True})])
    after = structure(model)
    assert type(model[0]) is not Block
    assert {name: after[name] for name in before} == before
    assert after["0.attn_inject"].startswith("AttnInject(layout=NCHW")
    assert structure(remove(model)) == before


def test_structure_is_the_same_in_every_process_and_on_meta():
    class Odd(nn.Module):
        def extra_repr(self):
            return f"act={torch.nn.functional.relu}"

    assert structure(Odd()) == {"": f"{Odd.__qualname__}(act=<function relu>)"}
    with torch.device("meta"):
        assert structure(nn.MultiheadAttention(4, 2)) == structure(nn.MultiheadAttention(4, 2).to("meta"))


@pytest.mark.parametrize(
    ("kept", "built", "told"),
    [
        pytest.param({"": "A()", "x": "B()"}, {"": "A()", "x": "B()"}, None, id="equal"),
        pytest.param({"": "A()"}, {"": "C()"}, "the model itself was A() and is now C()", id="model"),
        pytest.param(
            {"": "A()", "x": "ReLU()", "y": "B()"},
            {"": "A()", "x": "SiLU()", "y": "C()"},
            "x was ReLU() and is now SiLU()",
            id="the first of two",
        ),
        pytest.param({"": "A()", "x": "B()"}, {"": "A()"}, "x (B()) is missing", id="missing"),
        pytest.param({"": "A()"}, {"": "A()", "x": "B()"}, "x (B()) is new", id="new"),
    ],
)
def test_the_first_difference_is_named(kept, built, told):
    assert first_difference(kept, built) == told
