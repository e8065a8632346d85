data "aws_caller_identity" "current" {}

locals {
  name = "cairn-${var.environment}"

  tags = {
    Project     = "cairn"
    Environment = var.environment
    ManagedBy   = "terraform"
  }

  # Every port that a rule opens, by name.
  ports = {
    ssh            = 22
    app            = 5000
    shop_api       = 8080
    shop_frontend  = 8081
    shop_payment   = 8082
    shop_inventory = 8083
    log_shipper    = 12345
    log_store      = 3100
    metrics_store  = 9090
    grafana        = 3000
  }

  roles = ["log_store", "app", "metrics_store", "grafana"]

  subnet = var.placement == "private" ? aws_subnet.private : aws_subnet.public

  # Fixed, so that a machine can be replaced without touching its peers.
  addresses = {
    log_store     = cidrhost(local.subnet.cidr_block, 11)
    app           = cidrhost(local.subnet.cidr_block, 12)
    metrics_store = cidrhost(local.subnet.cidr_block, 13)
    grafana       = cidrhost(local.subnet.cidr_block, 14)
  }

  has_public_address = {
    for role in local.roles : role => var.placement == "public" || (var.placement == "entry" && role == "grafana")
  }

  instance_types = {
    for role, type in var.instance_types : role => coalesce(type, var.architecture == "arm64" ? "t4g.micro" : "t3.micro")
  }
}
