"""One thread for every test: two threads on a busy machine wait for one another.

beartype comes before nnsight, which gives every object methods that beartype can't hash.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import beartype  # noqa: E402, F401
