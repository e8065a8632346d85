# Daily snapshots of the data volumes that are tagged for it.

resource "aws_iam_role" "backups" {
  count = var.backups ? 1 : 0

  name = "${local.name}-backups"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "dlm.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "backups" {
  count = var.backups ? 1 : 0

  role       = aws_iam_role.backups[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole"
}

data "aws_partition" "current" {}

resource "aws_dlm_lifecycle_policy" "backups" {
  count = var.backups ? 1 : 0

  description        = "Daily snapshots of ${local.name}"
  execution_role_arn = aws_iam_role.backups[0].arn
  state              = "ENABLED"

  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { Backup = local.name }

    schedule {
      name      = "daily"
      copy_tags = true

      create_rule {
        interval      = 24
        interval_unit = "HOURS"
        times         = ["03:30"] # UTC
      }

      retain_rule {
        count = 7
      }
    }
  }
}
