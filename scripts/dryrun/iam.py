"""Identities of the local AWS, and the switch that makes moto check them.

Two users: the operator, who runs Terraform and whom the dry run's own readers use, and the service EC2 itself, as which
the edge hands role credentials to machines. moto knows no service principals, so that one is a user whose *name* is the
principal; moto_patches.py compares it with the roles' trust policies.
"""

from __future__ import annotations

import json

from dryrun.aws_client import AwsClient, Credentials

OPERATOR = "cairn-operator"
EC2_SERVICE = "ec2.amazonaws.com"

_EVERYTHING = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


def create_user(aws: AwsClient, name: str) -> Credentials:
    """Makes a user who may do everything, and returns its key. To be called while nothing is enforced."""
    aws.call("iam", "create_user", UserName=name)
    aws.call("iam", "put_user_policy", UserName=name, PolicyName="everything", PolicyDocument=_EVERYTHING)
    key = aws.call("iam", "create_access_key", UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def enforce(aws: AwsClient, on: bool) -> None:
    """From now on moto checks signatures and policies of every call, or of none."""
    # The number of calls that moto lets pass unchecked: none, or all.
    aws.moto_switch("/moto-api/reset-auth", "0" if on else "inf")
