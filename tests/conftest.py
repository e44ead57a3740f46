"""For all tests: one thread each, since tiny models only wait for a second one."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, and for the processes tests start

import torch

torch.set_num_threads(1)
