"""Choosing packages, the next release of one, dpkg's database of a machine that is off, and Grafana's index."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from dryrun import grafana, repack, repository
from dryrun.steps import bad_input, refusals, releases

TREE = Path(__file__).resolve().parents[3]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, text=""):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


@unittest.skipUnless(shutil.which("dpkg-deb"), "no dpkg")
class Debs(Folder):
    def deb(self, version):
        tree = self.folder / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: cairn-x\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: A <a@example.invalid>\nDescription: x\n"
        )
        subprocess.run(["dpkg-deb", "--build", tree, self.folder], check=True, capture_output=True)
        return self.folder / f"cairn-x_{version}_all.deb"

    def test_the_next_release_differs_in_its_version_only(self):
        old = self.deb("0.1.0")
        new = repack.repack(old, "0.1.0.1", self.folder)
        self.assertEqual(repack.field(new, "Version"), "0.1.0.1")
        self.assertEqual(repack.field(new, "Maintainer"), repack.field(old, "Maintainer"))
        self.assertEqual(set(self.folder.glob("cairn-x*")), {old, new})

    def test_a_next_release_may_bring_another_configuration_file(self):
        tree = self.folder / "tree"
        old = self.deb("0.1.0")
        for name in ("etc/cairn/x.toml", "etc/logrotate.d/x", "usr/share/x.toml"):
            self.write(f"tree/{name}", "a = 1\n")
        (tree / "DEBIAN/conffiles").write_text("/etc/cairn/x.toml\n/etc/logrotate.d/x\n")
        subprocess.run(["dpkg-deb", "--build", tree, self.folder], check=True, capture_output=True)
        texts = []
        for version, change in (("0.1.0.1", True), ("0.1.0.2", False)):
            new = repack.repack(old, version, self.folder, change_conffiles=change)
            out = self.folder / version
            subprocess.run(["dpkg-deb", "--extract", new, out], check=True)
            texts.append([(out / n).read_text() for n in ("etc/cairn/x.toml", "etc/logrotate.d/x", "usr/share/x.toml")])
        self.assertEqual(texts, [[f"a = 1\n{repack.NEW_LINE}", "a = 1\n", "a = 1\n"], ["a = 1\n"] * 3])

    def test_a_missing_package_is_named_with_what_to_do(self):
        with self.assertRaisesRegex(repository.PackagesMissing, "no cairn-app package.*scripts/build-debs"):
            repository.newest_debs(self.folder)

    def test_packages_older_than_their_sources_are_noticed(self):
        subprocess.run(["git", "init", "-q", self.folder], check=True)
        source = self.write("daemons/x.rs")
        self.write("README.md")
        subprocess.run(["git", "-C", self.folder, "add", "."], check=True)
        built = source.stat().st_mtime
        self.assertEqual(repository.changed_since(self.folder, built), "")
        self.assertEqual(repository.changed_since(self.folder, built - 1), "daemons/x.rs")

    def test_debug_symbols_are_not_taken_for_the_package(self):
        architecture = subprocess.run(
            ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in repository.PACKAGES:
            self.write(f"{name}_1_{architecture}.deb")
            self.write(f"{name}-dbgsym_1_{architecture}.deb")
        found = repository.newest_debs(self.folder)
        self.assertEqual(
            {deb.name for deb in found.values()}, {f"{n}_1_{architecture}.deb" for n in repository.PACKAGES}
        )


class Unfinished(Folder):
    def test_database_and_journal_together(self):
        self.write(
            "var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nDescription: x\n y: z\n\n"
            "Package: b\nStatus: install ok unpacked\n",
        )
        self.assertEqual(bad_input.unfinished(self.folder, ("a", "b", "c")), ["b", "c"])
        # dpkg writes what it did since into files of its own, later ones on top.
        self.write("var/lib/dpkg/updates/0001", "Package: b\nStatus: install ok half-configured\n")
        self.write("var/lib/dpkg/updates/0002", "Package: b\nStatus: install ok installed\n")
        self.write("var/lib/dpkg/updates/tmp.i", "Package: a\nStatus: install ok unpacked\n")
        self.assertEqual(bad_input.unfinished(self.folder, ("a", "b")), [])


class GrafanaIndex(unittest.TestCase):
    def test_terraforms_defaults_are_found(self):
        self.assertRegex(grafana.default_of(TREE, "grafana_version"), r"^\d+\.\d+\.\d+$")
        self.assertRegex(grafana.default_of(TREE, "grafana_apt_fingerprint"), r"^[0-9A-F]{40}$")
        with self.assertRaises(ValueError):
            grafana.default_of(TREE, "grafana_colour")

    def test_the_package_of_a_version(self):
        index = (
            "Package: grafana\nVersion: 12.0.0\nFilename: ./pool/main/g/old.deb\n\n"
            "Package: grafana-enterprise\nVersion: 13.2.2\nFilename: pool/e.deb\n\n"
            "Package: grafana\nVersion: 13.2.2\nFilename: ./pool/main/g/new.deb\n"
        )
        self.assertEqual(grafana.package_path(index, "13.2.2"), "pool/main/g/new.deb")
        self.assertIsNone(grafana.package_path(index, "14.0.0"))


class Guide(unittest.TestCase):
    def test_the_upgrade_is_typed_as_documented(self):
        line = releases.upgrade_line((TREE / releases.GUIDE).read_text())
        self.assertEqual(line, "sudo apt-get update && sudo apt-get install --only-upgrade '?installed?origin(cairn)'")

    def test_a_guide_without_it_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "a new release"):
            releases.upgrade_line("| a new release | just wait |\n| other | `sudo apt-get update && sudo x` |\n")


class Script(unittest.TestCase):
    def test_a_failure_has_to_name_the_step(self):
        for status, said, refused in (
            (1, "cairn-boot: FAILED in step 'packages' (line 3)", True),
            (1, "cairn-boot: FAILED in step 'data volume' (line 3)", False),
            (0, "cairn-boot: FAILED in step 'packages' (line 3)", False),
            (1, "", False),
        ):
            done = subprocess.CompletedProcess([], status, said, "")
            self.assertEqual(refusals.refused_in("packages", done), refused, said)

    def test_capabilities_are_read_from_the_effective_set(self):
        for mask, has in (("000001ffffffffff", True), ("000001fffeffffff", False), ("0000000001000000", True)):
            status = f"Name:\tcat\nCapPrm:\t000001ffffffffff\nCapEff:\t{mask}\nCapBnd:\t000001ffffffffff\n"
            self.assertEqual(refusals.has_capability(status, refusals.CAP_SYS_RESOURCE), has, mask)
        self.assertFalse(refusals.has_capability("", refusals.CAP_SYS_RESOURCE))

    def test_a_disguised_key_is_the_key_under_another_title(self):
        key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"
        self.assertEqual(
            refusals.disguised(key), b"-----BEGIN CAIRN NOTICE-----\n\nabc\n-----END CAIRN NOTICE-----\n"
        )


if __name__ == "__main__":
    unittest.main()
