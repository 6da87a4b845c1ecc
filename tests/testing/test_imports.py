"""The kit needs no test runner, and unittest can run it too."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, unittest
sys.modules["pytest"] = None  # as if it were not installed
import torch
from keywork.nn import TensorDictModule
from keywork.testing import KeyModuleConformance

class TestLinear(KeyModuleConformance, unittest.TestCase):
    exempt = {"compile": "takes a while", "spawn": "takes a while"}

    def make(self):
        return TensorDictModule(torch.nn.Linear(3, 2), ["x"], ["y"])

    def inputs(self):
        return {"x": torch.randn(5, 3)}

if __name__ == "__main__":
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(TestLinear)
    result = unittest.TextTestRunner(stream=open("/dev/null", "w")).run(suite)
    print(result.testsRun > 15, len(result.failures), len(result.errors), [reason for _, reason in result.skipped])
"""


def test_it_runs_without_pytest():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    reasons = ["exempt: takes a while", "there is no make_lazy(): it takes its sizes when it is built"]
    assert done.stdout == f"True 0 0 {[reasons[0], reasons[1], reasons[0]]}\n", done.stderr
