# One machine: its role in IAM, its data volume, itself. The volume is apart from the instance, so that a new instance
# gets the old data.

locals {
  name = "${var.common.name}-${replace(var.role, "_", "-")}"
}

# ---- what it may do in AWS ------------------------------------------------------------------------------------------

resource "aws_iam_role" "this" {
  name = local.name
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

# Session Manager, and no more. AWS's own AmazonSSMManagedInstanceCore would also let every machine read every SSM
# parameter of the account.
resource "aws_iam_role_policy" "session_manager" {
  #checkov:skip=CKV_AWS_290:these actions know no resource to bind them to
  #checkov:skip=CKV_AWS_355:these actions know no resource to bind them to
  name = "session-manager"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = "*"
    }]
  })
}

resource "aws_iam_role_policy" "own" {
  count = var.policy == null ? 0 : 1

  name   = "own"
  role   = aws_iam_role.this.id
  policy = var.policy
}

resource "aws_iam_instance_profile" "this" {
  name = local.name
  role = aws_iam_role.this.name
}

# ---- its data -------------------------------------------------------------------------------------------------------

resource "aws_ebs_volume" "data" {
  #checkov:skip=CKV_AWS_189:encrypted with the AWS-managed key; an own one costs 1 USD a month and guards against nobody else here
  availability_zone = var.common.availability_zone
  size              = var.data_volume_gib
  type              = "gp3"
  encrypted         = true
  final_snapshot    = var.common.final_snapshot
  # The lifecycle policy finds the volumes to snapshot by the tag Backup.
  tags = merge({ Name = "${local.name}-data" }, var.backup ? { Backup = var.common.name } : {})
}

resource "aws_volume_attachment" "data" {
  # The API wants a name. The machine goes by the volume's id (modules/user-data).
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.this.id
  # A store stops in order before its disk goes.
  stop_instance_before_detaching = true
}

# ---- itself ---------------------------------------------------------------------------------------------------------

module "user_data" {
  source = "../user-data"

  role        = var.role
  environment = var.common.environment
  addresses   = var.common.addresses
  repository  = var.common.repository
  volume_id   = aws_ebs_volume.data.id
  region      = var.common.region
  grafana     = var.grafana
}

resource "aws_instance" "this" {
  #checkov:skip=CKV_AWS_126:detailed_monitoring switches it on; it costs 2.10 USD per machine and month
  ami                         = var.common.ami_id
  instance_type               = var.instance_type
  subnet_id                   = var.common.subnet_id
  private_ip                  = var.common.addresses[var.role]
  associate_public_ip_address = var.public
  vpc_security_group_ids      = [var.security_group_id]
  key_name                    = var.common.key_name
  iam_instance_profile        = aws_iam_instance_profile.this.name
  ebs_optimized               = true
  monitoring                  = var.common.detailed_monitoring

  # The text is the machine: another text is another machine. Its data is on the volume.
  user_data                   = module.user_data.text
  user_data_replace_on_change = true

  # Credentials only by session tokens, and no further than the machine itself: containers on it get none.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
    instance_metadata_tags      = "enabled"
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = 8
    encrypted             = true
    delete_on_termination = true
    tags                  = { Name = "${local.name}-root" }
  }

  tags = { Name = local.name, Role = var.role }

  lifecycle {
    # Debian's newest image changes every few weeks; that alone is no reason to replace a machine.
    ignore_changes = [ami]

    precondition {
      condition     = alltrue([for id in var.after : id != ""])
      error_message = "Something that ${local.name} needs at its first boot is missing."
    }
    precondition {
      condition     = module.user_data.bytes <= 16384
      error_message = "The user-data of ${local.name} has ${module.user_data.bytes} bytes, EC2 takes 16384."
    }
  }
}
