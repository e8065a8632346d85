# What every machine is: locked down, its data apart, told by user-data.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "defaults" {
  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.instance.metadata_options[0].http_tokens == "required" && node.made.instance.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "A machine gives credentials without a token, or to its containers."
  }
  assert {
    condition = alltrue([for node in values(local.nodes) :
      node.made.instance.root_block_device[0].encrypted && node.made.instance.root_block_device[0].delete_on_termination && node.made.instance.root_block_device[0].volume_type == "gp3"
    ])
    error_message = "A root volume is not gp3, not encrypted, or outlives its machine."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.volume.encrypted && node.made.volume.type == "gp3" && node.made.volume.final_snapshot])
    error_message = "A data volume is not gp3, not encrypted, or leaves no snapshot."
  }
  assert {
    condition     = { for role, node in local.nodes : role => node.made.volume.size } == { log_store = 30, app = 8, metrics_store = 30, grafana = 8 }
    error_message = "The data volumes have other sizes."
  }
  assert {
    condition     = alltrue([for role, node in local.nodes : node.made.attachment.instance_id == node.made.instance.id && node.made.attachment.volume_id == node.made.volume.id && node.made.attachment.stop_instance_before_detaching])
    error_message = "A data volume is not attached to its machine, or is taken from it while it runs."
  }
  assert {
    condition     = alltrue([for role, node in local.nodes : node.made.instance.tags.Role == role && node.made.instance.tags.Name == "cairn-demo-${replace(role, "_", "-")}"])
    error_message = "A machine's tags Role and Name are not as documented."
  }
  assert {
    condition     = alltrue([for role, node in local.nodes : node.made.instance.vpc_security_group_ids == toset([aws_security_group.this[role].id])])
    error_message = "A machine is not in its own group alone."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.instance.instance_type == "t3.micro" && node.made.instance.ami == "ami-0deb1200000000001" && !node.made.instance.monitoring])
    error_message = "Type, image or monitoring of a machine is not the default."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.instance.user_data_replace_on_change && length(node.made.user_data) <= 16384])
    error_message = "A machine does not follow its user-data, or that is too large."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : !strcontains(lower(replace(node.made.user_data, "ssh_pwauth", "")), "password")])
    error_message = "A user-data speaks of a password."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : strcontains(node.made.user_data, replace(node.volume_id, "-", ""))])
    error_message = "A machine is not told its volume."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : strcontains(node.made.user_data, "https://cairn-demo-packages-123456789012.s3.us-east-1.amazonaws.com/apt stable main")])
    error_message = "A machine does not install from the bucket."
  }

  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.instance.metadata_options[0].http_endpoint == "enabled" && node.made.instance.metadata_options[0].instance_metadata_tags == "enabled"])
    error_message = "A machine cannot ask for its own tags."
  }

  # What it may do in AWS; tests/inventory sees to it that there is no other policy.
  assert {
    condition = alltrue([for node in values(local.nodes) : jsondecode(node.made.role.assume_role_policy) == {
      Version   = "2012-10-17"
      Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
    }])
    error_message = "Something else than EC2 may take a machine's role."
  }
  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.profile.role == node.made.role.name && node.made.instance.iam_instance_profile == node.made.profile.name])
    error_message = "A machine has not its own role."
  }
  assert {
    condition = alltrue([for node in values(local.nodes) : node.made.policies.roles == toset([node.made.role.id]) && jsondecode(node.made.policies.session_manager) == {
      Version = "2012-10-17"
      Statement = [{
        Effect = "Allow"
        Action = [
          "ssm:UpdateInstanceInformation",
          "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
        ]
        Resource = "*"
      }]
    }])
    error_message = "A machine may do more, or less, than Session Manager needs."
  }
  assert {
    condition     = [for role, node in local.nodes : role if node.made.policies.own != null] == ["grafana"]
    error_message = "Not exactly Grafana's machine has a policy of its own."
  }
  assert {
    condition = jsondecode(local.nodes.grafana.made.policies.own) == {
      Version = "2012-10-17"
      Statement = [{
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"]
        Resource = aws_secretsmanager_secret.grafana_admin.arn
      }]
    }
    error_message = "Grafana's machine may do something else than read and write its one secret."
  }
}

# On top of what the run before made, as every run is.
run "a_newer_image" {
  command = plan

  variables {
    ami_id = "ami-0123456789abcdef0"
  }

  assert {
    condition     = alltrue([for node in values(local.nodes) : node.made.instance.ami == "ami-0deb1200000000001"])
    error_message = "A newer image of Debian would replace machines."
  }
}

run "of_ones_own_choice" {
  variables {
    environment      = "prod"
    ami_id           = "ami-0123456789abcdef0"
    allowed_ssh_cidr = "198.51.100.7/32"
    key_name         = "mine"
    instance_types   = { log_store = "t3.small", metrics_store = "i3en.large" } # i3en is built on Nitro, i3 is not
    data_volume_gib  = { log_store = 100 }
    grafana_version  = "12.4.1"
  }

  assert {
    condition     = { for role, node in local.nodes : role => node.made.instance.instance_type } == { log_store = "t3.small", app = "t3.micro", metrics_store = "i3en.large", grafana = "t3.micro" }
    error_message = "instance_types does not change exactly what it names."
  }
  assert {
    condition     = { for role, node in local.nodes : role => node.made.volume.size } == { log_store = 100, app = 8, metrics_store = 30, grafana = 8 }
    error_message = "data_volume_gib does not change exactly what it names."
  }
  assert {
    condition     = alltrue([for role, node in local.nodes : node.made.instance.key_name == "mine" && startswith(node.made.instance.tags.Name, "cairn-prod-")])
    error_message = "key_name or environment has no effect."
  }
  assert {
    condition     = strcontains(local.nodes.grafana.made.user_data, "grafana=12.4.1") && strcontains(local.nodes.app.made.user_data, "env = \"prod\"")
    error_message = "grafana_version or environment does not reach the machine."
  }
}
