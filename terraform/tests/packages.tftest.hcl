# The bucket, what is in it and who may read it; the secret; the outputs.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "bucket_and_secret" {
  assert {
    condition     = toset([for object in values(aws_s3_object.package) : object.key]) == toset([for file in fileset("./tests/fixtures/apt", "**") : "apt/${file}"]) && length(aws_s3_object.package) == 8
    error_message = "The bucket does not hold exactly the files of package_dir."
  }
  assert {
    condition     = aws_s3_object.package["pool/cairn-app_0.1.0-1_amd64.deb"].source_hash == filemd5("./tests/fixtures/apt/pool/cairn-app_0.1.0-1_amd64.deb")
    error_message = "An object does not change with its file."
  }
  assert {
    condition     = aws_s3_bucket.packages.bucket == "cairn-demo-packages-123456789012" && aws_s3_bucket.packages.force_destroy
    error_message = "The bucket's name or force_destroy is not as documented."
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.packages.block_public_acls, aws_s3_bucket_public_access_block.packages.block_public_policy,
      aws_s3_bucket_public_access_block.packages.ignore_public_acls, aws_s3_bucket_public_access_block.packages.restrict_public_buckets,
    ])
    error_message = "Public access to the bucket is not blocked in all four ways."
  }
  assert {
    condition = jsondecode(aws_s3_bucket_policy.packages.policy).Statement == [
      {
        Sid       = "AptFromTheVpc", Effect = "Allow", Principal = "*", Action = "s3:GetObject"
        Resource  = "arn:aws:s3:::cairn-demo-packages-123456789012/apt/*"
        Condition = { StringEquals = { "aws:SourceVpce" = aws_vpc_endpoint.s3.id } }
      },
      {
        Sid       = "TlsOnly", Effect = "Deny", Principal = "*", Action = "s3:*"
        Resource  = ["arn:aws:s3:::cairn-demo-packages-123456789012", "arn:aws:s3:::cairn-demo-packages-123456789012/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
    error_message = "The bucket's policy is another one: ${aws_s3_bucket_policy.packages.policy}"
  }
  assert {
    condition     = output.bucket == aws_s3_bucket.packages.id
    error_message = "The output bucket names another bucket."
  }
  assert {
    condition     = strcontains(output.grafana_password_command, aws_secretsmanager_secret.grafana_admin.arn) && startswith(output.grafana_password_command, "aws secretsmanager get-secret-value --region us-east-1 ")
    error_message = "grafana_password_command does not ask for Grafana's secret: ${output.grafana_password_command}"
  }
  assert {
    condition     = strcontains(output.next_steps, output.grafana_password_command) && strcontains(output.next_steps, output.urls.grafana)
    error_message = "next_steps names neither Grafana nor the way to its password."
  }
  # The same line in all three places that tell it; the dry run upgrades by it.
  assert {
    condition = alltrue([
      strcontains(output.next_steps, "sudo apt-get update && sudo apt-get install --only-upgrade '?installed?origin(cairn)'\n"),
      strcontains(file("./README.md"), "`sudo apt-get update && sudo apt-get install --only-upgrade '?installed?origin(cairn)'`"),
      strcontains(replace(file("./examples/vagrant/README.md"), "\n", " "), "`sudo apt-get update && sudo apt-get install --only-upgrade '?installed?origin(cairn)'`"),
    ])
    error_message = "next_steps and the two READMEs do not tell the same way to upgrade."
  }
  assert {
    condition     = aws_secretsmanager_secret.grafana_admin.recovery_window_in_days == 7
    error_message = "The secret cannot be brought back after destroy."
  }
}
