"""packaging/cairn-grafana/fetch-secret against a metadata service and a Secrets Manager on loopback."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import unittest
from pathlib import Path

from aws_standin import (
    ACCESS_KEY,
    REGION,
    ROLE,
    SECRET_KEY,
    SESSION_TOKEN,
    Answer,
    AwsStandin,
    State,
    credentials,
)

SCRIPT = Path(__file__).parents[2] / "packaging/cairn-grafana/fetch-secret"
ROLES = "/latest/meta-data/iam/security-credentials/"
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:cairn-demo-grafana-AbCdEf"


class FetchSecret(unittest.TestCase):
    """Each test runs the script as the unit does, as whoever runs the tests."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cairn-fetch-secret-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.state = State(ARN)
        self.aws = self.enterContext(AwsStandin(self.state))

    def start(self, name: str = "run", **extra: str) -> subprocess.Popen[str]:
        """Starts the script; its results go to the folder `name`."""
        environment = {
            "PATH": os.environ["PATH"],
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.aws.url,
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": self.aws.url,
            "AWS_REGION": REGION,
            "CAIRN_GRAFANA_SECRET_ARN": ARN,
            "CAIRN_GRAFANA_RUNTIME_DIRECTORY": str(self.folder / name),
            "CAIRN_GRAFANA_USER": str(os.getuid()),
            "CAIRN_GRAFANA_FETCH_SECONDS": "1",
            "DATA_DIR": str(self.folder / "data"),
            **extra,
        }
        return subprocess.Popen(
            [str(SCRIPT)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run_script(self, name: str = "run", **extra: str) -> tuple[int, str]:
        """Runs the script; answers with its exit status and what it said."""
        process = self.start(name, **extra)
        out, err = process.communicate(timeout=60)
        self.assertEqual(out, "")
        self.assertEqual(self.state.bad_signatures, [])
        return process.returncode, err

    def password(self, name: str = "run") -> str:
        """The password that Grafana would read, after a look at how it is kept."""
        folder = self.folder / name
        line = (folder / "grafana.env").read_text()
        self.assertEqual(line, f"GF_SECURITY_ADMIN_PASSWORD=$__file{{{folder}/admin-password}}\n")
        mode = (folder / "admin-password").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o755)
        self.assertEqual(sorted(os.listdir(folder)), ["admin-password", "grafana.env"])
        return (folder / "admin-password").read_text()

    def refused(self, *wanted: str, **extra: str) -> str:
        """The script fails without results, and says everything in `wanted`; answers with all that it said."""
        status, said = self.run_script(**extra)
        self.assertEqual(status, 1, said)
        for text in (*wanted, "systemctl restart grafana-server"):
            self.assertIn(text, said)
        self.assertFalse((self.folder / "run" / "grafana.env").exists())
        self.assertFalse((self.folder / "run" / "admin-password").exists())
        return said

    # ------------------------------------------------------------------------------------------ the usual ways

    def test_the_first_boot_draws_and_later_ones_read(self) -> None:
        status, said = self.run_script()
        self.assertEqual(status, 0, said)
        password = self.password()
        self.assertRegex(password, r"^[A-Za-z0-9_-]{24}$")
        self.assertEqual(self.state.value, password)
        self.assertEqual(self.state.actions, ["GetSecretValue", "PutSecretValue", "GetSecretValue"])
        self.assertNotIn(password, said)

        status, said = self.run_script("replaced")
        self.assertEqual(status, 0, said)
        self.assertEqual(self.password("replaced"), password)
        self.assertEqual(self.state.actions[3:], ["GetSecretValue"])

    def test_two_secrets_get_two_passwords(self) -> None:
        drawn = set()
        for _ in range(3):
            self.state.value, self.state.versions = None, {}
            self.run_script()
            drawn.add(self.password())
        self.assertEqual(len(drawn), 3)

    def test_without_a_secret_nothing_is_fetched_and_nothing_stale_stays(self) -> None:
        self.run_script()
        status, said = self.run_script(CAIRN_GRAFANA_SECRET_ARN="")
        self.assertEqual((status, said), (0, ""))
        self.assertEqual(os.listdir(self.folder / "run"), [])
        self.assertEqual(len(self.state.actions), 3)

    def test_the_region_comes_from_the_arn_where_none_is_given(self) -> None:
        status, said = self.run_script(AWS_REGION="")
        self.assertEqual(status, 0, said)

    def test_a_value_that_somebody_put_there(self) -> None:
        for value in ['pa"ss\\word/1', "with spaces & $dollar 'quote'", "ümläut", '","SecretString":"x']:
            with self.subTest(value=value):
                self.state.raw_value = None
                self.state.value = value
                if not value.isascii():
                    self.state.raw_value = f'"{value}"'
                status, said = self.run_script()
                self.assertEqual(status, 0, said)
                self.assertEqual(self.password(), value)
                self.assertNotIn(value, said)

    # ------------------------------------------------------------------------------------------ two at once

    def test_two_machines_at_once_end_with_one_password(self) -> None:
        # Both have found the secret empty before either puts its own.
        barrier = threading.Barrier(2, timeout=30)
        waiting = [2]

        def before(action: str) -> None:
            if action == "PutSecretValue" and waiting[0] > 0:
                waiting[0] -= 1
                barrier.wait()

        self.state.before = before
        processes = [self.start(name, CAIRN_GRAFANA_FETCH_SECONDS="20") for name in ("one", "two")]
        for process in processes:
            _, said = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, said)
        self.assertEqual(self.password("one"), self.password("two"))
        self.assertEqual(self.password("one"), self.state.value)
        self.assertEqual(self.state.actions.count("PutSecretValue"), 2)
        self.assertEqual(len(self.state.versions), 1)

    # ------------------------------------------------------------------------------------------ what is secret

    def test_no_secret_is_an_argument_or_a_variable_of_a_process(self) -> None:
        seen: list[str] = []

        def before(_action: str) -> None:
            for process in Path("/proc").glob("[0-9]*"):
                for what in ("cmdline", "environ"):
                    try:
                        text = (process / what).read_bytes().decode(errors="replace")
                    except OSError:
                        continue
                    seen.append(text.replace("\0", " "))

        self.state.before = before
        status, said = self.run_script()
        self.assertEqual(status, 0, said)
        # Ours: another run of the script may be under way on this machine.
        curls = [text for text in seen if re.search(r"^\S*curl .*--aws-sigv4", text) and self.aws.url in text]
        self.assertEqual(len(curls), 3, "each request is seen while it runs")
        for secret in (self.password(), SECRET_KEY, SESSION_TOKEN, ACCESS_KEY):
            for text in seen:
                self.assertNotIn(secret, text)
            self.assertNotIn(secret, said)

    # ------------------------------------------------------------------------------------------ what goes wrong

    def test_a_role_that_appears_late_is_waited_for(self) -> None:
        self.state.role_appears_after = 1
        status, said = self.run_script(CAIRN_GRAFANA_FETCH_SECONDS="20")
        self.assertEqual(status, 0, said)

    def test_what_passes_is_tried_again(self) -> None:
        for answer in (
            Answer(400, "ThrottlingException", "Rate exceeded"),
            Answer(500, "InternalServiceError", "later"),
            Answer(400, "com.amazonaws#AccessDeniedException", "not yet"),
            Answer(400, "ExpiredTokenException", "expired"),
        ):
            with self.subTest(kind=answer.kind):
                self.state.value = "kept"
                self.state.planned = {"GetSecretValue": [answer]}
                status, said = self.run_script(CAIRN_GRAFANA_FETCH_SECONDS="20")
                self.assertEqual((status, self.password()), (0, "kept"), said)

    def test_a_value_that_shows_late_is_put_once(self) -> None:
        not_yet = Answer(400, "ResourceNotFoundException", "no value")
        self.state.planned = {"GetSecretValue": [not_yet] * 2}
        status, said = self.run_script(CAIRN_GRAFANA_FETCH_SECONDS="20")
        self.assertEqual((status, self.password()), (0, self.state.value), said)
        self.assertEqual(self.state.actions.count("PutSecretValue"), 1)

    def test_no_metadata_service(self) -> None:
        self.refused(
            "no answer from the metadata service at http://127.0.0.1:1/latest",
            "Is this an EC2 instance?",
            AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1",
        )

    def test_the_metadata_service_is_off(self) -> None:
        self.state.imds_status = 403
        self.refused("refuses (403)", "aws ec2 modify-instance-metadata-options --http-endpoint enabled")

    def test_no_role(self) -> None:
        self.state.role_appears_after = 1000
        self.refused("iam/security-credentials/ does not exist (404)", "aws ec2 associate-iam-instance-profile")

    def test_a_token_cannot_give_options_to_curl(self) -> None:
        written = self.folder / "written"
        for token in (f'x"\noutput = "{written}"\n#', 'x"', "x y", ""):
            with self.subTest(token=token):
                self.state.imds_texts = {"/latest/api/token": token}
                self.refused("/latest/api/token answers is no token")
                self.assertFalse(written.exists())
        self.assertEqual(self.state.imds_paths, [])

    def test_a_role_is_a_name_and_nothing_else(self) -> None:
        for role in ("[1-3]", "{a,b}", "a/../b", "a?b", "a b", ""):
            with self.subTest(role=role):
                self.state.imds_paths.clear()
                self.state.imds_texts = {ROLES: role}
                self.refused("security-credentials/ answers is no name of a role")
                self.assertEqual(self.state.imds_paths, [ROLES])
        role = "cairn_demo+=,.@-grafana"
        self.state.imds_texts = {ROLES: f"{role}\nother", ROLES + role: credentials()}
        status, said = self.run_script()
        self.assertEqual(status, 0, said)

    def test_brackets_in_an_address_are_no_pattern(self) -> None:
        self.refused("does not exist (404)", AWS_EC2_METADATA_SERVICE_ENDPOINT=f"{self.aws.url}/[1-3]")
        self.assertEqual(self.state.imds_paths, ["/[1-3]/latest/meta-data/iam/security-credentials/"])

    def test_an_answer_without_end_is_cut(self) -> None:
        for size in (66_000, 4_000_000):
            for filler in ("x\n", "\0"):
                with self.subTest(size=size, filler=filler):
                    self.state.imds_texts = {ROLES + ROLE: credentials() + filler * (size // len(filler))}
                    said = self.refused(f"{ROLES}{ROLE}: it sends more than 65536 bytes")
                    self.assertNotIn("null byte", said)
        self.state.imds_texts = {}
        self.state.raw_value = '"known","Padding":"' + "x" * 70_000 + '"'
        self.refused("no answer from", "it sends more than 65536 bytes. Check the machine's route")

    def test_what_is_wanted_comes_first_in_a_long_answer(self) -> None:
        # A reader that stopped at the first line would have the writer killed (SIGPIPE).
        self.state.value = "kept"
        self.state.imds_texts = {ROLES + ROLE: credentials() + '\n"Token" : "another"' + "\n" * 60_000}
        for _ in range(3):
            status, said = self.run_script()
            self.assertEqual((status, said.count("error:")), (0, 0), said)
            self.assertEqual(self.password(), "kept")

    def test_no_secrets_manager(self) -> None:
        self.refused(
            "no answer from http://127.0.0.1:1/: curl: (7)",
            "Check the machine's route to Secrets Manager",
            AWS_ENDPOINT_URL_SECRETS_MANAGER="http://127.0.0.1:1",
        )

    def test_a_role_without_the_right(self) -> None:
        denied = Answer(400, "AccessDeniedException", "User: x is not authorized")
        for action in ("GetSecretValue", "PutSecretValue"):
            with self.subTest(action=action):
                self.state.planned = {action: [denied] * 20}
                self.refused(f"the instance's role may not secretsmanager:{action} on {ARN}: User: x is not authorized")

    def test_a_wrong_arn(self) -> None:
        self.refused(
            "is not the ARN of a secret: nonsense",
            "/etc/cairn/grafana.env",
            CAIRN_GRAFANA_SECRET_ARN="nonsense",
        )
        self.refused("is not the ARN of a secret", CAIRN_GRAFANA_SECRET_ARN=ARN + '","x":"')
        self.assertEqual(self.state.actions, [])

    def test_a_secret_that_is_not_there(self) -> None:
        self.state.exists = False
        self.refused(f"{ARN} does not exist", "make the secret")

    def test_a_secret_that_is_being_deleted(self) -> None:
        text = "You can't perform this operation on the secret because it was marked for deletion."
        self.state.planned = {"GetSecretValue": [Answer(400, "InvalidRequestException", text)]}
        self.refused(text, f"aws secretsmanager restore-secret --secret-id {ARN}")

    def test_an_answer_that_nobody_expects(self) -> None:
        self.state.planned = {"GetSecretValue": [Answer(400, "DecryptionFailure", "key is gone")]}
        self.refused("answers 400 to GetSecretValue", "DecryptionFailure key is gone")

    def test_a_value_that_is_no_password(self) -> None:
        for raw, text in (
            (r'"line\nbreak"', "line breaks or control characters"),
            (r'"back\\slash and \u0001"', "line breaks or control characters"),
            (r'"{\"password\":\"x\"}"', "a JSON document instead of the bare password"),
            ('""', "holds no text"),
        ):
            with self.subTest(raw=raw):
                self.state.raw_value = raw
                self.refused(text, f"aws secretsmanager put-secret-value --secret-id {ARN}")

    def test_an_outage_does_not_keep_a_grafana_with_a_database_from_starting(self) -> None:
        (self.folder / "data").mkdir()
        (self.folder / "data" / "grafana.db").write_text("SQLite")
        self.state.value = "the real one"
        drawn = set()
        for _ in range(2):
            status, said = self.run_script(AWS_ENDPOINT_URL_SECRETS_MANAGER="http://127.0.0.1:1")
            self.assertEqual(status, 0, said)
            self.assertIn("warning: no answer from http://127.0.0.1:1/", said)
            self.assertIn("grafana.db is there already", said)
            drawn.add(self.password())
        # Nobody knows it, and it is never the default one.
        self.assertEqual(len(drawn), 2)
        self.assertTrue(all(re.fullmatch(r"[A-Za-z0-9_-]{24}", text) for text in drawn), drawn)
        status, said = self.run_script()
        self.assertEqual((status, self.password()), (0, "the real one"), said)


if __name__ == "__main__":
    unittest.main()
