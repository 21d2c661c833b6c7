"""What the README says was measured is what benchmarks/results hold."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "benchmarks" / "readme.py"


def test_figures_in_the_readme_are_those_of_the_results():
    command = [sys.executable, str(PROGRAM), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
