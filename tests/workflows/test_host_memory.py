"""The process keeps what it frees: big tensors made again and again cost no page faults."""

import subprocess
import sys

import pytest

PROBE = """
import resource, sys
import numpy as np
from mmtune.workflows.host_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def step():
    parts = [np.ones(5_000_000, dtype=np.int8) for _ in range(6)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of glibc")
def test_memory_is_not_asked_for_anew() -> None:
    def faults(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", PROBE, how], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    assert faults("keep") < 500 < 5000 < faults("leave")
