"""For tests of what runs in the venv: they run there, from whichever Python the others run with."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

from dryrun import inside, venv

SCRIPTS = Path(__file__).resolve().parent.parent.parent
SECONDS = 120


def run_there(test: unittest.TestCase, module: str) -> None:
    """Runs the tests of `module` with the venv's interpreter, inside one test of ours. Skips where there is no venv."""
    python = venv.existing_python()
    if python is None:
        reason = f"SKIP {module}: moto's environment has not been made yet (scripts/dry-run makes it)"
        # unittest names a skipped test's reason only when asked to be verbose.
        print(reason, file=sys.stderr)
        test.skipTest(reason)
    done = subprocess.run(
        [str(python), "-m", "unittest", module],
        cwd=SCRIPTS,
        env=inside.clean_environment(PYTHONPATH=str(SCRIPTS)),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    test.assertEqual(done.returncode, 0, f"{module}, run by {python}:\n{done.stdout}{done.stderr}")
    test.assertRegex(done.stderr, r"Ran [1-9]\d* test", f"{module}: nothing ran")
