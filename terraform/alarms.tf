# A message when EC2 finds a machine or its host not working. What the daemons have to say is a matter of their own
# metrics.

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:CloudWatch may not use the AWS-managed key of SNS, and the messages only say which machine failed
  count = var.alarm_email == null ? 0 : 1

  name = "${local.name}-alarms"
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_metric_alarm" "status" {
  for_each = var.alarm_email == null ? {} : local.nodes

  alarm_name          = "${local.name}-${replace(each.key, "_", "-")}-status"
  alarm_description   = "${replace(each.key, "_", " ")} of ${local.name} fails EC2's status checks"
  namespace           = "AWS/EC2"
  metric_name         = "StatusCheckFailed"
  dimensions          = { InstanceId = each.value.id }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  alarm_actions       = [aws_sns_topic.alarms[0].arn]
  ok_actions          = [aws_sns_topic.alarms[0].arn]
}
