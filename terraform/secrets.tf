# Grafana's admin password. Terraform makes the secret empty; Grafana's machine draws the value at its first start and
# puts it here (package cairn-grafana). So it is in no state, plan, user-data or output.

resource "aws_secretsmanager_secret" "grafana_admin" {
  # A prefix: the name of a deleted secret stays taken for days, and the next apply would fail on it.
  name_prefix             = "${local.name}/grafana-admin-"
  description             = "Password of Grafana's user admin"
  recovery_window_in_days = var.final_snapshot ? 7 : 0
}
