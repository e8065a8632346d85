"""Step 8: all rules of all groups, the matrix of ports, and that a missing rule shows as exactly its cell."""

from __future__ import annotations

from dryrun import firewall, group_rules, matrix
from dryrun.differences import differences
from dryrun.matrix import Cell, Matrix
from dryrun.run import Run
from dryrun.steps.infrastructure import CIDRS

# The rule that is taken away and put back by hand: one with exactly one cell.
VICTIM = Cell("grafana", "metrics-store", public=False, port=matrix.METRICS_STORE)


def check(run: Run) -> None:
    """Step 8."""
    all_rules(run)
    first = measure(run)
    run.report.table(first.table())
    as_wanted(run, first, "matrix")
    unused = [rule for rule, packets in firewall.counters(run.network).items() if not packets]
    described = [describe(run, rule) for rule in unused]
    run.report.say(f"rules that let nothing through so far: {', '.join(sorted(described)) or 'none'}")

    group, rule = find_rule(run)
    run.cloud.aws("ec2", "revoke_security_group_ingress", GroupId=group, SecurityGroupRuleIds=[rule])
    run.fleet.enforce_groups()
    without = measure(run)
    run.report.check(
        without.wrong == [VICTIM],
        f"without the rule {VICTIM.source} -> {VICTIM.target}:{VICTIM.port} exactly that cell is wrong",
        "\n".join(str(cell) for cell in without.wrong),
    )
    outcome = run.cloud.terraform.apply()
    run.fleet.enforce_groups()
    as_wanted(run, measure(run), f"the next apply ({outcome.seconds:.0f} s) puts it back: matrix")


def all_rules(run: Run) -> None:
    """The groups of the VPC have the design's rules, and no other."""
    roles = {}
    for role, instance in run.fleet.instances.items():
        run.report.check(len(instance.security_groups) == 1, f"{role}: one group", str(instance.security_groups))
        roles |= {group: role for group in instance.security_groups}
    reservations = run.cloud.aws("ec2", "describe_instances")["Reservations"]
    vpcs = {one["VpcId"] for group in reservations for one in group["Instances"] if one.get("VpcId")}
    run.report.check(len(vpcs) == 1, "all machines are in one VPC", str(vpcs))
    groups = run.cloud.aws("ec2", "describe_security_groups", Filters=[{"Name": "vpc-id", "Values": [*vpcs]}])
    groups = groups["SecurityGroups"]
    rules = run.cloud.aws("ec2", "describe_security_group_rules")["SecurityGroupRules"]
    wanted, found = group_rules.wanted(CIDRS), group_rules.found(rules, groups, roles)
    wrong = differences(wanted, found)
    run.report.check(
        not wrong, f"security groups: {len(found)} rules, exactly the design's {len(wanted)}", "\n".join(wrong)
    )
    unknown = group_rules.strangers(groups, roles)
    run.report.check(not unknown, f"{len(groups)} groups: the machines' and AWS's own", ", ".join(unknown))


def measure(run: Run) -> Matrix:
    """All cells, as they answer now."""
    return matrix.measure(run.network, run.fleet.nodes(), CIDRS)


def as_wanted(run: Run, found: Matrix, text: str) -> None:
    """Assert that no cell is wrong."""
    good, all_cells = len(found.seen) - len(found.wrong), len(found.seen)
    run.report.check(not found.wrong, f"{text}: {good} of {all_cells} as wanted", "\n".join(map(str, found.wrong)))


def find_rule(run: Run) -> tuple[str, str]:
    """Group and id of VICTIM's rule, looked up in the API."""
    into, source = (run.fleet.instances[role].security_groups[0] for role in (VICTIM.target, VICTIM.source))
    for rule in run.cloud.aws("ec2", "describe_security_group_rules")["SecurityGroupRules"]:
        named = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
        if not rule["IsEgress"] and (rule["GroupId"], named, rule.get("FromPort")) == (into, source, VICTIM.port):
            return into, rule["SecurityGroupRuleId"]
    run.report.need(False, f"the API has a rule for {VICTIM}")
    raise AssertionError


def describe(run: Run, rule_id: str) -> str:
    """A rule in words: its description, else its id."""
    rules = run.cloud.aws("ec2", "describe_security_group_rules")["SecurityGroupRules"]
    found = next(rule for rule in rules if rule["SecurityGroupRuleId"] == rule_id)
    groups = {group: role for role, one in run.fleet.instances.items() for group in one.security_groups}
    direction = "out of" if found["IsEgress"] else "into"
    port = "all ports" if found.get("FromPort", -1) == -1 else f"port {found['FromPort']}"
    return f"{direction} {groups.get(found['GroupId'], found['GroupId'])} {port}"
