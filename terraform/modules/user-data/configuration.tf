# The daemons' configuration files. Only here is an address opened: packages listen on loopback. Values that are put in
# are addresses and names of [a-z0-9-], so nothing has to be quoted.

locals {
  log_store_toml = <<-EOT
    # Written at the first boot of this machine by Cairn's Terraform.
    [server]
    http_listen_address = "0.0.0.0"
    http_listen_port = 3100

    [common]
    path_prefix = "/var/lib/cairn-log-store"
  EOT

  app_toml = <<-EOT
    # Written at the first boot of this machine by Cairn's Terraform.
    listen = "0.0.0.0:5000"
    data_dir = "/var/lib/cairn-app"
    log_file = "/var/log/cairn-app/app.log"
    environment = "${var.environment}"
  EOT

  log_shipper_toml = templatefile("${path.module}/templates/log-shipper.toml.tftpl", {
    role      = var.role
    env       = var.environment
    log_store = var.role == "log_store" ? "127.0.0.1" : var.addresses.log_store
  })

  metrics_store_toml = templatefile("${path.module}/templates/metrics-store.toml.tftpl", {
    addresses = var.addresses
  })

  grafana_env = join("", concat(
    [
      "CAIRN_LOG_STORE_URL=http://${var.addresses.log_store}:3100\n",
      "CAIRN_METRICS_STORE_URL=http://${var.addresses.metrics_store}:9090\n",
    ],
    local.grafana.secret_arn == "" ? [] : [
      "CAIRN_GRAFANA_SECRET_ARN=${local.grafana.secret_arn}\n",
      "AWS_REGION=${var.region}\n",
    ],
  ))
}
