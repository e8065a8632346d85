# Machines without public addresses, for a VPC that is reached by VPN, peering or Session Manager.
# For production: destroy leaves snapshots, and the password for 7 days (final_snapshot, on by default).
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
