"""One thread per test process: several share two cores, and threads that wait for each other cost more."""

import torch

torch.set_num_threads(1)
