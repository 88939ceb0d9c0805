import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    """Maps are tiny here, and several threads wait for each other far longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
