locals {
  # Where a user reaches a machine: by its public address, where it has one.
  reachable = {
    for role, node in local.nodes : role => local.has_public_address[role] ? node.public_ip : node.private_ip
  }

  urls = {
    app           = "http://${local.reachable.app}:${local.ports.app}"
    metrics_store = "http://${local.reachable.metrics_store}:${local.ports.metrics_store}"
    grafana       = "http://${local.reachable.grafana}:${local.ports.grafana}"
    # No rule lets anybody outside of the VPC in.
    log_store = "http://${local.addresses.log_store}:${local.ports.log_store}"
  }

  grafana_password_command = "aws secretsmanager get-secret-value --region ${var.region} --secret-id ${aws_secretsmanager_secret.grafana_admin.arn} --query SecretString --output text"
}

output "urls" {
  description = "Address of each service. The log store's works inside the VPC only; so do all of them with placement = \"private\", and all but Grafana's with \"entry\"."
  value       = local.urls
}

output "nodes" {
  description = "Id, private and public address of each machine."
  value = {
    for role, node in local.nodes : role => {
      id         = node.id
      private_ip = node.private_ip
      public_ip  = local.has_public_address[role] ? node.public_ip : null
    }
  }
}

output "volume_ids" {
  description = "Data volume of each machine; it outlives the machine."
  value       = { for role, node in local.nodes : role => node.volume_id }
}

output "bucket" {
  description = "Bucket of the apt repository that the machines install from."
  value       = aws_s3_bucket.packages.id
}

output "grafana_password_command" {
  description = "Prints the password of Grafana's user admin, once Grafana's machine has drawn it."
  value       = local.grafana_password_command
}

output "next_steps" {
  description = "What to type next."
  value       = <<-EOT
    The machines install themselves now, which takes 3 to 5 minutes. How far is one?
      aws ec2 get-console-output --region ${var.region} --latest --output text --instance-id ${local.nodes.grafana.id}
    Grafana: ${local.urls.grafana}, user admin. The password:
      ${local.grafana_password_command}
    Something to look at:
      curl ${local.urls.app}/api/data
      curl -G ${local.urls.metrics_store}/api/v1/query --data-urlencode 'query=rate(flask_app_request_count[5m])'
    A new release: scripts/build-debs && scripts/build-apt-repo && terraform apply, then on each machine
      sudo apt-get update && sudo apt-get install --only-upgrade '?installed?origin(cairn)'
  EOT
}
