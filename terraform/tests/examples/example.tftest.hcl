# One of examples/*/terraform.tfvars, given on the command line (scripts/test-terraform does):
#   terraform test -test-directory=tests/examples -var-file=examples/private/terraform.tfvars

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "example" {
  command = plan

  assert {
    condition     = length([for role, public in local.has_public_address : role if public]) == { public = 4, entry = 1, private = 0 }[var.placement]
    error_message = "The example makes other machines than its placement says."
  }
  # Only what is meant for production leaves something when it is destroyed.
  assert {
    condition     = aws_secretsmanager_secret.grafana_admin.recovery_window_in_days == (var.environment == "prod" ? 7 : 0)
    error_message = "The example keeps its secret for ${aws_secretsmanager_secret.grafana_admin.recovery_window_in_days} days after destroy."
  }
}
