"""moto's patches against the pinned moto: each finds what it replaces, and does what its comment says.

Runs in the venv (test_cloud_in_venv.py), against moto in this very process, without a server.
"""

from __future__ import annotations

import copy
import json
import tempfile
import threading
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from dryrun import moto_patches
from dryrun.moto_patches_iam import with_encoded_query
from dryrun.moto_patching import MotoChanged, replace

CONSOLES = tempfile.TemporaryDirectory()
unittest.addModuleCleanup(CONSOLES.cleanup)
moto_patches.announce_debian_images()
moto_patches.apply(Path(CONSOLES.name))

# moto must not be imported before its list of images is set, nor boto3 before moto.
import boto3  # noqa: E402
import moto  # noqa: E402
import moto.s3.models  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402
from moto.core.authorization import enable_iam_authentication  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

REGION = "us-east-1"


def client(
    service: str, key: dict[str, str] | None = None, *, region: str = REGION, endpoint: str | None = None
) -> Any:
    key = key or {"AccessKeyId": "test", "SecretAccessKey": "test"}
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
    )


class Replacing(unittest.TestCase):
    def test_a_name_that_is_gone_is_an_error(self) -> None:
        class Owner:
            def here(self) -> int:
                return 1

        replace(Owner, "here", lambda original: lambda self: original(self) + 1)
        self.assertEqual(Owner().here(), 2)
        with self.assertRaisesRegex(MotoChanged, "Owner.gone"):
            replace(Owner, "gone", lambda original: original)

    def test_an_inherited_name_counts_as_gone(self) -> None:
        class Base:
            def here(self) -> None: ...

        class Owner(Base):
            pass

        with self.assertRaises(MotoChanged):
            replace(Owner, "here", lambda original: original)


class Patched(unittest.TestCase):
    """A VPC with one subnet, fresh for each test."""

    def setUp(self) -> None:
        aws = moto.mock_aws()
        aws.start()
        self.addCleanup(aws.stop)
        self.ec2, self.s3, self.iam = client("ec2"), client("s3"), client("iam")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
        self.group = self.ec2.create_security_group(GroupName="g", Description="d", VpcId=self.vpc)["GroupId"]

    def instance(self) -> str:
        made = self.ec2.run_instances(
            ImageId="ami-0deb1200000000001",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": self.subnet,
                    "PrivateIpAddress": "10.0.1.11",
                    "AssociatePublicIpAddress": True,
                    "Groups": [self.group],
                }
            ],
        )
        return made["Instances"][0]["InstanceId"]

    def only_instance(self) -> dict[str, Any]:
        return self.ec2.describe_instances()["Reservations"][0]["Instances"][0]

    def test_debian_images(self) -> None:
        found = self.ec2.describe_images(
            Owners=["136693071363"], Filters=[{"Name": "name", "Values": ["debian-12-arm64-*"]}]
        )["Images"]
        self.assertEqual([image["Architecture"] for image in found], ["arm64"])

    def test_a_second_region(self) -> None:
        for _ in range(2):
            found = client("ec2", region="eu-central-1").describe_images(Owners=["136693071363"])["Images"]
            self.assertEqual(len(found), 2)

    def test_detailed_monitoring(self) -> None:
        instance = self.instance()
        self.ec2.monitor_instances(InstanceIds=[instance])
        self.ec2.unmonitor_instances(InstanceIds=[instance])

    def test_groups_of_an_instance(self) -> None:
        self.instance()
        groups = self.only_instance()["SecurityGroups"]
        self.assertEqual([group["GroupId"] for group in groups], [self.group])

    def test_address_of_a_terminated_instance(self) -> None:
        self.ec2.terminate_instances(InstanceIds=[self.instance()])
        self.instance()

    def test_no_public_address(self) -> None:
        self.ec2.run_instances(ImageId="ami-0deb1200000000001", MinCount=1, MaxCount=1, SubnetId=self.subnet)
        self.assertNotIn("Association", self.only_instance()["NetworkInterfaces"][0])

    def test_interface_of_a_nat_gateway(self) -> None:
        def interfaces() -> int:
            return len(self.ec2.describe_network_interfaces()["NetworkInterfaces"])

        before = interfaces()
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        gateway = self.ec2.create_nat_gateway(SubnetId=self.subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
        self.assertEqual(interfaces(), before + 1)
        self.ec2.delete_nat_gateway(NatGatewayId=gateway)
        self.assertEqual(interfaces(), before)
        self.ec2.release_address(AllocationId=address)

    def test_description_of_group_rules(self) -> None:
        rule = {
            "IpProtocol": "tcp",
            "FromPort": 3100,
            "ToPort": 3100,
            "UserIdGroupPairs": [{"GroupId": self.group, "Description": "queries"}],
        }
        self.ec2.authorize_security_group_ingress(GroupId=self.group, IpPermissions=[rule])
        rules = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [self.group]}])
        (found,) = (one for one in rules["SecurityGroupRules"] if not one["IsEgress"])
        self.assertEqual(found["Description"], "queries")

    def test_console_output(self) -> None:
        instance = self.instance()
        self.assertEqual(self.ec2.get_console_output(InstanceId=instance).get("Output", ""), "")
        text = "x" * (80 * 1024) + "cairn-boot: ready\n"
        (Path(CONSOLES.name) / f"{instance}.log").write_text(text)
        output = self.ec2.get_console_output(InstanceId=instance)["Output"]
        self.assertTrue(output.endswith("cairn-boot: ready\n"))
        self.assertEqual(len(output), 64 * 1024)

    def bucket(self, policy: list[dict[str, Any]]) -> None:
        self.s3.create_bucket(Bucket="bucket")
        self.s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        self.s3.put_object(Bucket="bucket", Key="k", Body=b"1")
        self.s3.put_bucket_policy(Bucket="bucket", Policy=json.dumps({"Version": "2012-10-17", "Statement": policy}))

    def test_a_condition_takes_a_statement_out(self) -> None:
        deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"}
        self.bucket([{**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}])
        self.assertEqual(self.s3.get_object(Bucket="bucket", Key="k")["Body"].read(), b"1")

    def test_a_denial_without_condition_still_holds(self) -> None:
        self.bucket([{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket/*"}])
        with self.assertRaises(ClientError):
            self.s3.get_object(Bucket="bucket", Key="k")

    def test_emptying_a_versioned_bucket(self) -> None:
        self.bucket([])
        self.s3.delete_object(Bucket="bucket", Key="k")
        listed = self.s3.list_object_versions(Bucket="bucket")
        versions = listed["Versions"] + listed["DeleteMarkers"]
        self.assertEqual(len(versions), 2)
        for version in versions:
            self.s3.delete_object(Bucket="bucket", Key="k", VersionId=version["VersionId"])
        self.s3.delete_bucket(Bucket="bucket")

    def test_listing_beside_changes(self) -> None:
        """A deletion that comes in the middle of a listing has to wait for its end."""
        self.s3.create_bucket(Bucket="bucket")
        backend = moto.s3.models.s3_backends["123456789012"]["aws"]
        for key in ("a", "b"):
            backend.put_object("bucket", key, b"")
        deleting = threading.Thread(target=lambda: backend.delete_object("bucket", "b"))
        original = copy.deepcopy

        def in_the_middle(value: Any) -> Any:
            if not deleting.ident:
                deleting.start()
                deleting.join(timeout=0.5)
            return original(value)

        with mock.patch.object(moto.s3.models.copy, "deepcopy", in_the_middle):
            versions = backend.list_object_versions("bucket")[0]
        deleting.join()
        self.assertEqual([version.name for version in versions], ["a", "b"])
        self.assertEqual([version.name for version in backend.list_object_versions("bucket")[0]], ["a"])

    def role(self, name: str, secret: str | None) -> None:
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
        self.iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        )
        if secret:
            statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret}
            self.iam.put_role_policy(
                RoleName=name,
                PolicyName="p",
                PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
            )

    def user(self, name: str) -> dict[str, str]:
        self.iam.create_user(UserName=name)
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        self.iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(everything))
        return self.iam.create_access_key(UserName=name)["AccessKey"]

    def test_enforced_policies_see_the_secret(self) -> None:
        secrets = client("secretsmanager")
        mine = secrets.create_secret(Name="mine", SecretString="1")["ARN"]
        other = secrets.create_secret(Name="other", SecretString="2")["ARN"]
        self.role("grafana", mine)
        self.role("app", None)
        service = self.user("ec2.amazonaws.com")
        with enable_iam_authentication():
            keys = {
                role: client("sts", service).assume_role(
                    RoleArn=f"arn:aws:iam::123456789012:role/{role}", RoleSessionName="i-1"
                )["Credentials"]
                for role in ("grafana", "app")
            }
            for named in (mine, "mine"):
                answer = client("secretsmanager", keys["grafana"]).get_secret_value(SecretId=named)
                self.assertEqual(answer["SecretString"], "1")
            for role, named in (("grafana", other), ("grafana", "other"), ("app", mine), ("app", "mine")):
                with self.subTest(role=role, secret=named), self.assertRaises(ClientError) as caught:
                    client("secretsmanager", keys[role]).get_secret_value(SecretId=named)
                self.assertEqual(caught.exception.response["Error"]["Code"], "AccessDeniedException")

    def test_only_ec2_may_take_a_role_that_trusts_ec2(self) -> None:
        self.role("app", None)
        somebody = self.user("somebody")
        with enable_iam_authentication(), self.assertRaises(ClientError) as caught:
            client("sts", somebody).assume_role(RoleArn="arn:aws:iam::123456789012:role/app", RoleSessionName="i-1")
        self.assertEqual(caught.exception.response["Error"]["Code"], "AccessDenied")


class SignedQueries(unittest.TestCase):
    def test_encoding(self) -> None:
        for decoded, encoded in (
            ("/", "/"),
            ("/?versions=", "/?versions="),
            ("/?prefix=apt/a b&versions", "/?prefix=apt%2Fa%20b&versions="),
            ("/k?prefix=apt%2Fa+b~", "/k?prefix=apt%2Fa%2Bb~"),
        ):
            self.assertEqual(with_encoded_query(decoded), encoded)

    def test_over_http(self) -> None:
        """Through moto's web server, since that is what decodes the query."""
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        self.addCleanup(server.stop)
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        iam, s3 = client("iam", endpoint=endpoint), client("s3", endpoint=endpoint)
        iam.create_user(UserName="operator")
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=policy)
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        s3.create_bucket(Bucket="bucket")
        s3.put_object(Bucket="bucket", Key="apt/x", Body=b"1")
        with enable_iam_authentication():
            listed = client("s3", key, endpoint=endpoint).list_object_versions(Bucket="bucket", Prefix="apt/")
            self.assertEqual([version["Key"] for version in listed["Versions"]], ["apt/x"])
            wrong = client("s3", {**key, "SecretAccessKey": "wrong"}, endpoint=endpoint)
            with self.assertRaises(ClientError) as caught:
                wrong.list_object_versions(Bucket="bucket", Prefix="apt/")
        self.assertEqual(caught.exception.response["Error"]["Code"], "SignatureDoesNotMatch")


if __name__ == "__main__":
    unittest.main()
