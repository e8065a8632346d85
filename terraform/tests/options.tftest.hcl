# What can be switched on and off.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "by_default" {
  assert {
    condition     = aws_dlm_lifecycle_policy.backups[0].policy_details[0].target_tags.Backup == "cairn-demo" && aws_dlm_lifecycle_policy.backups[0].policy_details[0].schedule[0].retain_rule[0].count == 7
    error_message = "There are no daily snapshots, or not 7 of them are kept."
  }
  assert {
    condition     = jsondecode(aws_iam_role.backups[0].assume_role_policy).Statement == [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "dlm.amazonaws.com" } }] && aws_iam_role_policy_attachment.backups[0].policy_arn == "arn:aws:iam::aws:policy/service-role/AWSDataLifecycleManagerServiceRole" && aws_iam_role_policy_attachment.backups[0].role == aws_iam_role.backups[0].name
    error_message = "The role of the snapshots is open to something else, or may do something else."
  }
  assert {
    condition     = [for role, node in local.nodes : role if lookup(node.made.volume.tags, "Backup", "") == "cairn-demo"] == ["grafana", "log_store", "metrics_store"]
    error_message = "Not exactly the data of log store, metrics store and Grafana is snapshotted."
  }
  assert {
    condition     = length(aws_flow_log.this) + length(aws_cloudwatch_log_group.flow) + length(aws_iam_role.flow_logs) + length(aws_sns_topic.alarms) + length(aws_sns_topic_subscription.alarms) + length(aws_cloudwatch_metric_alarm.status) == 0
    error_message = "Something that costs is on without being asked for."
  }
}

run "without_backups_and_final_snapshot" {
  variables {
    backups        = false
    final_snapshot = false
  }

  assert {
    condition     = length(aws_dlm_lifecycle_policy.backups) + length(aws_iam_role.backups) + length(aws_iam_role_policy_attachment.backups) == 0
    error_message = "backups = false leaves something of the daily snapshots."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : !contains(keys(node.made.volume.tags), "Backup") && !node.made.volume.final_snapshot])
    error_message = "A volume is still marked for snapshots."
  }
  assert {
    condition     = aws_secretsmanager_secret.grafana_admin.recovery_window_in_days == 0
    error_message = "final_snapshot = false keeps the secret."
  }
}

run "with_everything" {
  variables {
    flow_logs           = true
    detailed_monitoring = true
    alarm_email         = "ops@example.com"
  }

  assert {
    condition     = aws_flow_log.this[0].traffic_type == "ALL" && aws_flow_log.this[0].vpc_id == aws_vpc.this.id && aws_flow_log.this[0].log_destination == aws_cloudwatch_log_group.flow[0].arn
    error_message = "flow_logs does not record all of the VPC's traffic."
  }
  assert {
    condition = jsondecode(aws_iam_role.flow_logs[0].assume_role_policy).Statement == [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "vpc-flow-logs.amazonaws.com" } }] && jsondecode(aws_iam_role_policy.flow_logs[0].policy).Statement == [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = ["arn:aws:logs:us-east-1:123456789012:log-group:mocked", "arn:aws:logs:us-east-1:123456789012:log-group:mocked:*"]
    }]
    error_message = "The role of the flow logs is open to something else, or may do something else."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.instance.monitoring])
    error_message = "detailed_monitoring has no effect."
  }
  assert {
    condition     = aws_sns_topic_subscription.alarms[0].endpoint == "ops@example.com" && aws_sns_topic_subscription.alarms[0].protocol == "email"
    error_message = "alarm_email is not told."
  }
  assert {
    condition     = { for role, alarm in aws_cloudwatch_metric_alarm.status : role => alarm.dimensions.InstanceId } == { for role, node in output.nodes : role => node.id }
    error_message = "There is not one alarm for each machine."
  }
}
