# The stack to look at for an afternoon: four t3.micro, nothing kept when it is destroyed.
environment    = "trial"
backups        = false
final_snapshot = false

data_volume_gib = {
  log_store     = 8
  app           = 1
  metrics_store = 8
  grafana       = 1
}
