"""Processes that a run noted, and how they end; what can be tested without root."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from dryrun import workspace
from dryrun.host import CommandFailed, run
from dryrun.workspace import Interrupted, Workspace, alive, start_time


class OwnFolders(unittest.TestCase):
    """Each test gets a folder for runs and one for the notes that lie below /run in earnest."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.runs = Path(folder.name) / "runs"
        notes = mock.patch.object(workspace, "NOTES", Path(folder.name) / "notes")
        notes.start()
        self.addCleanup(notes.stop)
        # Namespaces are root's affair.
        network = mock.patch.object(workspace, "clear_network")
        network.start()
        self.addCleanup(network.stop)
        groups = mock.patch.object(workspace.cgroup, "remove")
        groups.start()
        self.addCleanup(groups.stop)
        names = mock.patch.object(workspace, "namespaces", return_value=[])
        names.start()
        self.addCleanup(names.stop)


class Lifetime(OwnFolders):
    def test_processes_and_scratch_go_with_the_run_and_logs_stay(self):
        with Workspace(self.runs) as work:
            process = work.spawn("sleeper", ["sh", "-c", "echo hello; exec sleep 60"])
            time.sleep(0.2)
            self.assertIsNone(process.poll())
        self.assertEqual(process.wait(5), -signal.SIGTERM)
        self.assertFalse(work.scratch.exists())
        self.assertEqual((work.logs / "sleeper.log").read_text(), "hello\n")
        self.assertEqual(workspace.known_runs(), set())

    def test_a_process_that_takes_no_sigterm_is_killed(self):
        script = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
        )
        with mock.patch.object(workspace, "STOP_SECONDS", 0.3), Workspace(self.runs) as work:
            process = work.spawn("stubborn", [sys.executable, "-c", script])
            workspace.wait_until(lambda: (work.logs / "stubborn.log").read_text() != "", 5)
        self.assertEqual(process.wait(5), -signal.SIGKILL)

    def test_a_run_whose_owner_died_is_swept_by_the_next(self):
        script = (
            "import os, sys; from pathlib import Path; from dryrun import workspace\n"
            f"workspace.NOTES = Path({str(workspace.NOTES)!r})\n"
            f"work = workspace.Workspace(Path({str(self.runs)!r})); work.__enter__()\n"
            "print(work.spawn('left', ['sleep', '60']).pid, flush=True); os._exit(9)\n"
        )
        scripts = str(Path(workspace.__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, "-c", script], text=True, capture_output=True, env=dict(os.environ, PYTHONPATH=scripts)
        )
        pid = int(done.stdout)
        self.assertIsNotNone(start_time(pid))
        self.assertEqual(len(workspace.sweep_dead()), 1)
        self.assertTrue(workspace.wait_until(lambda: start_time(pid) is None, 5))
        self.assertEqual(workspace.sweep_dead(), [])

    def test_a_kept_run_is_swept_only_when_asked(self):
        with Workspace(self.runs, keep=True) as work:
            process = work.spawn("kept", ["sleep", "60"])
        self.assertIsNone(process.poll())
        self.assertEqual(workspace.sweep_dead(), [])
        self.assertEqual(workspace.sweep_dead(kept_too=True), [work.id])
        self.assertEqual(process.wait(5), -signal.SIGTERM)

    def test_a_living_run_is_left_alone(self):
        with Workspace(self.runs) as work:
            self.assertEqual(workspace.sweep_dead(kept_too=True), [])
            self.assertTrue(work.scratch.exists())

    def test_another_process_with_the_noted_pid_is_not_touched(self):
        with Workspace(self.runs) as work:
            mine = subprocess.Popen(["sleep", "60"])
            self.addCleanup(mine.wait)
            self.addCleanup(mine.kill)
            workspace.write_json(
                work.logs / "pids" / "x.json", {"pid": mine.pid, "start": (start_time(mine.pid) or 0) - 1}
            )
        self.assertIsNone(mine.poll())


class Signals(OwnFolders):
    def test_an_interruption_clears_up_and_is_passed_on(self):
        with self.assertRaises(Interrupted), Workspace(self.runs) as work:
            process = work.spawn("sleeper", ["sleep", "60"])
            os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(process.wait(5), -signal.SIGTERM)
        self.assertFalse(work.scratch.exists())

    def test_an_interruption_waits_for_the_note(self):
        reached = False
        with self.assertRaises(Interrupted), Workspace(self.runs) as work, work.undisturbed():
            os.kill(os.getpid(), signal.SIGINT)
            reached = True
        self.assertTrue(reached)


class Commands(unittest.TestCase):
    def test_a_failure_shows_command_status_and_last_words(self):
        with self.assertRaises(CommandFailed) as caught:
            run(["sh", "-c", "echo too bad >&2; exit 3"])
        self.assertIn("too bad", str(caught.exception))
        self.assertIn("status 3", str(caught.exception))

    def test_a_late_command_is_ended_with_its_children(self):
        with self.assertRaises(CommandFailed) as caught:
            run(["sh", "-c", "sleep 60 & echo $!; wait"], timeout=0.3)
        child = int(caught.exception.output.split()[0])
        self.assertTrue(workspace.wait_until(lambda: start_time(child) is None, 5))

    def test_a_pid_that_is_given_again_is_not_the_same_process(self):
        self.assertTrue(alive(os.getpid(), start_time(os.getpid())))
        self.assertFalse(alive(os.getpid(), (start_time(os.getpid()) or 0) + 1))
        self.assertFalse(alive(None, None))


if __name__ == "__main__":
    unittest.main()
