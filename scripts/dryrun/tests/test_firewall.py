"""Security groups as the EC2 API describes them, and the nftables rules that come of them."""

import shutil
import subprocess
import unittest

from dryrun import firewall


def instance(private, public, groups, state="running"):
    interface = {"PrivateIpAddress": private, "Groups": [{"GroupId": group} for group in groups]}
    entry = {"State": {"Name": state}, "NetworkInterfaces": [interface]}
    return entry | ({"PublicIpAddress": public} if public else {})


def rule(number, group, *, egress=False, **match):
    base = {"SecurityGroupRuleId": f"sgr-{number}", "GroupId": group, "IsEgress": egress, "IpProtocol": "tcp"}
    return base | match


STORE = instance("10.0.1.11", "54.0.0.11", ["sg-store"])
APP = instance("10.0.1.12", "54.0.0.12", ["sg-app"])
PUSH = rule(1, "sg-store", FromPort=3100, ToPort=3100, CidrIpv4="10.0.0.0/16")
SCRAPE = rule(2, "sg-store", FromPort=12345, ToPort=12345, ReferencedGroupInfo={"GroupId": "sg-app"})
OUT = rule(3, "sg-app", egress=True, IpProtocol="-1", CidrIpv4="0.0.0.0/0")


def chain(text, name):
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == f"chain {name} {{")
    end = next(i for i in range(start, len(lines)) if lines[i].strip() == "}")
    return [line.strip() for line in lines[start + 1 : end]]


class Ruleset(unittest.TestCase):
    def test_each_rule_stands_in_the_chain_of_its_groups_members_and_names_itself(self):
        text = firewall.ruleset([STORE, APP], [PUSH, SCRAPE, OUT])
        self.assertEqual(
            chain(text, "to_10_0_1_11"),
            [
                'ip saddr 10.0.0.0/16 tcp dport 3100 counter accept comment "sgr-1"',
                'ip saddr { 10.0.1.12 } tcp dport 12345 counter accept comment "sgr-2"',
                "counter drop",
            ],
        )
        self.assertEqual(chain(text, "from_10_0_1_12"), ['counter return comment "sgr-3"', "counter drop"])

    def test_a_machine_without_rules_gets_nothing_through(self):
        text = firewall.ruleset([STORE, APP], [])
        for name in ("to_10_0_1_11", "from_10_0_1_11", "to_10_0_1_12", "from_10_0_1_12"):
            self.assertEqual(chain(text, name), ["counter drop"])

    def test_a_group_without_members_lets_nobody_in(self):
        text = firewall.ruleset([STORE], [SCRAPE])
        self.assertEqual(chain(text, "to_10_0_1_11"), ["counter drop"])

    def test_terminated_instances_are_no_members(self):
        gone = instance("10.0.1.12", None, ["sg-app"], state="terminated")
        text = firewall.ruleset([STORE, gone], [SCRAPE])
        self.assertNotIn("10.0.1.12", text)

    def test_port_ranges_and_protocols(self):
        shop = rule(4, "sg-app", FromPort=8080, ToPort=8083, CidrIpv4="203.0.113.0/24")
        ping = rule(5, "sg-app", IpProtocol="icmp", FromPort=-1, ToPort=-1, CidrIpv4="10.0.0.0/16")
        inbound = chain(firewall.ruleset([APP], [shop, ping]), "to_10_0_1_12")
        self.assertIn('ip saddr 203.0.113.0/24 tcp dport 8080-8083 counter accept comment "sgr-4"', inbound)
        self.assertIn('ip saddr 10.0.0.0/16 ip protocol icmp counter accept comment "sgr-5"', inbound)

    def test_what_is_not_understood_stops_the_run(self):
        for unknown in (
            rule(6, "sg-app", FromPort=1, ToPort=1, PrefixListId="pl-1"),
            rule(7, "sg-app", IpProtocol="50", CidrIpv4="10.0.0.0/16"),
        ):
            with self.assertRaises(firewall.UnknownRule) as caught:
                firewall.ruleset([APP], [unknown])
            self.assertIn(unknown["SecurityGroupRuleId"], str(caught.exception))

    def test_public_addresses_are_translated_both_ways(self):
        text = firewall.ruleset([STORE, APP], [])
        self.assertIn("dnat ip to ip daddr map { 54.0.0.11 : 10.0.1.11, 54.0.0.12 : 10.0.1.12 }", text)
        self.assertIn("snat ip to ip saddr map { 10.0.1.11 : 54.0.0.11, 10.0.1.12 : 54.0.0.12 }", text)

    def test_without_public_addresses_machines_leave_through_one_address_and_none_gets_in(self):
        text = firewall.ruleset([instance("10.0.2.11", None, ["sg-store"])], [PUSH])
        self.assertIn("masquerade", text)
        self.assertNotIn("dnat", text)

    def test_the_internet_cannot_address_the_vpc(self):
        self.assertIn("iifname igw ip daddr 10.0.0.0/16 counter drop", firewall.ruleset([], []))

    def test_the_text_does_not_hang_on_the_order_of_the_answer(self):
        forward = firewall.ruleset([STORE, APP], [PUSH, SCRAPE, OUT])
        self.assertEqual(forward, firewall.ruleset([APP, STORE], [OUT, SCRAPE, PUSH]))

    def test_nft_takes_it(self):
        if shutil.which("nft") is None or shutil.which("unshare") is None:
            self.skipTest("no nft or unshare")
        rules = [PUSH, SCRAPE, OUT, rule(4, "sg-app", FromPort=8080, ToPort=8083, CidrIpv4="203.0.113.0/24")]
        for machines in ([], [STORE], [STORE, APP]):
            command = ["unshare", "--user", "--map-root-user", "--net", "nft", "--check", "-f", "-"]
            text = firewall.ruleset(machines, rules)
            done = subprocess.run(command, input=text, text=True, capture_output=True, timeout=20)
            if "unshare" in done.stderr:
                self.skipTest("no user namespaces here")
            self.assertEqual((done.returncode, done.stderr), (0, ""), text)


if __name__ == "__main__":
    unittest.main()
