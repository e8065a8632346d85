"""Runs the tests that need moto and boto3 (the modules `venv_*` beside this one) where these are installed."""

from __future__ import annotations

import unittest

from dryrun.tests.in_venv import run_there


class InTheVenv(unittest.TestCase):
    def test_moto_patches(self) -> None:
        run_there(self, "dryrun.tests.venv_moto_patches")

    def test_edge(self) -> None:
        run_there(self, "dryrun.tests.venv_edge")


if __name__ == "__main__":
    unittest.main()
