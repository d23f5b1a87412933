"""How torch computes in a stage: threads, equal bytes for equal runs, memory that is kept."""

import ctypes
import os

import torch

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def prepare_torch(n_threads: int) -> None:
    """Makes equal runs give equal bytes, and keeps memory; call it before the model is loaded."""
    # cuBLAS reads this once, when the GPU is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(True)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Has glibc keep what a layer frees for the next one, which needs as much again.

    Otherwise it may return the top of the heap to the kernel after every layer and fault it in
    again, a page at a time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_MMAP_THRESHOLD, 2**25)
