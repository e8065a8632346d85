output "id" {
  description = "Id of the instance."
  value       = aws_instance.this.id
}

output "private_ip" {
  description = "Private address; fixed."
  value       = aws_instance.this.private_ip
}

output "public_ip" {
  description = "Public address, empty where there is none. It changes when the machine is stopped and started."
  value       = aws_instance.this.public_ip
}

output "volume_id" {
  description = "Id of the data volume."
  value       = aws_ebs_volume.data.id
}

output "made" {
  description = "What was made, for the root module's tests: a test cannot look into a module."
  value = {
    instance   = aws_instance.this
    volume     = aws_ebs_volume.data
    attachment = aws_volume_attachment.data
    user_data  = module.user_data.text
    role       = aws_iam_role.this
    profile    = aws_iam_instance_profile.this
    policies = {
      session_manager = aws_iam_role_policy.session_manager.policy
      own             = one(aws_iam_role_policy.own[*].policy)
      roles           = toset(concat([aws_iam_role_policy.session_manager.role], aws_iam_role_policy.own[*].role))
    }
  }
}
