"""What `--fast` starts ends with it."""

import io
import os
import signal
import tempfile
import threading
import unittest
import unittest.mock
from pathlib import Path

from dryrun import fast
from dryrun.report import Report
from dryrun.workspace import INTERRUPTED, Interrupted, interruptible, start_time, wait_until

SCRIPT = """\
#!/bin/bash
trap 'echo cleared >"$(dirname "$0")/cleared"' EXIT
sleep 300 &
echo "pid $!"
wait
"""


class Fast(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tree = Path(folder.name)
        (self.tree / "scripts").mkdir()
        self.out = io.StringIO()

    def script(self, text):
        path = self.tree / "scripts/slow"
        path.write_text(text)
        path.chmod(0o755)

    def test_a_check_ends_with_what_it_started(self):
        self.script(SCRIPT)

        def ask():
            wait_until(lambda: "pid " in self.out.getvalue(), 20)
            os.kill(os.getpid(), signal.SIGTERM)

        asking = threading.Thread(target=ask)
        asking.start()
        with self.assertRaisesRegex(Interrupted, "SIGTERM"), interruptible():
            fast.static(self.tree, Report(self.out), "slow", "a slow check", 10)
        asking.join()
        pid = int(self.out.getvalue().split("pid ")[1].split()[0])
        self.assertTrue(wait_until(lambda: start_time(pid) is None, 5))
        self.assertTrue((self.tree / "scripts/cleared").exists(), "it was not given the time to clear up")

    def test_the_signals_mean_afterwards_what_they_did_before(self):
        before = signal.getsignal(signal.SIGTERM)
        with interruptible():
            self.assertNotEqual(signal.getsignal(signal.SIGTERM), before)
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)

    def test_an_interrupted_run_says_so(self):
        self.script("#!/bin/bash\nkill -TERM $PPID\nsleep 300\n")
        with unittest.mock.patch.object(fast, "STATIC", (("slow", "a slow check", 10),)):
            with unittest.mock.patch.object(fast, "sweep_dead", lambda: []):
                status = fast.main(self.tree, self.tree, Report(self.out))
        self.assertEqual(status, INTERRUPTED)
        self.assertIn("interrupted (SIGTERM)", self.out.getvalue())

    def test_a_check_that_skips_is_left_out_with_its_reason(self):
        self.script("#!/bin/bash\necho SKIP no terraform\nexit 77\n")
        reason = fast.static(self.tree, Report(self.out), "slow", "a slow check", 10)
        self.assertEqual(reason, "scripts/slow: no terraform")


if __name__ == "__main__":
    unittest.main()
