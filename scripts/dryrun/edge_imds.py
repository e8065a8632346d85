"""The instance metadata service: http://169.254.169.254/ as the machines see it, answered from moto.

An instance is known by its private address alone. What is asked for decides the rest: user-data, the identity document,
the tree of meta-data with role credentials and, where the instance allows it, its tags.
"""

from __future__ import annotations

import json
from typing import Any, Union

from dryrun.edge_http import BodyTooLarge, Handler
from dryrun.edge_lookup import Lookup, RoleUnusable
from dryrun.edge_tokens import TTL_HEADER, TokenRefused, Tokens

# cloud-init asks for fixed ones of these and for "latest".
API_VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")

# A folder by name, or a value.
Tree = dict[str, Union["Tree", str]]


class Imds(Handler):
    """One request to the metadata service. `lookup` and `tokens` are set on the class by the edge."""

    lookup: Lookup
    tokens: Tokens

    def do_PUT(self) -> None:
        """Hands out a token."""
        try:
            self.read_body()
        except BodyTooLarge as problem:
            self.close_connection = True
            return self.answer(413, note=str(problem))
        instance = self._instance()
        if instance is None:
            return self.answer(404, note="no instance has this address")
        if self.path != "/latest/api/token":
            return self.answer(405)
        try:
            token, ttl = self.tokens.issue(self.source, instance["InstanceId"], self.headers)
        except TokenRefused as refused:
            return self.answer(refused.status, note=str(refused))
        self.answer(200, token, **{TTL_HEADER: str(ttl)})

    def do_GET(self) -> None:
        """Answers a question about the instance that asks."""
        instance = self._instance()
        if instance is None:
            return self.answer(404, note="no instance has this address")
        options = instance.get("MetadataOptions", {})
        if options.get("HttpEndpoint") == "disabled":
            return self.answer(403, note="the instance has its metadata service off")
        required = options.get("HttpTokens") != "optional"
        if not self.tokens.permits(self.source, instance["InstanceId"], self.headers, required):
            return self.answer(401, note="no token, or not a good one")
        status, body = self._find(instance)
        self.answer(status, body, Content_Type="text/plain")

    do_HEAD = do_GET

    def _instance(self) -> dict[str, Any] | None:
        return self.lookup.instance_at(self.source)

    def _find(self, instance: dict[str, Any]) -> tuple[int, bytes | str]:
        version, *rest = self.path.split("?", 1)[0].strip("/").split("/")
        if version == "":
            return 200, "\n".join(API_VERSIONS)
        if version not in API_VERSIONS:
            return 404, ""
        if rest == ["user-data"]:
            data = self.lookup.user_data(instance["InstanceId"])
            return (404, "") if data is None else (200, data)
        tree: Tree = {"dynamic": self._dynamic(instance), "meta-data": self._meta_data(instance)}
        if rest[:3] == ["meta-data", "iam", "security-credentials"] and len(rest) == 4:
            return self._credentials(instance, rest[3])
        return look_up(tree, rest)

    def _dynamic(self, instance: dict[str, Any]) -> Tree:
        document = {
            "accountId": self.lookup.account,
            "architecture": instance.get("Architecture", "x86_64"),
            "availabilityZone": instance["Placement"]["AvailabilityZone"],
            "imageId": instance["ImageId"],
            "instanceId": instance["InstanceId"],
            "instanceType": instance["InstanceType"],
            "privateIp": instance["PrivateIpAddress"],
            "region": self.lookup.region,
            "version": "2017-09-30",
        }
        return {"instance-identity": {"document": json.dumps(document, indent=2)}}

    def _meta_data(self, instance: dict[str, Any]) -> Tree:
        interface = instance["NetworkInterfaces"][0]
        subnet = self.lookup.subnet(instance["SubnetId"])
        groups = "\n".join(group["GroupName"] for group in instance.get("SecurityGroups", []))
        name = instance.get("PrivateDnsName") or instance["PrivateIpAddress"]
        tree: Tree = {
            "ami-id": instance["ImageId"],
            "hostname": name,
            "instance-id": instance["InstanceId"],
            "instance-life-cycle": instance.get("InstanceLifecycle", "on-demand"),
            "instance-type": instance["InstanceType"],
            "local-hostname": name,
            "local-ipv4": instance["PrivateIpAddress"],
            "mac": interface["MacAddress"],
            "network": {
                "interfaces": {
                    "macs": {
                        interface["MacAddress"]: {
                            "device-number": "0",
                            "interface-id": interface["NetworkInterfaceId"],
                            "local-ipv4s": instance["PrivateIpAddress"],
                            "mac": interface["MacAddress"],
                            "security-groups": groups,
                            "subnet-id": instance["SubnetId"],
                            "subnet-ipv4-cidr-block": subnet["CidrBlock"],
                            "vpc-id": instance["VpcId"],
                        }
                    }
                }
            },
            "placement": {
                "availability-zone": instance["Placement"]["AvailabilityZone"],
                "region": self.lookup.region,
            },
            "security-groups": groups,
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }
        if instance.get("PublicIpAddress"):
            tree["public-ipv4"] = instance["PublicIpAddress"]
        if instance.get("MetadataOptions", {}).get("InstanceMetadataTags") == "enabled":
            tree["tags"] = {"instance": {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}}
        role = self.lookup.role_name(instance)
        if role is not None:
            profile = instance["IamInstanceProfile"]
            info = {"Code": "Success", "InstanceProfileArn": profile["Arn"], "InstanceProfileId": profile.get("Id", "")}
            tree["iam"] = {"info": json.dumps(info, indent=2), "security-credentials": {role: ""}}
        return tree

    def _credentials(self, instance: dict[str, Any], role: str) -> tuple[int, str]:
        if role != self.lookup.role_name(instance):
            return 404, ""
        try:
            key = self.lookup.role_credentials(instance)
        except RoleUnusable as problem:
            # AWS answers 200 with such a code as well; the reason helps whoever reads it on the machine.
            return 200, json.dumps({"Code": "AssumeRoleUnauthorizedAccess", "Message": str(problem)}, indent=2)
        until = key["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = {
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": key["AccessKeyId"],
            "SecretAccessKey": key["SecretAccessKey"],
            "Token": key["SessionToken"],
            "Expiration": until,
        }
        return 200, json.dumps(answer, indent=2)


def look_up(tree: Tree, path: list[str]) -> tuple[int, str]:
    """What the tree holds at a path: a value, or a folder's names (folders with a slash). 404 if nothing is there."""
    here: Tree | str = tree
    for name in path:
        if not isinstance(here, dict) or name not in here:
            return 404, ""
        here = here[name]
    if isinstance(here, str):
        return 200, here
    return 200, "\n".join(name + ("/" if isinstance(inner, dict) else "") for name, inner in here.items())
