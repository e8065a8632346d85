# The four machines' user-data as on AWS, with made-up ids: for the checks that read the text (scripts/test-terraform).
# No provider and no resource, so it takes a moment.

terraform {
  required_version = ">= 1.9, < 2.0"
}

module "machine" {
  source   = "../../modules/user-data"
  for_each = toset(["log_store", "app", "metrics_store", "grafana"])

  role        = each.key
  environment = "demo"
  addresses = {
    log_store     = "10.0.1.11"
    app           = "10.0.1.12"
    metrics_store = "10.0.1.13"
    grafana       = "10.0.1.14"
  }
  repository = {
    url = "https://cairn-demo-packages-123456789012.s3.us-east-1.amazonaws.com/apt"
    key = file("${path.module}/../fixtures/apt/cairn.asc")
  }
  volume_id = "vol-0123456789abcdef0"
  region    = "us-east-1"
  grafana = {
    version     = "13.2.2"
    apt_url     = "https://apt.grafana.com"
    fingerprint = "B53AE77BADB630A683046005963FA27710458545"
    secret_arn  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:cairn-demo/grafana-admin-20260901120000000000000001-AbCdEf"
  }
}

output "user_data" {
  description = "The text for each machine."
  value       = { for role, machine in module.machine : replace(role, "_", "-") => machine.text }
}

output "files" {
  description = "The files in it: machine to path to content."
  value       = { for role, machine in module.machine : replace(role, "_", "-") => machine.files }
}
