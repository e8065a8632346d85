"""What the edge asks moto: who has an address, which way a request came, a bucket's policy, a role's credentials.

Answers are kept for a second, because apt and cloud-init ask dozens of times in a row, and no longer, because a
replaced instance takes over its predecessor's address.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

KEEP_SECONDS = 1.0
# Role credentials are renewed when less than this is left of them; AWS renews about five minutes ahead as well.
RENEW_SECONDS = 300
CREDENTIAL_SECONDS = 3600


class RoleUnusable(Exception):
    """The instance's role gives no credentials: there is none, or its trust policy does not name EC2."""


class Lookup:
    """Reads moto as one identity. Safe between threads."""

    def __init__(self, moto: str, region: str, key_id: str, secret: str) -> None:
        self.region = region
        options = {
            "endpoint_url": moto,
            "region_name": region,
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            "config": Config(
                max_pool_connections=64, connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 2}
            ),
        }
        self._ec2, self._iam, self._sts = (boto3.client(name, **options) for name in ("ec2", "iam", "sts"))
        self.s3 = boto3.client("s3", **options)
        self.account = self._sts.get_caller_identity()["Account"]
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[float, Any]] = {}
        self._credentials: dict[tuple[str, str], dict[str, Any]] = {}

    def instance_at(self, address: str) -> dict[str, Any] | None:
        """The instance that has this private address now."""

        def ask() -> dict[str, Any] | None:
            found = self._ec2.describe_instances(
                Filters=[
                    {"Name": "private-ip-address", "Values": [address]},
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ]
            )
            return next((one for group in found["Reservations"] for one in group["Instances"]), None)

        return self._recent(("instance", address), ask)

    def subnet(self, subnet_id: str) -> dict[str, Any]:
        """A subnet as the API describes it."""
        return self._recent(
            ("subnet", subnet_id), lambda: self._ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"][0]
        )

    def user_data(self, instance_id: str) -> bytes | None:
        """The instance's user-data as it was given, decoded."""
        answer = self._ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
        value = answer.get("UserData", {}).get("Value")
        return base64.b64decode(value) if value else None

    def source_endpoint(self, address: str) -> str | None:
        """The S3 gateway endpoint through which a request from this address goes, if any.

        As in a VPC: the address's subnet, that subnet's route table (else the VPC's main one), an endpoint in it.
        """
        return self._recent(("endpoint", address), lambda: self._find_endpoint(address))

    def _find_endpoint(self, address: str) -> str | None:
        source = ipaddress.ip_address(address)
        # A VPC of the API's own (moto has a default one) may overlap: the address belongs to whoever uses it.
        instance = self.instance_at(address)
        wanted = instance["SubnetId"] if instance else None
        for subnet in self._ec2.describe_subnets()["Subnets"]:
            if (subnet["SubnetId"] != wanted) if wanted else (source not in ipaddress.ip_network(subnet["CidrBlock"])):
                continue
            tables = self._ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [subnet["VpcId"]]}])
            table = route_table_of(subnet["SubnetId"], tables["RouteTables"])
            for endpoint in self._ec2.describe_vpc_endpoints()["VpcEndpoints"]:
                if (
                    endpoint["ServiceName"] == f"com.amazonaws.{self.region}.s3"
                    and table in endpoint.get("RouteTableIds", [])
                    and endpoint["State"].lower() not in ("deleting", "deleted")
                ):
                    return endpoint["VpcEndpointId"]
        return None

    def bucket_policy(self, bucket: str) -> dict[str, Any] | None:
        """A bucket's policy, None if there is no bucket of that name or it has none."""

        def ask() -> dict[str, Any] | None:
            try:
                return json.loads(self.s3.get_bucket_policy(Bucket=bucket)["Policy"])
            except ClientError:
                return None

        return self._recent(("policy", bucket), ask)

    def role_name(self, instance: dict[str, Any]) -> str | None:
        """The name of the role in the instance's profile."""
        profile = instance.get("IamInstanceProfile")
        if not profile:
            return None
        name = profile["Arn"].rsplit("/", 1)[-1]

        def ask() -> str | None:
            try:
                roles = self._iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
            except ClientError:
                return None
            return roles[0]["RoleName"] if roles else None

        return self._recent(("role", name), ask)

    def role_credentials(self, instance: dict[str, Any]) -> dict[str, Any]:
        """Credentials of the instance's role, from AssumeRole. Raises RoleUnusable."""
        role = self.role_name(instance)
        if role is None:
            raise RoleUnusable("the instance has no role")
        which = (role, instance["InstanceId"])
        with self._lock:
            kept = self._credentials.get(which)
        if kept and kept["Expiration"].timestamp() - time.time() > RENEW_SECONDS:
            return kept
        try:
            new = self._sts.assume_role(
                RoleArn=f"arn:aws:iam::{self.account}:role/{role}",
                RoleSessionName=instance["InstanceId"],
                DurationSeconds=CREDENTIAL_SECONDS,
            )["Credentials"]
        except ClientError as problem:
            raise RoleUnusable(f"AssumeRole of {role}: {problem}") from None
        with self._lock:
            self._credentials[which] = new
        return new

    def _recent(self, which: tuple[str, ...], ask: Callable[[], Any]) -> Any:
        """The answer of `ask`, at most KEEP_SECONDS old. Two threads may ask at once: both answers are right."""
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(which)
            if kept and now - kept[0] < KEEP_SECONDS:
                return kept[1]
        answer = ask()
        with self._lock:
            self._kept = {key: entry for key, entry in self._kept.items() if now - entry[0] < KEEP_SECONDS}
            self._kept[which] = (now, answer)
        return answer


def route_table_of(subnet_id: str, tables: list[dict[str, Any]]) -> str | None:
    """The route table that a subnet uses: the one associated with it, else the VPC's main one."""
    main = None
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet_id:
                return table["RouteTableId"]
            if association.get("Main"):
                main = table["RouteTableId"]
    return main
