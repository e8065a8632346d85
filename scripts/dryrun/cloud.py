"""The local AWS of one run: moto with its patches, the edge before it, the operator, and Terraform.

    cloud = Cloud(work, network, tree, progress=print)
    cloud.start()                                     # answers under AWS's names afterwards
    cloud.terraform.init({"allowed_web_cidr": "203.0.113.0/24", "package_dir": ...})
    cloud.terraform.apply()
    cloud.enforce_iam(True)
    for instance in cloud.instances(): ...
    cloud.aws("ec2", "describe_security_group_rules")

Everything runs inside the network's cloud namespace and ends with the workspace. Logs: moto.log, edge.log (start and
crashes), edge-requests.log (one line per request), aws-worker.log, terraform-NN-<verb>.log. A machine's console log
belongs at `console(instance_id)`: GetConsoleOutput answers with it.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dryrun import certificates, iam, inside, leftovers, venv
from dryrun.aws_client import AwsClient, AwsError, Credentials
from dryrun.terraform import Terraform
from dryrun.workspace import Workspace, wait_until

# Addresses on the loopback of the cloud's namespace.
FRONT_ADDRESS = "198.18.0.2"
IMDS_ADDRESS = "169.254.169.254"
MOTO = "http://127.0.0.1:5555"
GRAFANA_HOST = "apt.grafana.com"
REGION = "us-east-1"

# moto takes two to four seconds to import, more when the machine is busy.
START_SECONDS = 60.0


class CloudError(Exception):
    """The local AWS did not start, or does not answer; the text names the log to read."""


class Network(Protocol):
    """What the cloud has to know of the run's network."""

    @property
    def namespace(self) -> str:
        """Name of the cloud's network namespace, which has FRONT_ADDRESS and IMDS_ADDRESS."""

    @property
    def resolv_conf(self) -> Path:
        """A resolv.conf whose resolver answers AWS's names with FRONT_ADDRESS."""


@dataclass(frozen=True)
class Instance:
    """A running instance as the API describes it."""

    role: str
    """The tag Role: log_store, app, metrics_store or grafana."""
    instance_id: str
    private_ip: str
    mac: str
    public_ip: str | None
    volume_id: str | None
    """The data volume, None while none is attached."""
    user_data: str
    security_groups: tuple[str, ...]


class Cloud:
    """The local AWS. See the module's text for the order of calls."""

    def __init__(
        self,
        work: Workspace,
        network: Network,
        tree: Path,
        *,
        progress: Callable[[str], None],
        grafana_repository: Path | None = None,
        region: str = REGION,
    ) -> None:
        """`tree` is the repository's root; `grafana_repository` a signed apt tree served as https://apt.grafana.com."""
        self._work, self._network, self._tree, self._progress = work, network, tree, progress
        self._grafana_repository, self.region = grafana_repository, region
        self._consoles = work.logs / "consoles"
        self._client: AwsClient | None = None
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._tampered: dict[str, tuple[str, str]] = {}
        self._at_start: dict[str, list[str]] = {}
        self._last_problem = ""
        self.authority = work.logs / "ca.crt"
        """Certificate of the run's CA: machines have to trust it. There after `start`."""
        self.terraform: Terraform
        """Set by `start`."""

    def start(self) -> None:
        """Starts everything and returns once GetCallerIdentity answers under AWS's name. Raises CloudError."""
        self._consoles.mkdir(exist_ok=True)
        python = venv.ensure(self._progress)
        files = certificates.make(self._work.scratch / "certificates", self.region, GRAFANA_HOST)
        self.authority.write_bytes(files.authority.read_bytes())
        self._spawn(
            "moto", python, "dryrun.moto_patches", "--consoles", str(self._consoles), "-H", "127.0.0.1", "-p", "5555"
        )
        with self._work.undisturbed():
            self._client = AwsClient(
                python,
                self._network.namespace,
                self._network.resolv_conf,
                self.authority,
                MOTO,
                self.region,
                self._work.logs / "aws-worker.log",
            )
        self._until("moto", lambda: self._answers(front=False))
        operator = iam.create_user(self._client, iam.OPERATOR)
        service = iam.create_user(self._client, iam.EC2_SERVICE)
        self._client.credentials = operator
        self._at_start = leftovers.find(self._client)
        self._start_edge(python, files, service)
        self._until("edge", lambda: self._answers(front=True))
        self.terraform = Terraform(
            self._work,
            self._tree,
            self._network.namespace,
            self._network.resolv_conf,
            self.authority,
            self.region,
            operator,
            self._progress,
        )

    def stop(self) -> None:
        """Ends moto, the edge and the worker. What the API held is gone."""
        if self._client is not None:
            self._client.close()
            self._client = None
        for name in ("edge", "moto"):
            if name in self._processes:
                self._work.end(name, self._processes.pop(name))

    def aws(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call as the operator, in boto3's words: `aws("ec2", "describe_vpcs", VpcIds=[...])`. Raises AwsError."""
        return self._aws.call(service, operation, **parameters)

    def aws_as(self, who: Credentials, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """One call under AWS's own host names with other credentials, such as a role's. Raises AwsError."""
        return self._aws.call(service, operation, front=True, credentials=who, **parameters)

    def enforce_iam(self, on: bool) -> None:
        """Makes moto check the signature of every call and the caller's policies, or stop doing so."""
        iam.enforce(self._aws, on)

    def instances(self) -> list[Instance]:
        """The running instances, by private address."""
        answer = self.aws("ec2", "describe_instances", Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
        found = [self._instance(one) for group in answer.get("Reservations", []) for one in group["Instances"]]
        return sorted(found, key=lambda one: tuple(map(int, one.private_ip.split("."))))

    def console(self, instance_id: str) -> Path:
        """Where GetConsoleOutput looks for an instance's console log; a link to it will do."""
        return self._consoles / f"{instance_id}.log"

    def bucket(self) -> str:
        """Name of the bucket with the packages."""
        names = [one["Name"] for one in self.aws("s3", "list_buckets").get("Buckets", [])]
        if len(names) != 1:
            raise CloudError(f"one bucket was expected, there are {len(names)}: {', '.join(names)}")
        return names[0]

    def objects(self, prefix: str = "") -> list[str]:
        """Keys in the bucket with the packages."""
        listed = self.aws("s3", "list_objects_v2", Bucket=self.bucket(), Prefix=prefix)
        return [one["Key"] for one in listed.get("Contents", [])]

    def tamper_object(self, key: str) -> None:
        """Changes one byte in the middle of an object, as a new version of it, until `restore_object`."""
        bucket = self.bucket()
        content = bytearray(self.aws("s3", "get_object", Bucket=bucket, Key=key)["Body"])
        content[len(content) // 2] ^= 0x01
        version = self.aws("s3", "put_object", Bucket=bucket, Key=key, Body=bytes(content))["VersionId"]
        self._tampered[key] = (bucket, version)

    def restore_object(self, key: str) -> None:
        """Removes the version that `tamper_object` wrote; the one before is the object again."""
        bucket, version = self._tampered.pop(key)
        self.aws("s3", "delete_object", Bucket=bucket, Key=key, VersionId=version)

    def leftovers(self) -> dict[str, list[str]]:
        """Kind -> ids of what exists and did not at the start. All lists are empty after a whole destroy."""
        now = leftovers.find(self._aws)
        return {kind: [one for one in ids if one not in self._at_start[kind]] for kind, ids in now.items()}

    @property
    def _aws(self) -> AwsClient:
        if self._client is None:
            raise CloudError("the local AWS is not running")
        return self._client

    def _instance(self, one: dict[str, Any]) -> Instance:
        tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
        attribute = self.aws("ec2", "describe_instance_attribute", InstanceId=one["InstanceId"], Attribute="userData")
        data = attribute.get("UserData", {}).get("Value", "")
        volumes = [
            mapping["Ebs"]["VolumeId"]
            for mapping in one.get("BlockDeviceMappings", [])
            # An attached volume outlives its instance, a root volume does not.
            if mapping["DeviceName"] != one.get("RootDeviceName") and not mapping["Ebs"].get("DeleteOnTermination")
        ]
        return Instance(
            role=tags.get("Role", ""),
            instance_id=one["InstanceId"],
            private_ip=one["PrivateIpAddress"],
            mac=one["NetworkInterfaces"][0]["MacAddress"],
            public_ip=one.get("PublicIpAddress"),
            volume_id=volumes[0] if volumes else None,
            user_data=base64.b64decode(data).decode(),
            security_groups=tuple(group["GroupId"] for group in one.get("SecurityGroups", [])),
        )

    def _start_edge(self, python: Path, files: certificates.Certificates, service: Credentials) -> None:
        settings = self._work.scratch / "edge.json"
        settings.touch(mode=0o600)
        settings.write_text(
            json.dumps(
                {
                    "moto": MOTO,
                    "region": self.region,
                    "key_id": service.key_id,
                    "secret": service.secret,
                    "front": FRONT_ADDRESS,
                    "imds": IMDS_ADDRESS,
                    "certificate": str(files.certificate),
                    "key": str(files.key),
                    "log": str(self._work.logs / "edge-requests.log"),
                    "grafana_host": GRAFANA_HOST,
                    "grafana_repository": str(self._grafana_repository) if self._grafana_repository else None,
                }
            ),
            encoding="utf-8",
        )
        self._spawn("edge", python, "dryrun.edge", str(settings))

    def _spawn(self, name: str, python: Path, *module: str) -> None:
        """Starts a module of this package with the venv's Python in the cloud's namespace."""
        scripts = Path(__file__).resolve().parent.parent
        self._processes[name] = self._work.spawn(
            name,
            inside.in_namespace(self._network.namespace, str(python), "-m", *module),
            env=inside.clean_environment(
                PYTHONPATH=str(scripts),
                PYTHONUNBUFFERED="1",
                AWS_CONFIG_FILE=str(self._work.scratch / "no-aws-config"),
                AWS_SHARED_CREDENTIALS_FILE=str(self._work.scratch / "no-aws-credentials"),
                AWS_EC2_METADATA_DISABLED="true",
            ),
            # `-m` looks for modules in the working folder first: not in whatever folder the user stands in.
            cwd=self._work.scratch,
        )

    def _answers(self, front: bool) -> bool:
        try:
            self._aws.call("sts", "get_caller_identity", front=front)
        except AwsError as problem:
            if problem.code == "WorkerGone":
                raise CloudError(str(problem)) from None
            self._last_problem = str(problem)
            return False
        return True

    def _until(self, name: str, answers: Callable[[], bool]) -> None:
        """Waits until a process answers; raises CloudError when it ends first or takes too long."""
        process, log = self._processes[name], self._work.logs / f"{name}.log"
        if not wait_until(lambda: process.poll() is not None or answers(), START_SECONDS, pause=0.3):
            raise CloudError(
                f"{name} did not answer within {START_SECONDS:.0f} s (last: {self._last_problem}); log: {log}"
            )
        if process.poll() is not None:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
            raise CloudError(f"{name} ended with status {process.returncode}; log: {log}\n{tail}")
