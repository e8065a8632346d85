"""scripts/build-apt-repo with packages of a few bytes and a key of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from packagetest.repository import INRELEASE, PACKAGES, by_hash_problems, contents

SCRIPT = Path(__file__).parents[1] / "build-apt-repo"
TOOLS = ("apt-ftparchive", "dpkg-deb", "gpg", "gpgconf")


@unittest.skipUnless(all(map(shutil.which, TOOLS)), f"needs {', '.join(TOOLS)}")
class BuildAptRepo(unittest.TestCase):
    """Each test has a folder of packages, with a space in its path, and an empty place for the repository."""

    environment: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        keys = Path(tempfile.mkdtemp(prefix="cairn-keys-"))
        cls.addClassCleanup(shutil.rmtree, keys)
        cls.environment = {**os.environ, "GNUPGHOME": str(keys), "CAIRN_APT_KEY": "test@example.org"}
        kill = ["gpgconf", "--kill", "gpg-agent"]
        cls.addClassCleanup(subprocess.run, kill, env=cls.environment, check=True)
        make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "test@example.org", "ed25519", "sign", "1d"]
        subprocess.run(make, env=cls.environment, check=True, stderr=subprocess.DEVNULL)

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cairn apt repo "))
        self.addCleanup(shutil.rmtree, self.folder)
        self.debs, self.target = self.folder / "all debs", self.folder / "the repository"
        self.debs.mkdir()
        self.add("cairn-one")
        self.add("cairn-two", architecture="all")

    def add(self, name: str, version: str = "1.0", architecture: str = "amd64") -> None:
        """Makes a package without files."""
        tree = self.folder / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        fields = {"Package": name, "Version": version, "Architecture": architecture, "Maintainer": "T <t@example.org>"}
        text = "".join(f"{key}: {value}\n" for key, value in fields.items()) + "Description: nothing\n"
        (tree / "DEBIAN" / "control").write_text(text)
        deb = self.debs / f"{name}_{version}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, deb], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(tree)

    def build(self, **extra: str) -> tuple[int, str]:
        """Runs the script; answers with its exit status and what it said."""
        done = subprocess.run(
            [SCRIPT, "--from", self.debs, "--to", self.target],
            env={**self.environment, **extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout

    def test_a_path_with_spaces(self) -> None:
        status, said = self.build()
        self.assertEqual(status, 0, said)
        self.assertIn("(2 packages", said)
        files = contents(self.target)
        self.assertIn(b"Package: cairn-one\n", files[PACKAGES])
        self.assertIn(b"Package: cairn-two\n", files[PACKAGES])
        self.assertIn("pool/cairn-one_1.0_amd64.deb", files)

    def test_each_index_is_there_by_its_hash(self) -> None:
        for version in ("1.0", "2.0", "3.0"):
            self.add("cairn-three", version)
            status, said = self.build()
            self.assertEqual(status, 0, said)
            self.assertEqual(by_hash_problems(contents(self.target)), [])

    def test_a_copy_that_fails(self) -> None:
        status, said = self.build()
        self.assertEqual(status, 0, said)
        before = contents(self.target)
        # A full disk: half of the file is there, and cp says so.
        tools = self.folder / "tools"
        tools.mkdir()
        copy = tools / "cp"
        copy.write_text('#!/bin/sh\nfor last; do :; done\necho half > "$last"\necho "cp: No space left" >&2\nexit 1\n')
        copy.chmod(0o755)
        self.add("cairn-three")
        status, said = self.build(PATH=f"{tools}:{os.environ['PATH']}")
        self.assertEqual(status, 1, said)
        self.assertIn("cp: No space left", said)
        self.assertIn("error: could not write", said)
        self.assertEqual(contents(self.target), before)

    def test_what_a_run_that_was_cut_off_left(self) -> None:
        rest = self.target / "pool" / "cairn-one_1.0_amd64.deb.new"
        rest.parent.mkdir(parents=True)
        rest.write_text("half")
        # Not of a package of this run: that one would be written over.
        other = rest.with_name("cairn-gone_1.0_amd64.deb.new")
        other.write_text("half")
        status, said = self.build()
        self.assertEqual((status, rest.exists(), other.exists()), (0, False, False), said)

    def test_a_package_that_no_index_takes(self) -> None:
        self.add("cairn-four", architecture="i386")
        status, said = self.build()
        self.assertEqual(status, 1, said)
        self.assertIn("cairn-four_i386. There are indexes for amd64 arm64", said)
        self.assertFalse((self.target / INRELEASE).exists())

    def test_no_package(self) -> None:
        shutil.rmtree(self.debs)
        status, said = self.build()
        self.assertEqual(status, 1, said)
        self.assertIn("run scripts/build-debs first", said)


if __name__ == "__main__":
    unittest.main()
