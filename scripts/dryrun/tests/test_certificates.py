"""The run's certificate, as a client would check it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from dryrun import certificates


@unittest.skipUnless(shutil.which("openssl"), "SKIP certificates: openssl is not installed")
class Made(unittest.TestCase):
    def test_names_and_trust(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = certificates.make(Path(folder) / "run", "eu-central-1", "apt.grafana.com")
            self.assertEqual(made.key.stat().st_mode & 0o777, 0o600)
            self.assertFalse((Path(folder) / "run" / "ca.key").exists())
            for name, good in (
                ("iam.amazonaws.com", True),
                ("sts.eu-central-1.amazonaws.com", True),
                ("cairn-demo-packages-1.s3.eu-central-1.amazonaws.com", True),
                ("cairn-demo-packages-1.s3.amazonaws.com", True),
                ("apt.grafana.com", True),
                ("sts.us-east-1.amazonaws.com", False),
                ("example.org", False),
            ):
                command = ["openssl", "verify", "-x509_strict", "-CAfile", str(made.authority)]
                command += ["-verify_hostname", name, str(made.certificate)]
                done = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual(done.returncode == 0, good, f"{name}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    unittest.main()
