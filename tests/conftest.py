"""One thread per test process and in all that it starts: several share two cores.

Threads that wait for each other cost more than they give, and sums in another order differ in the last bits.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import torch

torch.set_num_threads(1)
