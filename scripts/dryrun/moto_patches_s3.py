"""Patches of moto's S3: policies with conditions, versioned buckets."""

from __future__ import annotations

import json
from typing import Any

from dryrun.moto_patching import MotoChanged, replace, require


def apply() -> None:
    """Applies all of them."""
    conditions_in_bucket_policies()
    delete_markers()


def conditions_in_bucket_policies() -> None:
    """moto ignores conditions in a bucket policy: "deny without TLS" then denies everything, to Terraform as well.

    Statements with a condition have no effect here. The edge judges them: it knows which way a request came.
    """
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket

    def without_conditions(original: Any) -> Any:
        def get_permission(self: Any, action: str, resource: str) -> Any:
            if self.policy is None:
                return original(self, action, resource)
            unconditional = unconditional_statements(json.loads(self.policy))
            if not unconditional["Statement"]:
                return PermissionResult.NEUTRAL
            # Of the bucket the original reads the policy alone.
            return original(_PolicyOnly(json.dumps(unconditional).encode()), action, resource)

        return get_permission

    replace(FakeBucket, "get_permission", without_conditions)


class _PolicyOnly:
    """Stands in for a bucket where only its policy is asked for."""

    def __init__(self, policy: bytes) -> None:
        self.policy = policy


def unconditional_statements(policy: dict[str, Any]) -> dict[str, Any]:
    """The policy without the statements that have a condition."""
    statements = policy["Statement"]
    if isinstance(statements, dict):
        statements = [statements]
    return {**policy, "Statement": [one for one in statements if "Condition" not in one]}


def delete_markers() -> None:
    """Emptying a versioned bucket disposes of every version, and a delete marker has no `dispose`: destroy fails."""
    from moto.s3.models import FakeDeleteMarker, FakeKey

    require(FakeKey, "dispose")
    if hasattr(FakeDeleteMarker, "dispose"):
        raise MotoChanged("moto's delete markers have a dispose of their own now: the patch delete_markers can go")
    FakeDeleteMarker.dispose = lambda _self: None  # type: ignore[attr-defined]
