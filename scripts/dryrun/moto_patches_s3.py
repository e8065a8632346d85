"""Patches of moto's S3: policies with conditions, versioned buckets."""

from __future__ import annotations

import functools
import json
import threading
from typing import Any

from dryrun.moto_patching import MotoChanged, replace, require


def apply() -> None:
    """Applies all of them."""
    conditions_in_bucket_policies()
    delete_markers()
    listing_beside_changes()


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
    FakeDeleteMarker.dispose = lambda _self: None


def listing_beside_changes() -> None:
    """A listing fails with 500 when another thread deletes a key in its middle: `destroy` deletes ten at a time.

    The provider tries again, but a run's result must not hang on how often. So these take turns.
    """
    from moto.s3.models import S3Backend

    turn = threading.RLock()

    def in_turn(original: Any) -> Any:
        @functools.wraps(original)
        def wait(self: Any, *arguments: Any, **options: Any) -> Any:
            with turn:
                return original(self, *arguments, **options)

        return wait

    for method in ("list_object_versions", "list_objects", "put_object", "delete_object"):
        replace(S3Backend, method, in_turn)
