# As little as it runs on: one public address, nano machines, small volumes, no snapshots.
environment    = "eco"
placement      = "entry"
backups        = false
final_snapshot = false

# With architecture = "arm64" and packages built on such a machine, write t4g instead of t3: a fifth cheaper.
# Grafana gets the larger one: it alone wants what a nano has.
instance_types = {
  log_store     = "t3.nano"
  app           = "t3.nano"
  metrics_store = "t3.nano"
  grafana       = "t3.micro"
}
data_volume_gib = {
  log_store     = 4
  app           = 1
  metrics_store = 4
  grafana       = 1
}
