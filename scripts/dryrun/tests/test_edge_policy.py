"""The bucket policy as the edge judges it: Cairn's own in each situation, and policies it must refuse to judge."""

from __future__ import annotations

import copy
import unittest
from typing import Any

from dryrun.edge_policy import Decision, PolicyError, Request, evaluate

ARN = "arn:aws:s3:::cairn-demo-packages-123456789012"
POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "AptFromTheVpc",
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"{ARN}/apt/*",
            "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}},
        },
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [ARN, f"{ARN}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ],
}
INSIDE = {"aws:securetransport": "true", "aws:sourcevpce": "vpce-1"}


def ask(key: str, action: str = "s3:GetObject", policy: dict[str, Any] = POLICY, **context: str) -> Decision:
    facts = {**INSIDE, **{name.replace("_", ":", 1): value for name, value in context.items()}}
    facts = {name: value for name, value in facts.items() if value != "absent"}
    return evaluate(policy, Request(action, f"{ARN}/{key}" if key else ARN, facts))


class CairnsPolicy(unittest.TestCase):
    def test_packages_through_the_endpoint(self) -> None:
        self.assertIs(ask("apt/dists/stable/InRelease"), Decision.ALLOW)
        self.assertIs(ask("apt/pool/x_1.0~rc1_amd64.deb"), Decision.ALLOW)

    def test_without_the_endpoint(self) -> None:
        self.assertIs(ask("apt/x", aws_sourcevpce="absent"), Decision.SILENT)
        self.assertIs(ask("apt/x", aws_sourcevpce="vpce-2"), Decision.SILENT)

    def test_other_keys_and_actions(self) -> None:
        self.assertIs(ask("other/x"), Decision.SILENT)
        self.assertIs(ask("aptx"), Decision.SILENT)
        self.assertIs(ask("", "s3:ListBucket"), Decision.SILENT)
        for action in ("s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion", "s3:GetObjectAcl"):
            self.assertIs(ask("apt/x", action), Decision.SILENT, action)

    def test_without_tls_the_denial_wins(self) -> None:
        for key in ("apt/x", "other/x", ""):
            self.assertIs(ask(key, aws_securetransport="false"), Decision.DENY, key)

    def test_the_order_of_statements_does_not_matter(self) -> None:
        turned = {**POLICY, "Statement": POLICY["Statement"][::-1]}
        self.assertIs(ask("apt/x", policy=turned, aws_securetransport="false"), Decision.DENY)
        self.assertIs(ask("apt/x", policy=turned), Decision.ALLOW)


class Grammar(unittest.TestCase):
    def statement(self, **changes: Any) -> dict[str, Any]:
        """Cairn's policy with its first statement changed; None removes an element."""
        policy = copy.deepcopy(POLICY)
        policy["Statement"][0].update(changes)
        policy["Statement"][0] = {name: value for name, value in policy["Statement"][0].items() if value is not None}
        return policy

    def test_one_statement_without_a_list(self) -> None:
        self.assertIs(ask("apt/x", policy={"Statement": POLICY["Statement"][0]}), Decision.ALLOW)

    def test_everybody_in_both_forms_and_nobody_else(self) -> None:
        self.assertIs(ask("apt/x", policy=self.statement(Principal={"AWS": ["*"]})), Decision.ALLOW)
        for principal in ({"AWS": "arn:aws:iam::123456789012:root"}, {"Service": "ec2.amazonaws.com"}, None):
            self.assertIs(ask("apt/x", policy=self.statement(Principal=principal)), Decision.SILENT, principal)

    def test_wildcards(self) -> None:
        self.assertIs(ask("apt/x", policy=self.statement(Action="S3:Get*")), Decision.ALLOW)
        self.assertIs(ask("apt/x", policy=self.statement(Resource=f"{ARN}/ap?/x")), Decision.ALLOW)
        self.assertIs(ask("apt.x", policy=self.statement(Resource=f"{ARN}/apt/x")), Decision.SILENT)
        self.assertIs(ask("aptzx", policy=self.statement(Resource=f"{ARN}/apt.x")), Decision.SILENT)

    def test_several_conditions_all_have_to_hold(self) -> None:
        both = {"StringEquals": {"aws:SourceVpce": ["vpce-0", "vpce-1"]}, "Bool": {"aws:SecureTransport": True}}
        self.assertIs(ask("apt/x", policy=self.statement(Condition=both)), Decision.ALLOW)
        self.assertIs(ask("apt/x", policy=self.statement(Condition=both), aws_sourcevpce="vpce-2"), Decision.SILENT)

    def test_an_absent_key_fails_an_operator_and_holds_for_its_negation(self) -> None:
        equal = self.statement(Condition={"StringEquals": {"aws:sourceip": "1.2.3.4"}})
        unequal = self.statement(Condition={"StringNotEquals": {"aws:sourceip": "1.2.3.4"}})
        self.assertIs(ask("apt/x", policy=equal), Decision.SILENT)
        self.assertIs(ask("apt/x", policy=unequal), Decision.ALLOW)
        self.assertIs(ask("apt/x", policy=unequal, aws_sourceip="1.2.3.4"), Decision.SILENT)

    def test_addresses(self) -> None:
        within = self.statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/16"}})
        self.assertIs(ask("apt/x", policy=within, aws_sourceip="10.0.1.12"), Decision.ALLOW)
        self.assertIs(ask("apt/x", policy=within, aws_sourceip="10.1.1.12"), Decision.SILENT)

    def test_what_cannot_be_judged_is_an_error(self) -> None:
        for changes in (
            {"Condition": {"StringEqualsIfExists": {"aws:SourceVpce": "vpce-1"}}},
            {"Condition": {"IpAddress": {"aws:SourceVpce": "10.0.0.0/99"}}},
            {"NotAction": "s3:PutObject", "Action": None},
            {"NotPrincipal": {"AWS": "x"}},
            {"Effect": "allow"},
        ):
            with self.subTest(changes), self.assertRaises(PolicyError):
                ask("apt/x", policy=self.statement(**changes))

    def test_an_error_shows_even_in_a_statement_about_something_else(self) -> None:
        policy = self.statement(Resource=f"{ARN}/other/*", Condition={"Typo": {"aws:SourceVpce": "vpce-1"}})
        with self.assertRaises(PolicyError):
            ask("apt/x", policy=policy)

    def test_an_empty_policy_says_nothing(self) -> None:
        self.assertIs(ask("apt/x", policy={"Statement": []}), Decision.SILENT)


if __name__ == "__main__":
    unittest.main()
