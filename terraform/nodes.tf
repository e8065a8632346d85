# The four machines, in the order in which they are made: log store, app, metrics store, Grafana. Each waits for the
# ids in its `after`. (Not depends_on between the modules: that defers data sources and makes every change ripple.)

data "aws_ami" "debian" {
  count = var.ami_id == null ? 1 : 0

  most_recent = true
  owners      = ["136693071363"] # Debian

  filter {
    name   = "name"
    values = ["debian-12-${var.architecture}-*"]
  }
}

locals {
  # What all four have in common.
  common = {
    name                = local.name
    environment         = var.environment
    region              = var.region
    ami_id              = var.ami_id == null ? data.aws_ami.debian[0].id : var.ami_id
    subnet_id           = local.subnet.id
    availability_zone   = local.zone
    key_name            = var.key_name
    addresses           = local.addresses
    final_snapshot      = var.final_snapshot
    detailed_monitoring = var.detailed_monitoring
    repository = {
      url = "https://${aws_s3_bucket.packages.bucket_regional_domain_name}/apt"
      key = file("${local.package_dir}/cairn.asc")
    }
  }

  # What a first boot needs: the packages, the right to read them, and a way there.
  before_any_node = concat(
    [for object in aws_s3_object.package : object.key],
    [
      aws_s3_bucket_policy.packages.id,
      aws_vpc_endpoint.s3.id,
      aws_route.internet.id,
      aws_route_table_association.public.id,
      aws_route_table_association.private.id,
    ],
    aws_route.nat[*].id,
    [for rule in aws_vpc_security_group_egress_rule.all : rule.id],
  )
}

module "log_store" {
  source = "./modules/node"

  role              = "log_store"
  common            = local.common
  instance_type     = local.instance_types.log_store
  public            = local.has_public_address.log_store
  security_group_id = aws_security_group.this["log_store"].id
  data_volume_gib   = var.data_volume_gib.log_store
  backup            = var.backups
  after             = local.before_any_node
}

module "app" {
  source = "./modules/node"

  role              = "app"
  common            = local.common
  instance_type     = local.instance_types.app
  public            = local.has_public_address.app
  security_group_id = aws_security_group.this["app"].id
  data_volume_gib   = var.data_volume_gib.app
  backup            = false # positions of the shipper: of no use on another day
  after             = [module.log_store.id]
}

module "metrics_store" {
  source = "./modules/node"

  role              = "metrics_store"
  common            = local.common
  instance_type     = local.instance_types.metrics_store
  public            = local.has_public_address.metrics_store
  security_group_id = aws_security_group.this["metrics_store"].id
  data_volume_gib   = var.data_volume_gib.metrics_store
  backup            = var.backups
  after             = [module.app.id]
}

module "grafana" {
  source = "./modules/node"

  role              = "grafana"
  common            = local.common
  instance_type     = local.instance_types.grafana
  public            = local.has_public_address.grafana
  security_group_id = aws_security_group.this["grafana"].id
  data_volume_gib   = var.data_volume_gib.grafana
  backup            = var.backups
  after             = [module.log_store.id, module.metrics_store.id]

  grafana = {
    version     = var.grafana_version
    apt_url     = var.grafana_apt_url
    fingerprint = var.grafana_apt_fingerprint
    secret_arn  = aws_secretsmanager_secret.grafana_admin.arn
  }
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
      Resource = aws_secretsmanager_secret.grafana_admin.arn
    }]
  })
}

locals {
  nodes = {
    log_store     = module.log_store
    app           = module.app
    metrics_store = module.metrics_store
    grafana       = module.grafana
  }
}
