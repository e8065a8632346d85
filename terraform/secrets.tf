# Grafana's admin password. Terraform makes the secret empty; Grafana's machine draws the value at its first start and
# puts it here (package cairn-grafana). So it is in no state, plan, user-data or output.

resource "aws_secretsmanager_secret" "grafana_admin" {
  #checkov:skip=CKV_AWS_149:encrypted with the AWS-managed key; an own one costs 1 USD a month and guards against nobody else here
  #checkov:skip=CKV2_AWS_57:Grafana reads the password only while its database is new, so a rotated one would be wrong
  # A prefix: the name of a deleted secret stays taken for days, and the next apply would fail on it.
  name_prefix             = "${local.name}/grafana-admin-"
  description             = "Password of Grafana's user admin"
  recovery_window_in_days = var.final_snapshot ? 7 : 0
}
