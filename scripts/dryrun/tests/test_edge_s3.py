"""Bucket, key and action of S3 requests."""

from __future__ import annotations

import unittest

from dryrun.edge_s3 import S3Target, s3_action, s3_target

OBJECT, BUCKET = S3Target("b", "apt/x"), S3Target("b", "")


class Targets(unittest.TestCase):
    def test_the_bucket_in_the_host_name(self) -> None:
        for host in ("my.bucket.s3.us-east-1.amazonaws.com", "my.bucket.s3.amazonaws.com"):
            self.assertEqual(s3_target(host, "/apt/x"), S3Target("my.bucket", "apt/x"))
            self.assertEqual(s3_target(host, "/"), S3Target("my.bucket", ""))

    def test_the_bucket_in_the_path(self) -> None:
        self.assertEqual(s3_target("s3.us-east-1.amazonaws.com", "/b/apt/x?versionId=1"), OBJECT)
        self.assertEqual(s3_target("s3.amazonaws.com", "/b"), BUCKET)

    def test_a_key_is_decoded_once(self) -> None:
        self.assertEqual(s3_target("b.s3.amazonaws.com", "/a%7eb%2541"), S3Target("b", "a~b%41"))

    def test_no_bucket_and_other_services(self) -> None:
        for host in ("s3.amazonaws.com", "sts.us-east-1.amazonaws.com", "b.s3.amazonaws.com.example.org"):
            self.assertIsNone(s3_target(host, "/"), host)


class Actions(unittest.TestCase):
    def test_objects(self) -> None:
        for method, action in (
            ("GET", "s3:GetObject"),
            ("HEAD", "s3:GetObject"),
            ("PUT", "s3:PutObject"),
            ("POST", "s3:PutObject"),
            ("DELETE", "s3:DeleteObject"),
        ):
            self.assertEqual(s3_action(method, OBJECT, ""), action)

    def test_a_version_is_an_action_of_its_own(self) -> None:
        self.assertEqual(s3_action("GET", OBJECT, "versionId=1"), "s3:GetObjectVersion")

    def test_sub_resources_are_never_a_plain_get(self) -> None:
        for query in ("acl", "tagging=", "versionId=1&acl", "response-content-type=text/html"):
            self.assertNotIn(s3_action("GET", OBJECT, query), ("s3:GetObject", "s3:GetObjectVersion"), query)

    def test_buckets(self) -> None:
        self.assertEqual(s3_action("GET", BUCKET, "list-type=2"), "s3:ListBucket")
        self.assertNotEqual(s3_action("PUT", BUCKET, ""), "s3:PutObject")


if __name__ == "__main__":
    unittest.main()
