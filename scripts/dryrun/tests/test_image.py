"""Reading the host's apt configuration: where Debian's packages come from, and with which settings."""

import tempfile
import unittest
from pathlib import Path

from dryrun import image

DEB822 = """\
# comment
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://mirror.example/debian
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://other.example/node
Suites: nodistro
Components: main
"""

ONE_LINE = """\
deb http://mirror.example/debian bookworm main non-free
deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/sec bookworm-security main # security
deb-src http://mirror.example/debian bookworm main
# deb http://old.example/debian bookworm main
deb http://cloud.example/apt cloud-bookworm main
"""


class Sources(unittest.TestCase):
    def read(self, **files):
        with tempfile.TemporaryDirectory() as folder:
            apt = Path(folder)
            (apt / "sources.list.d").mkdir()
            for name, text in files.items():
                (apt / "sources.list.d" / name.replace("_", ".")).write_text(text)
            return image.debian_sources(apt)

    def test_deb822(self):
        signed = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        self.assertEqual(
            self.read(debian_sources=DEB822),
            (
                f"deb {signed}http://mirror.example/debian bookworm main",
                f"deb {signed}http://mirror.example/debian bookworm-updates main",
            ),
        )

    def test_one_line(self):
        self.assertEqual(
            self.read(debian_list=ONE_LINE),
            (
                "deb http://mirror.example/debian bookworm main",
                "deb [arch=amd64 signed-by=/k.gpg] https://mirror.example/sec bookworm-security main",
            ),
        )

    def test_fields_may_go_on_in_the_next_line(self):
        text = "Types: deb\nURIs: http://m.example/d\nSuites: bookworm\n bookworm-updates\nComponents: main\n"
        self.assertEqual(len(self.read(debian_sources=text)), 2)

    def test_another_release_has_no_sources_for_this_one(self):
        self.assertEqual(self.read(debian_list="deb http://m.example/d trixie main\n"), ())

    def test_the_key_changes_with_the_sources(self):
        one, two = image.Image(("deb a bookworm main",), ()), image.Image(("deb b bookworm main",), ())
        self.assertNotEqual(one.key, two.key)
        # How packages are fetched does not change what is in them.
        self.assertEqual(one.key, image.Image(one.sources, ('Acquire::http::Proxy "http://p:1";',)).key)


class Acquire(unittest.TestCase):
    def test_only_settings_that_fetching_needs(self):
        dump = "\n".join(
            (
                'APT::Architecture "amd64";',
                'Acquire::cdrom::mount "/media/cdrom/";',
                'Acquire::http::Proxy "http://proxy.example:3142";',
                'Acquire::https::CAInfo "/etc/ssl/own.pem";',
                'Acquire::https::mirror.example::Proxy "DIRECT";',
                'Acquire::Check-Date "false";',
                'Acquire::http::Proxy-Auto-Detect "";',
                'DPkg::Post-Invoke:: "rm -f /x";',
            )
        )
        self.assertEqual(
            image.acquire_options(dump),
            (
                'Acquire::http::Proxy "http://proxy.example:3142";',
                'Acquire::https::CAInfo "/etc/ssl/own.pem";',
                'Acquire::https::mirror.example::Proxy "DIRECT";',
                'Acquire::Check-Date "false";',
            ),
        )


if __name__ == "__main__":
    unittest.main()
