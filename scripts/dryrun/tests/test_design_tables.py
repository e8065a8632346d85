"""Rules of groups and grants of roles: the design's own pass, and one more, one less or another one is seen."""

import unittest

from dryrun import group_rules, role_grants
from dryrun.differences import differences
from dryrun.matrix import Cidrs

CIDRS = Cidrs("203.0.113.0/24", "203.0.113.10/32")
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:grafana"
ROLES = {"sg-1": "log-store", "sg-2": "app", "sg-3": "metrics-store", "sg-4": "grafana"}
NAMES = {"sg-0": "default"} | {group: f"x-{role}" for group, role in ROLES.items()}
GROUPS = [{"GroupId": group, "GroupName": name} for group, name in NAMES.items()]


def api_rule(group, port, *, cidr=None, peer=None, egress=False, protocol="tcp"):
    rule = {"GroupId": group, "IsEgress": egress, "IpProtocol": protocol, "FromPort": port, "ToPort": port}
    return rule | ({"CidrIpv4": cidr} if cidr else {"ReferencedGroupInfo": {"GroupId": peer}})


def design():
    """The tables of the design once more, in the API's words."""
    web, ssh, vpc, app = CIDRS.web, CIDRS.ssh, "10.0.0.0/16", (5000, 8080, 8081, 8082, 8083)
    log_store, app_id, metrics, grafana = "sg-1", "sg-2", "sg-3", "sg-4"
    return [
        *(api_rule(group, 22, cidr=ssh) for group in ROLES),
        *(api_rule(app_id, port, cidr=web) for port in app),
        *(api_rule(app_id, port, peer=metrics) for port in app),
        *(api_rule(group, 12345, peer=metrics) for group in (app_id, log_store, grafana)),
        api_rule(metrics, 9090, cidr=web),
        api_rule(metrics, 9090, peer=grafana),
        api_rule(grafana, 3000, cidr=web),
        api_rule(grafana, 3000, peer=metrics),
        api_rule(log_store, 3100, cidr=vpc),
        api_rule(log_store, 3100, peer=grafana),
        api_rule(app_id, 3100, cidr=vpc, egress=True),
        *(api_rule(group, -1, cidr="0.0.0.0/0", egress=True, protocol="-1") for group in ROLES),
    ]


def wrong_rules(rules, groups=GROUPS):
    return differences(group_rules.wanted(CIDRS), group_rules.found(rules, groups, ROLES))


class Rules(unittest.TestCase):
    def test_the_designs_own_are_right(self):
        self.assertEqual(wrong_rules(design()), [])
        self.assertEqual(len(design()), 28)

    def test_each_one_less_is_seen(self):
        for i in range(len(design())):
            rules = design()
            del rules[i]
            self.assertEqual([text.split(":")[0] for text in wrong_rules(rules)], ["missing"], design()[i])

    def test_one_more_is_seen(self):
        self.assertEqual(
            wrong_rules([*design(), api_rule("sg-2", 6379, cidr="0.0.0.0/0")]),
            ["not in the design: into app, protocol tcp, port 6379, from 0.0.0.0/0"],
        )
        self.assertEqual(len(wrong_rules([*design(), api_rule("sg-2", 443, cidr="0.0.0.0/0", egress=True)])), 1)
        self.assertEqual(len(wrong_rules([*design(), design()[0]])), 1)

    def test_another_network_range_or_peer_is_seen(self):
        for change in (
            {"CidrIpv4": "0.0.0.0/0"},
            {"ToPort": 23},
            {"IpProtocol": "udp"},
            {"CidrIpv4": None, "CidrIpv6": "::/0"},
            {"CidrIpv4": None, "PrefixListId": "pl-1"},
            {"CidrIpv4": None, "ReferencedGroupInfo": {"GroupId": "sg-77"}},
        ):
            rules = design()
            rules[0] |= change
            self.assertEqual(len(wrong_rules(rules)), 2, change)

    def test_a_rule_of_a_group_without_machines_is_seen(self):
        for group in ("sg-0", "sg-9"):
            groups = [*GROUPS, {"GroupId": "sg-9", "GroupName": "stray"}]
            self.assertEqual(len(wrong_rules([*design(), api_rule(group, 22, cidr="10.0.0.0/8")], groups)), 1)
        self.assertEqual(group_rules.strangers(groups, ROLES), ["stray"])
        self.assertEqual(group_rules.strangers(GROUPS, ROLES), [])

    def test_rules_of_other_vpcs_do_not_count(self):
        self.assertEqual(wrong_rules([*design(), api_rule("sg-of-another-vpc", 22, cidr="0.0.0.0/0")]), [])

    def test_without_administration_there_is_no_rule_for_it(self):
        rules = [rule for rule in design() if rule["FromPort"] != 22]
        found = group_rules.found(rules, GROUPS, ROLES)
        self.assertEqual(differences(group_rules.wanted(Cidrs(CIDRS.web, None)), found), [])


class Account:
    """Answers as IAM does."""

    def __init__(self):
        self.trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
        self.roles = {f"x-{role}": [self.policy(role_grants.SESSION_MANAGER, "*")] for role in role_grants.ROLES}
        self.roles["x-grafana"].append(self.policy(role_grants.SECRET, SECRET))
        self.attached = []

    @staticmethod
    def policy(actions, resource):
        return {"Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": resource}]}

    def __call__(self, service, operation, RoleName=None, PolicyName=None):
        if operation == "list_roles":
            trust = {"Statement": self.trust}
            return {"Roles": [{"RoleName": name, "AssumeRolePolicyDocument": trust} for name in self.roles]}
        if operation == "list_role_policies":
            return {"PolicyNames": [str(i) for i in range(len(self.roles[RoleName]))]}
        if operation == "get_role_policy":
            return {"PolicyDocument": self.roles[RoleName][int(PolicyName)]}
        return {"AttachedPolicies": self.attached if RoleName == "x-app" else []}

    def wrong(self):
        names = {f"x-{role}": role for role in role_grants.ROLES}
        return differences(role_grants.wanted(SECRET), role_grants.found(self, names))


class Grants(unittest.TestCase):
    def setUp(self):
        self.account = Account()

    def test_the_designs_own_are_right(self):
        self.assertEqual(self.account.wrong(), [])

    def test_another_policy_is_seen(self):
        self.account.roles["x-app"].append(Account.policy(["s3:GetObject"], "*"))
        self.assertEqual(self.account.wrong(), ["not in the design: app: inline: Allow s3:GetObject on *"])

    def test_one_action_less_is_seen(self):
        self.account.roles["x-app"][0]["Statement"][0]["Action"].pop()
        self.assertEqual(self.account.wrong(), ["missing: app: inline: Allow ssmmessages:OpenDataChannel on *"])

    def test_another_resource_effect_or_condition_is_seen(self):
        for change in ({"Resource": "*"}, {"Effect": "Deny"}, {"Condition": {"Bool": {"x": "true"}}}):
            self.account = Account()
            self.account.roles["x-grafana"][1]["Statement"][0] |= change
            self.assertEqual(len(self.account.wrong()), 4, change)

    def test_all_but_some_actions_is_seen(self):
        self.account.roles["x-app"].append({"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}})
        self.assertEqual(self.account.wrong(), ["not in the design: app: inline: Allow all but iam:* on *"])

    def test_an_attached_policy_is_seen(self):
        self.account.attached = [{"PolicyArn": "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"}]
        self.assertEqual(len(self.account.wrong()), 1)

    def test_whoever_else_may_take_the_role_is_seen(self):
        self.account.trust["Principal"] = {"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}
        self.assertEqual(len(self.account.wrong()), 4)
        self.account.trust["Principal"] = "*"
        self.assertEqual(len(self.account.wrong()), 8)

    def test_another_role_is_seen(self):
        self.account.roles["stray"] = []
        self.assertEqual(len(self.account.wrong()), 1)


if __name__ == "__main__":
    unittest.main()
