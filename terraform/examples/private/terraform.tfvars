# Machines without public addresses, for a VPC that is reached by VPN, peering or Session Manager.
environment = "prod"
placement   = "private"

instance_types = {
  log_store     = "t3.small"
  metrics_store = "t3.small"
}
data_volume_gib = {
  log_store     = 100
  metrics_store = 50
}

flow_logs           = true
detailed_monitoring = true
# alarm_email       = "ops@example.com"
