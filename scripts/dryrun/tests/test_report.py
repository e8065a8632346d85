"""The lines that a run prints, and how it counts."""

import io
import unittest
from pathlib import Path

from dryrun.report import Report, StepFailed


class Lines(unittest.TestCase):
    def setUp(self):
        self.out = io.StringIO()
        self.report = Report(out=self.out)
        self.report.begin(8, "matrix", 10)

    def test_a_check_that_holds(self):
        self.assertTrue(self.report.check(True, "468 of 468 as wanted"))
        self.assertRegex(self.out.getvalue(), r"\nok +\d+\.\ds  468 of 468 as wanted\n")
        self.assertEqual(self.report.failures, 0)

    def test_a_check_that_does_not_shows_detail_and_log(self):
        self.assertFalse(self.report.check(False, "all active", "cairn-app: failed\n", Path("/x/app.log")))
        self.assertRegex(self.out.getvalue(), r"FAIL +\d+\.\ds  all active; log: /x/app\.log\n +cairn-app: failed\n")
        self.assertEqual(self.report.failures, 1)

    def test_a_need_ends_the_step(self):
        with self.assertRaises(StepFailed):
            self.report.need(False, "moto answers")
        self.assertEqual(self.report.failures, 1)

    def test_the_summary_counts_and_names_what_took_too_long(self):
        self.report.check(True, "a")
        self.report.check(False, "b")
        self.report.end(12.5)
        self.report.summary()
        lines = self.out.getvalue().splitlines()
        step = next(line for line in lines if line.startswith(" 8 matrix"))
        self.assertEqual(step.split()[2:6], ["12.5", "10", "1", "1"])
        self.assertIn("over its 10 s", step)


if __name__ == "__main__":
    unittest.main()
