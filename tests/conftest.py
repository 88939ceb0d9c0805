"""One thread per test process and in all that it starts: several share two cores.

Threads that wait for each other cost more than they give, and a sum in another order differs in its last bits.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch  # noqa: E402 (reads the variables when it is imported)

torch.set_num_threads(1)
