# Who may talk to whom. One resource per rule, so that a plan names the rule that changes, and keys that say what the
# rule is: service.port.from. tests/security_groups.tftest.hcl compares the whole set.

locals {
  services = {
    log_store     = "Cairn log store"
    app           = "Cairn sample app"
    metrics_store = "Cairn metrics store"
    grafana       = "Grafana"
  }

  app_ports = [for name in ["app", "shop_api", "shop_frontend", "shop_payment", "shop_inventory"] : local.ports[name]]

  # What may come in, as lists of {service, port, from, why}. `from` is another service, or web, ssh, vpc.
  ingress_web = concat(
    [for port in local.app_ports : { service = "app", port = port, from = "web", why = "Users of the app" }],
    [
      { service = "metrics_store", port = local.ports.metrics_store, from = "web", why = "Users of the page and API of the metrics store" },
      { service = "grafana", port = local.ports.grafana, from = "web", why = "Users of Grafana" },
    ],
  )
  ingress_ssh = var.allowed_ssh_cidr == null ? [] : [
    for service in local.roles : { service = service, port = local.ports.ssh, from = "ssh", why = "Administration" }
  ]
  # Its own machine the metrics store scrapes over loopback.
  ingress_scrape = concat(
    [for port in local.app_ports : { service = "app", port = port, from = "metrics_store", why = "Scrape of the app" }],
    [for service in ["app", "log_store", "grafana"] :
    { service = service, port = local.ports.log_shipper, from = "metrics_store", why = "Scrape of the log shipper" }],
    [{ service = "grafana", port = local.ports.grafana, from = "metrics_store", why = "Scrape of Grafana" }],
  )
  ingress_data = [
    { service = "metrics_store", port = local.ports.metrics_store, from = "grafana", why = "Queries" },
    { service = "log_store", port = local.ports.log_store, from = "vpc", why = "Logs from every machine" },
    { service = "log_store", port = local.ports.log_store, from = "grafana", why = "Queries" },
  ]

  ingress = {
    for rule in concat(local.ingress_web, local.ingress_ssh, local.ingress_scrape, local.ingress_data) :
    "${rule.service}.${rule.port}.${rule.from}" => rule
  }
  ingress_cidrs = {
    web = var.allowed_web_cidr
    ssh = var.allowed_ssh_cidr
    vpc = var.vpc_cidr
  }
}

# AWS's own default group lets its members talk to each other: emptied, so that a machine put into it by mistake is alone.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${local.name}-default-unused" }
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:attached to the instances by modules/node, where checkov does not follow it
  for_each = local.services

  # A prefix, because the successor of a replaced group is made before the old one goes.
  name_prefix = "${local.name}-${replace(each.key, "_", "-")}-"
  # Never change a description: AWS can't, so the group and what hangs on it would be replaced.
  description = each.value
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${local.name}-${replace(each.key, "_", "-")}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = local.ingress

  security_group_id            = aws_security_group.this[each.value.service].id
  description                  = each.value.why
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = lookup(local.ingress_cidrs, each.value.from, null)
  referenced_security_group_id = contains(keys(local.services), each.value.from) ? aws_security_group.this[each.value.from].id : null
  tags                         = { Name = each.key }
}

# The next rule covers it; users' own reviews of the app's group look for it.
resource "aws_vpc_security_group_egress_rule" "app_to_log_store" {
  security_group_id = aws_security_group.this["app"].id
  description       = "Logs to the log store"
  ip_protocol       = "tcp"
  from_port         = local.ports.log_store
  to_port           = local.ports.log_store
  cidr_ipv4         = var.vpc_cidr
  tags              = { Name = "app.${local.ports.log_store}.vpc" }
}

resource "aws_vpc_security_group_egress_rule" "all" {
  for_each = local.services

  security_group_id = aws_security_group.this[each.key].id
  description       = "Peers, packages, AWS"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
  tags              = { Name = "${each.key}.all.world" }
}
