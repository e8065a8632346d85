"""Which steps a run does, and what a step's failure does to the run."""

import argparse
import io
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from dryrun import __main__ as command
from dryrun import workspace
from dryrun.report import Report, StepFailed
from dryrun.run import Run, Step, perform, select
from dryrun.workspace import Workspace


def step(number, action=lambda run: None, *, setup=False, budget=10.0):
    return Step(number, f"step {number}", budget, action, setup)


class Selection(unittest.TestCase):
    steps = (step(1, setup=True), step(2, setup=True), step(3), step(4), step(5))

    def selected(self, only=(), first=None):
        return [one.number for one in select(self.steps, only, first)]

    def test_all_by_default(self):
        self.assertEqual(self.selected(), [1, 2, 3, 4, 5])

    def test_only_some_and_what_they_stand_on(self):
        self.assertEqual(self.selected(only=[4]), [1, 2, 4])

    def test_from_one_on(self):
        self.assertEqual(self.selected(first=4), [1, 2, 4, 5])

    def test_a_setup_step_alone_needs_none_after_it(self):
        self.assertEqual(self.selected(only=[1]), [1])

    def test_a_list_of_numbers_on_the_command_line(self):
        self.assertEqual(command.numbers("8,11"), [8, 11])
        for wrong in ("", "x", "8,99"):
            with self.assertRaises(argparse.ArgumentTypeError):
                command.numbers(wrong)


class Performance(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, value in (("NOTES", Path(folder.name) / "notes"), ("clear_network", mock.Mock())):
            patch = mock.patch.object(workspace, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        groups = mock.patch.object(workspace.cgroup, "remove")
        groups.start()
        self.addCleanup(groups.stop)
        self.out = io.StringIO()
        self.report = Report(out=self.out)
        work = Workspace(Path(folder.name) / "runs")
        work.__enter__()
        self.addCleanup(work.__exit__)
        self.run_ = Run(Path("/tree"), work, self.report)
        self.done = []

    def doing(self, number, **options):
        return step(number, lambda run: self.done.append(number), **options)

    def test_a_failed_step_is_counted_and_the_next_is_done(self):
        def fail(run):
            run.report.need(False, "the thing")

        perform(self.run_, [step(1, fail), self.doing(2)])
        self.assertEqual((self.done, self.report.failures), ([2], 1))

    def test_what_others_stand_on_ends_the_run(self):
        def fail(run):
            raise StepFailed("counted where it was raised")

        perform(self.run_, [step(1, fail, setup=True), self.doing(2)])
        self.assertEqual(self.done, [])

    def test_an_error_is_a_failure_with_its_first_line_and_a_trace(self):
        def break_(run):
            raise ValueError("first\nsecond")

        perform(self.run_, [step(1, break_), self.doing(2)])
        self.assertEqual((self.done, self.report.failures), ([2], 1))
        self.assertRegex(self.out.getvalue(), r"FAIL .*first; log: .*step-01.trace\n +second\n")
        self.assertIn("ValueError", self.run_.log("step-01.trace").read_text())

    def test_a_step_that_hangs_is_ended(self):
        with mock.patch("dryrun.run.PATIENCE_SECONDS", 0.1):
            start = time.monotonic()
            perform(self.run_, [step(1, lambda run: time.sleep(30), budget=0.1), self.doing(2)])
        self.assertLess(time.monotonic() - start, 10)
        self.assertEqual((self.done, self.report.failures), ([2], 1))
        self.assertIn("over its", self.report.steps[0].note)


if __name__ == "__main__":
    unittest.main()
