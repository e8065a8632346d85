"""What is read out of Terraform's output."""

from __future__ import annotations

import unittest
from pathlib import Path

from dryrun.terraform import Outcome, errors, progress_of

FAILED = """aws_vpc.this: Creating...
╷
│ Warning: Something is old
│
│   with aws_vpc.this,
╵
╷
│ Error: Invalid value for variable
│
│   on variables.tf line 40:
│   40: variable "allowed_ssh_cidr" {
│
│ allowed_ssh_cidr is "0.0.0.0/0": write a network.
╵
"""
APPLYING = """Plan: 3 to add, 1 to change, 0 to destroy.
aws_vpc.this: Creation complete after 1s [id=vpc-1]
aws_subnet.this: Still creating... [10s elapsed]
aws_iam_role.this: Modifications complete after 0s [id=x]
"""


class Output(unittest.TestCase):
    def test_errors_and_nothing_else(self) -> None:
        self.assertEqual(
            errors(FAILED).splitlines(),
            [
                "Error: Invalid value for variable",
                "  on variables.tf line 40:",
                '  40: variable "allowed_ssh_cidr" {',
                'allowed_ssh_cidr is "0.0.0.0/0": write a network.',
            ],
        )

    def test_without_an_error_the_last_lines(self) -> None:
        self.assertEqual(errors("\n".join(map(str, range(100)))).splitlines(), [str(n) for n in range(85, 100)])

    def test_warnings(self) -> None:
        self.assertEqual(Outcome(1, 0.0, FAILED, Path("x")).warnings, ["Something is old"])
        self.assertEqual(Outcome(0, 0.0, APPLYING, Path("x")).warnings, [])

    def test_progress(self) -> None:
        self.assertEqual(progress_of(APPLYING), ", 2 of 4 done")
        self.assertEqual(progress_of("Initializing..."), "")


if __name__ == "__main__":
    unittest.main()
