# The same user-data for four virtual machines on one desk (the Vagrantfile). No provider, no resource: applying it only
# renders. scripts/vagrant-user-data does, and writes the texts to .cairn/vagrant/.

terraform {
  required_version = ">= 1.9, < 2.0"
}

locals {
  roles = ["log_store", "app", "metrics_store", "grafana"]
  key   = "${pathexpand(coalesce(var.package_dir, "${path.module}/../../../dist/apt"))}/cairn.asc"
}

module "machine" {
  source   = "../../modules/user-data"
  for_each = toset(local.roles)

  role        = each.key
  environment = var.environment
  addresses   = { for index, role in local.roles : role => cidrhost(var.network, 11 + index) }
  repository  = { url = var.repository_url, key = file(local.key) }
  grafana = {
    version     = var.grafana_version
    apt_url     = var.grafana_apt_url
    fingerprint = var.grafana_apt_fingerprint
  }
}
