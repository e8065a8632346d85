"""Step 9: what a machine's role may do, what the metadata service tells whom, and where Grafana's password is not."""

from __future__ import annotations

import json

from dryrun import curl, role_grants
from dryrun.differences import differences
from dryrun.machine import Machine
from dryrun.network import METADATA
from dryrun.run import Run
from dryrun.steps.chain import PASSWORD_FILE

# IMDSv2: a token first, then credentials of the role, both from inside the machine as the SDKs do it.
CREDENTIALS = f"""
token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://{METADATA}/latest/api/token)
roles=http://{METADATA}/latest/meta-data/iam/security-credentials
get() {{ curl -sf -H "X-aws-ec2-metadata-token: $token" "$1"; }}
get "$roles/$(get "$roles/")"
"""


def check(run: Run) -> None:
    """Step 9."""
    app, grafana = run.fleet["app"], run.fleet["grafana"]
    answer = curl.from_machine(app, f"http://{METADATA}/latest/meta-data/instance-id")
    run.report.check(
        answer.status == 401, "metadata service without a token: 401", f"{answer.status} {answer.body[:100]}"
    )

    secrets = run.cloud.aws("secretsmanager", "list_secrets")["SecretList"]
    run.report.need(len(secrets) == 1, "there is one secret", str(secrets))
    arn = secrets[0]["ARN"]
    all_grants(run, arn)
    own = get_secret(run, grafana, arn)
    run.report.check(own.status == 200, "Grafana's machine reads its secret", own.body[:300])
    others = get_secret(run, app, arn)
    denied = others.status == 400 and "AccessDenied" in others.body
    run.report.check(denied, "the app's machine does not: AccessDenied", f"{others.status} {others.body[:300]}")

    check_bucket(run, app)
    check_password(run, grafana, own)


def all_grants(run: Run, secret: str) -> None:
    """The machines' roles may do what the design says, and no more; there is no other role."""
    names = {}
    for group in run.cloud.aws("ec2", "describe_instances")["Reservations"]:
        for instance in group["Instances"]:
            if instance["State"]["Name"] == "running":
                tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
                profile = instance["IamInstanceProfile"]["Arn"].rpartition("/")[2]
                held = run.cloud.aws("iam", "get_instance_profile", InstanceProfileName=profile)["InstanceProfile"]
                names |= {role["RoleName"]: tags["Role"].replace("_", "-") for role in held["Roles"]}
    wanted, found = role_grants.wanted(secret), role_grants.found(run.cloud.aws, names)
    wrong = differences(wanted, found)
    run.report.check(
        not wrong, f"IAM: {len(found)} grants of {len(names)} roles, exactly the design's", "\n".join(wrong)
    )


def check_bucket(run: Run, machine: Machine) -> None:
    """A machine reads packages, and can neither write nor list; other keys do not exist for it."""
    bucket = f"https://{run.cloud.bucket()}.s3.{run.cloud.region}.amazonaws.com"
    tries = (
        ("GET of the index", 200, (f"{bucket}/apt/dists/stable/InRelease",)),
        ("GET outside of apt/", 403, (f"{bucket}/other",)),
        ("PUT", 403, (f"{bucket}/apt/dists/stable/InRelease", "-X", "PUT", "--data", "x")),
        ("listing", 403, (f"{bucket}/?list-type=2",)),
    )
    for text, wanted, arguments in tries:
        answer = curl.from_machine(machine, *arguments)
        run.report.check(answer.status == wanted, f"bucket: {text} from a machine: {wanted}", str(answer)[:300])


def check_password(run: Run, grafana: Machine, secret: curl.Answer) -> None:
    """The password that the machine drew is in the secret and on the machine, and nowhere in what Terraform keeps."""
    password = grafana.read(PASSWORD_FILE).strip()
    drawn = (secret.json() or {}).get("SecretString") == password and len(password) >= 16
    run.report.check(drawn, "the secret holds the password that Grafana's machine drew")
    mode = grafana.run("stat", "--format=%a %U", PASSWORD_FILE).stdout.strip()
    run.report.check(mode in ("600 grafana", "400 grafana"), f"its file is Grafana's alone ({mode})", mode)
    kept = {
        "state": run.cloud.terraform.state_text(),
        "outputs": json.dumps(run.cloud.terraform.outputs()),
        "plan and apply logs": "".join(
            path.read_text(errors="replace") for path in run.work.logs.glob("terraform-*.log")
        ),
        "user-data": "".join(instance.user_data for instance in run.fleet.instances.values()),
        "console logs": "".join(machine.console_text() for machine in run.fleet.machines.values()),
    }
    found = [name for name, text in kept.items() if password in text]
    run.report.check(not found, f"it is not in {', '.join(kept)}", f"found in: {', '.join(found)}")


def get_secret(run: Run, machine: Machine, arn: str) -> curl.Answer:
    """GetSecretValue from inside a machine, signed with the credentials of its role."""
    key = json.loads(machine.shell(CREDENTIALS).stdout)
    service = "secretsmanager"
    return curl.from_machine(
        machine,
        f"https://{service}.{run.cloud.region}.amazonaws.com/",
        "--aws-sigv4", f"aws:amz:{run.cloud.region}:{service}",
        "--user", f"{key['AccessKeyId']}:{key['SecretAccessKey']}",
        "-H", f"X-Amz-Security-Token: {key['Token']}",
        "-H", "X-Amz-Target: secretsmanager.GetSecretValue",
        "-H", "Content-Type: application/x-amz-json-1.1",
        "--data", json.dumps({"SecretId": arn}),
    )  # fmt: skip
