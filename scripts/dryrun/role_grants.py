"""What every role of the account may do and who may take it, as the design wants it and as IAM has it.

What is wanted is written by hand, never derived from Terraform: trying two or three calls as a machine
shows what a role may do, and not what it may do besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ROLES = ("log-store", "app", "metrics-store", "grafana")
TRUSTED = "Service ec2.amazonaws.com"
SESSION_MANAGER = (
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
SECRET = ("secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue")

Call = Callable[..., Mapping[str, Any]]
"""An AWS call in boto3's words, as `Cloud.aws`."""


@dataclass(frozen=True)
class Grant:
    """One action of one statement of one policy, or a whole policy that is attached."""

    role: str
    kind: str
    """`trust`, `inline` or `attached`."""
    effect: str
    action: str
    target: str
    """The resource; of a trust policy who may take the role."""
    condition: str = ""

    def __str__(self) -> str:
        condition = f" if {self.condition}" if self.condition else ""
        return f"{self.role}: {self.kind}: {self.effect} {self.action} on {self.target}{condition}"


def wanted(secret: str) -> list[Grant]:
    """The design's grants; `secret` is the ARN of Grafana's."""
    grants = []
    for role in ROLES:
        grants.append(Grant(role, "trust", "Allow", "sts:AssumeRole", TRUSTED))
        grants += [Grant(role, "inline", "Allow", action, "*") for action in SESSION_MANAGER]
    return grants + [Grant("grafana", "inline", "Allow", action, secret) for action in SECRET]


def found(call: Call, names: Mapping[str, str]) -> list[Grant]:
    """All grants of all roles of the account; `names`: a role's name in IAM -> its machine. Others show by their own."""
    grants: list[Grant] = []
    for entry in call("iam", "list_roles")["Roles"]:
        own = entry["RoleName"]
        role = names.get(own, own)
        grants += statements(role, "trust", entry["AssumeRolePolicyDocument"])
        for name in call("iam", "list_role_policies", RoleName=own)["PolicyNames"]:
            policy = call("iam", "get_role_policy", RoleName=own, PolicyName=name)
            grants += statements(role, "inline", policy["PolicyDocument"])
        for attached in call("iam", "list_attached_role_policies", RoleName=own)["AttachedPolicies"]:
            grants.append(Grant(role, "attached", "whatever it says", "all", attached["PolicyArn"]))
    return grants


def statements(role: str, kind: str, document: Mapping[str, Any]) -> list[Grant]:
    """A policy's statements, each action with each resource or principal apart."""
    grants = []
    for one in several(document["Statement"]):
        actions = words(one, "Action")
        targets = principals(one) if kind == "trust" else words(one, "Resource")
        condition = repr(one["Condition"]) if one.get("Condition") else ""
        grants += [Grant(role, kind, one["Effect"], a, t, condition) for a in actions for t in targets]
    return grants


def words(statement: Mapping[str, Any], name: str) -> list[str]:
    """The values of `Action` or `Resource`; those of `NotAction` and `NotResource` as what they are."""
    return [*several(statement.get(name, ())), *(f"all but {one}" for one in several(statement.get(f"Not{name}", ())))]


def principals(statement: Mapping[str, Any]) -> list[str]:
    """Who a trust policy speaks of: `Service ec2.amazonaws.com`."""
    named = statement.get("Principal", {})
    if isinstance(named, str):
        return [named]
    return [f"{kind} {one}" for kind, ones in named.items() for one in several(ones)]


def several(value: Any) -> Iterable[Any]:
    """IAM writes a list of one as the one."""
    return value if isinstance(value, (list, tuple)) else (value,)
