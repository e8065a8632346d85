"""What there is in the local AWS, by the API's own lists, one per kind of resource that the deployment makes.

A new account is not empty (a default VPC with its parts, the images' snapshots, the run's own users): whoever looks for
left-overs compares with what was there at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dryrun.aws_client import AwsClient

Lister = Callable[[AwsClient], list[str]]


def find(aws: AwsClient) -> dict[str, list[str]]:
    """Kind of resource -> ids of what is there. Every kind that was looked at is a key."""
    return {kind: list_kind(aws) for kind, list_kind in KINDS.items()}


def _instances(aws: AwsClient) -> list[str]:
    """Without terminated ones, which the API goes on to list for an hour."""
    found = aws.call("ec2", "describe_instances").get("Reservations", [])
    return [one["InstanceId"] for group in found for one in group["Instances"] if one["State"]["Name"] != "terminated"]


def _interfaces(aws: AwsClient) -> list[str]:
    """Without those of terminated instances, which moto keeps on its list."""
    alive = set(_instances(aws))
    found = aws.call("ec2", "describe_network_interfaces").get("NetworkInterfaces", [])
    return [
        one["NetworkInterfaceId"]
        for one in found
        if "InstanceId" not in one.get("Attachment", {}) or one["Attachment"]["InstanceId"] in alive
    ]


def _list(service: str, operation: str, answer: str, key: str, **parameters: Any) -> Lister:
    def list_kind(aws: AwsClient) -> list[str]:
        found = aws.call(service, operation, **parameters).get(answer, [])
        return [one[key] for one in found if one.get("State") != "deleted"]

    return list_kind


KINDS: dict[str, Lister] = {
    "instances": _instances,
    "volumes": _list("ec2", "describe_volumes", "Volumes", "VolumeId"),
    "snapshots": _list("ec2", "describe_snapshots", "Snapshots", "SnapshotId", OwnerIds=["self"]),
    "VPCs": _list("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    "subnets": _list("ec2", "describe_subnets", "Subnets", "SubnetId"),
    "route tables": _list("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    "network interfaces": _interfaces,
    "elastic addresses": _list("ec2", "describe_addresses", "Addresses", "PublicIp"),
    "internet gateways": _list("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "NAT gateways": _list("ec2", "describe_nat_gateways", "NatGateways", "NatGatewayId"),
    "VPC endpoints": _list("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"),
    "security groups": _list("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    "flow logs": _list("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    "buckets": _list("s3", "list_buckets", "Buckets", "Name"),
    "roles": _list("iam", "list_roles", "Roles", "RoleName"),
    "instance profiles": _list("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    "users": _list("iam", "list_users", "Users", "UserName"),
    # One that waits for its deletion still has its name.
    "secrets": _list("secretsmanager", "list_secrets", "SecretList", "Name", IncludePlannedDeletion=True),
    "parameters": _list("ssm", "describe_parameters", "Parameters", "Name"),
    "log groups": _list("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "alarms": _list("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "topics": _list("sns", "list_topics", "Topics", "TopicArn"),
}
