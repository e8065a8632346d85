# The rules, as whole sets: nothing missing and nothing more.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "without_ssh" {
  # "into from port": names of groups where both ends are groups.
  assert {
    condition = toset([
      for rule in values(aws_vpc_security_group_ingress_rule.this) : join(" ", [
        one([for name, group in aws_security_group.this : name if group.id == rule.security_group_id]),
        rule.cidr_ipv4 != null ? rule.cidr_ipv4 : one([for name, group in aws_security_group.this : name if group.id == rule.referenced_security_group_id]),
        rule.ip_protocol,
        rule.from_port == rule.to_port ? rule.from_port : -1,
      ])
      ]) == toset([
      "app 203.0.113.10/32 tcp 5000",
      "app 203.0.113.10/32 tcp 8080",
      "app 203.0.113.10/32 tcp 8081",
      "app 203.0.113.10/32 tcp 8082",
      "app 203.0.113.10/32 tcp 8083",
      "app metrics_store tcp 5000",
      "app metrics_store tcp 8080",
      "app metrics_store tcp 8081",
      "app metrics_store tcp 8082",
      "app metrics_store tcp 8083",
      "app metrics_store tcp 12345",
      "log_store metrics_store tcp 12345",
      "grafana metrics_store tcp 12345",
      "metrics_store 203.0.113.10/32 tcp 9090",
      "metrics_store grafana tcp 9090",
      "grafana 203.0.113.10/32 tcp 3000",
      "grafana metrics_store tcp 3000",
      "log_store 10.0.0.0/16 tcp 3100",
      "log_store grafana tcp 3100",
    ])
    error_message = "The rules into the groups are others than the table above."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.this) == 19
    error_message = "There are ${length(aws_vpc_security_group_ingress_rule.this)} rules into the groups instead of 19: two rules are the same."
  }
  assert {
    condition     = alltrue([for key, rule in aws_vpc_security_group_ingress_rule.this : startswith(key, "${one([for name, group in aws_security_group.this : name if group.id == rule.security_group_id])}.${rule.from_port}.")])
    error_message = "A rule's key is not service.port.from."
  }
  assert {
    condition = toset([
      for rule in concat(values(aws_vpc_security_group_egress_rule.all), [aws_vpc_security_group_egress_rule.app_to_log_store]) : join(" ", [
        one([for name, group in aws_security_group.this : name if group.id == rule.security_group_id]),
        rule.cidr_ipv4,
        rule.ip_protocol,
        rule.from_port == null ? "all" : "${rule.from_port}-${rule.to_port}",
      ])
      ]) == toset([
      "app 10.0.0.0/16 tcp 3100-3100",
      "app 0.0.0.0/0 -1 all",
      "log_store 0.0.0.0/0 -1 all",
      "metrics_store 0.0.0.0/0 -1 all",
      "grafana 0.0.0.0/0 -1 all",
    ])
    error_message = "The rules out of the groups are others than the table above."
  }
  assert {
    condition = alltrue([
      for rule in concat(values(aws_vpc_security_group_ingress_rule.this), values(aws_vpc_security_group_egress_rule.all)) :
      length(rule.description) > 3
    ])
    error_message = "A rule has no description."
  }
  assert {
    condition     = length(toset([for group in values(aws_security_group.this) : group.id])) == 4 && aws_default_security_group.this.vpc_id == aws_vpc.this.id
    error_message = "There is not one group per service, or the VPC's default group is left alone."
  }
}

run "with_ssh" {
  variables {
    allowed_ssh_cidr = "198.51.100.0/24"
    key_name         = "mine"
  }

  assert {
    condition = toset([
      for key, rule in aws_vpc_security_group_ingress_rule.this : "${key} ${rule.cidr_ipv4} ${rule.from_port}-${rule.to_port}" if rule.from_port == 22
      ]) == toset([
      "app.22.ssh 198.51.100.0/24 22-22",
      "grafana.22.ssh 198.51.100.0/24 22-22",
      "log_store.22.ssh 198.51.100.0/24 22-22",
      "metrics_store.22.ssh 198.51.100.0/24 22-22",
    ])
    error_message = "Port 22 is not open to allowed_ssh_cidr on exactly the four machines."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.this) == 23
    error_message = "allowed_ssh_cidr changes other rules than port 22."
  }
}

run "of_another_network" {
  variables {
    vpc_cidr         = "172.20.0.0/18"
    allowed_web_cidr = "198.51.100.0/24"
  }

  assert {
    condition     = toset([for rule in values(aws_vpc_security_group_ingress_rule.this) : rule.cidr_ipv4 if rule.cidr_ipv4 != null]) == toset(["172.20.0.0/18", "198.51.100.0/24"])
    error_message = "A rule names an address that nobody gave."
  }
}
