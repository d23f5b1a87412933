"""One thin module per stage of dvc.yaml: read, call, write.

While a stage's modules are imported nothing becomes garbage, and looking for it takes a fifth of
the time (0.9 of 4.7 s on two cores). So it is not looked for until `run_stage`, in a process that
is a stage, which also tells in a sentence what does not load; an import of these modules changes
nothing. Where `reproduce` keeps a process that has imported them already, the stage begins there.
"""

import gc
import sys

from lifeboat.stage import failures, preloaded

if sys.argv[:1] == ["-m"]:  # `python -m backtracking.stages.NAME`, whose module comes after this
    preloaded.hand_over()
    failures.tell_uncaught()
    gc.disable()
