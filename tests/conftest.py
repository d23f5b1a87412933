"""One thread for every test: two threads on a busy machine wait for one another."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
