"""The edge's parts that need boto3 to be imported, without moto: the tree of meta-data, routes, and the HTTP server.

Runs in the venv (test_cloud_in_venv.py).
"""

from __future__ import annotations

import datetime
import http.client
import json
import socket
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from dryrun import edge_http
from dryrun.edge_aws import Front
from dryrun.edge_http import RequestLog, Server
from dryrun.edge_imds import Imds, look_up
from dryrun.edge_lookup import RoleUnusable, route_table_of
from dryrun.edge_tokens import TOKEN_HEADER, TTL_HEADER, Tokens

INSTANCE: dict[str, Any] = {
    "InstanceId": "i-1",
    "ImageId": "ami-1",
    "InstanceType": "t3.micro",
    "PrivateIpAddress": "127.0.0.1",
    "Placement": {"AvailabilityZone": "us-east-1a"},
    "NetworkInterfaces": [{"MacAddress": "02:00:00:00:00:01", "NetworkInterfaceId": "eni-1"}],
    "SubnetId": "subnet-1",
    "VpcId": "vpc-1",
    "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
    "Tags": [{"Key": "Role", "Value": "app"}],
    "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/app", "Id": "AIPA1"},
}
POLICY = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::b/apt/*",
            "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}},
        }
    ]
}


class FakeLookup:
    """Answers like moto with one instance at this machine's own address."""

    region, account = "us-east-1", "123456789012"

    def __init__(self) -> None:
        self.instance: dict[str, Any] | None = dict(INSTANCE)
        self.trusted = True

    def instance_at(self, _address: str) -> dict[str, Any] | None:
        return self.instance

    def subnet(self, _subnet: str) -> dict[str, Any]:
        return {"CidrBlock": "10.0.1.0/24"}

    def user_data(self, _instance: str) -> bytes | None:
        return b"#cloud-config\n"

    def role_name(self, _instance: dict[str, Any]) -> str | None:
        return "app"

    def role_credentials(self, _instance: dict[str, Any]) -> dict[str, Any]:
        if not self.trusted:
            raise RoleUnusable("its trust policy does not name EC2")
        until = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        return {"AccessKeyId": "ASIA1", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": until}

    def source_endpoint(self, _address: str) -> str | None:
        return None

    def bucket_policy(self, _bucket: str) -> dict[str, Any] | None:
        return POLICY


class OverHttp(unittest.TestCase):
    """A server on a port of loopback that the kernel picks."""

    handler: type[Any]

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "requests.log"
        self.lookup = FakeLookup()
        self.handler.lookup = self.lookup
        server = Server(("127.0.0.1", 0), self.handler, RequestLog(self.log))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.port = server.server_address[1]

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


class Metadata(OverHttp):
    handler = Imds

    def setUp(self) -> None:
        Imds.tokens = Tokens()
        super().setUp()

    def get(self, path: str) -> tuple[int, str]:
        status, token = self.ask("PUT", "/latest/api/token", **{TTL_HEADER: "60"})
        self.assertEqual(status, 200)
        return self.ask("GET", path, **{TOKEN_HEADER: token})

    def test_only_with_a_token(self) -> None:
        self.assertEqual(self.ask("GET", "/latest/meta-data/instance-id")[0], 401)
        self.assertEqual(self.get("/latest/meta-data/instance-id"), (200, "i-1"))
        self.assertEqual(self.ask("PUT", "/latest/api/token")[0], 400)

    def test_folders_values_and_nothing(self) -> None:
        self.assertEqual(self.get("/latest/meta-data/tags/instance/Role"), (200, "app"))
        self.assertIn("placement/", self.get("/latest/meta-data/")[1].splitlines())
        self.assertEqual(self.get("/2021-03-23/user-data"), (200, "#cloud-config\n"))
        for path in ("/latest/meta-data/nothing", "/latest/meta-data/instance-id/x", "/1999-01-01/user-data"):
            self.assertEqual(self.get(path)[0], 404, path)
        document = json.loads(self.get("/latest/dynamic/instance-identity/document")[1])
        self.assertEqual((document["instanceId"], document["region"]), ("i-1", "us-east-1"))

    def test_tags_only_where_the_instance_allows_them(self) -> None:
        self.lookup.instance = {**INSTANCE, "MetadataOptions": {"HttpTokens": "required"}}
        self.assertEqual(self.get("/latest/meta-data/tags/instance/Role")[0], 404)

    def test_credentials(self) -> None:
        self.assertEqual(self.get("/latest/meta-data/iam/security-credentials/"), (200, "app"))
        key = json.loads(self.get("/latest/meta-data/iam/security-credentials/app")[1])
        self.assertEqual(
            (key["Code"], key["AccessKeyId"], key["Expiration"]), ("Success", "ASIA1", "2030-01-02T03:04:05Z")
        )
        self.assertEqual(self.get("/latest/meta-data/iam/security-credentials/other")[0], 404)
        self.lookup.trusted = False
        refused = json.loads(self.get("/latest/meta-data/iam/security-credentials/app")[1])
        self.assertEqual(refused["Code"], "AssumeRoleUnauthorizedAccess")

    def test_strangers_and_a_service_that_is_off(self) -> None:
        self.lookup.instance = None
        self.assertEqual(self.ask("GET", "/latest/meta-data/")[0], 404)
        self.assertEqual(self.ask("PUT", "/latest/api/token", **{TTL_HEADER: "60"})[0], 404)
        self.lookup.instance = {**INSTANCE, "MetadataOptions": {"HttpEndpoint": "disabled"}}
        self.assertEqual(self.ask("GET", "/latest/meta-data/", User_Agent="Cloud-Init/22")[0], 403)

    def test_every_request_is_one_line_without_its_query(self) -> None:
        self.ask("GET", "/latest/meta-data/x?secret=1")
        (line,) = self.log.read_text().splitlines()
        self.assertRegex(line, r"^\d\d:\d\d:\d\d 127\.0\.0\.1 \S+ GET /latest/meta-data/x 401 ")


class Bounds(OverHttp):
    handler = Imds

    def setUp(self) -> None:
        Imds.tokens = Tokens()
        for name, value in (("MAX_CONNECTIONS", 2), ("TURN_SECONDS", 0.1)):
            patch = mock.patch.object(edge_http, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()

    def test_connections_beyond_the_bound_are_closed_and_the_next_one_served(self) -> None:
        idle = [socket.create_connection(("127.0.0.1", self.port), timeout=10) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as refused:
            self.assertEqual(refused.recv(1), b"", "closed without an answer")
        self.assertIn("refused: 2 connections are open", self.log.read_text())
        for connection in idle:
            connection.close()
        deadline = time.monotonic() + 10
        while True:
            try:
                status = self.ask("GET", "/latest/meta-data/")[0]
                break
            except (http.client.HTTPException, ConnectionError):
                # The server has not yet noticed that its two clients are gone.
                self.assertLess(time.monotonic(), deadline)
        self.assertEqual(status, 401)


class Names(OverHttp):
    handler = Front

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = Path(folder.name) / "repository"
        root.mkdir()
        (root / "gpg.key").write_text("key")
        (Path(folder.name) / "secret").write_text("secret")
        Front.moto, Front.grafana_host, Front.grafana_repository = "http://127.0.0.1:1", "apt.grafana.com", root
        super().setUp()

    def test_grafanas_repository_and_nothing_beside_it(self) -> None:
        self.assertEqual(self.ask("GET", "/gpg.key", Host="apt.grafana.com"), (200, "key"))
        for path in ("/../secret", "/%2e%2e/secret", "/", "/nothing"):
            self.assertEqual(self.ask("GET", path, Host="apt.grafana.com")[0], 404, path)
        self.assertEqual(self.ask("PUT", "/gpg.key", b"x", Host="apt.grafana.com")[0], 405)

    def test_unsigned_requests_without_an_endpoint(self) -> None:
        status, body = self.ask("GET", "/apt/x", Host="b.s3.us-east-1.amazonaws.com")
        self.assertEqual(status, 403)
        self.assertIn("<Code>AccessDenied</Code>", body)

    def test_other_hosts_and_plain_http(self) -> None:
        self.assertEqual(self.ask("GET", "/", Host="example.org")[0], 421)
        self.assertEqual(self.ask("POST", "/", b"x", Host="sts.us-east-1.amazonaws.com")[0], 403)

    def test_moto_gone(self) -> None:
        status, body = self.ask("GET", "/apt/x", Host="b.s3.amazonaws.com", Authorization="AWS4-HMAC-SHA256 x")
        self.assertEqual(status, 502)
        self.assertIn("moto does not answer", body)

    def test_a_body_that_is_too_large_or_broken(self) -> None:
        host = "b.s3.amazonaws.com"
        self.assertEqual(self.ask("PUT", "/k", Host=host, Content_Length=str(2**40))[0], 413)
        self.assertEqual(self.ask("PUT", "/k", Host=host, Content_Length="many")[0], 413)
        self.assertEqual(self.ask("PUT", "/k", Host=host, Transfer_Encoding="chunked", body=b"zz\r\n")[0], 413)


class Pure(unittest.TestCase):
    def test_look_up(self) -> None:
        tree = {"a": {"b": "1", "c": {}}}
        self.assertEqual(look_up(tree, ["a"]), (200, "b\nc/"))
        self.assertEqual(look_up(tree, ["a", "b"]), (200, "1"))
        self.assertEqual(look_up(tree, ["a", "b", "c"])[0], 404)
        self.assertEqual(look_up(tree, ["x"])[0], 404)

    def test_route_tables(self) -> None:
        main = {"RouteTableId": "rtb-main", "Associations": [{"Main": True}]}
        own = {"RouteTableId": "rtb-own", "Associations": [{"Main": False, "SubnetId": "subnet-1"}]}
        for tables in ([main, own], [own, main]):
            self.assertEqual(route_table_of("subnet-1", tables), "rtb-own")
            self.assertEqual(route_table_of("subnet-2", tables), "rtb-main")
        self.assertIsNone(route_table_of("subnet-2", [own]))


if __name__ == "__main__":
    unittest.main()
