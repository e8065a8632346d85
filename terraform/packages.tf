# The apt repository that the machines install from: the files of package_dir in a bucket that only this VPC can read.

locals {
  package_dir   = pathexpand(var.package_dir)
  package_files = fileset(local.package_dir, "**")
}

resource "aws_s3_bucket" "packages" {
  #checkov:skip=CKV_AWS_18:an access log of packages that are no secret would cost more than it tells
  #checkov:skip=CKV_AWS_144:the content can be built again, in any region
  #checkov:skip=CKV_AWS_145:packages are no secret; AES256 is on
  #checkov:skip=CKV2_AWS_62:nothing waits for a new package
  bucket = "${local.name}-packages-${data.aws_caller_identity.current.account_id}"
  # The content can be built again at any time.
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "packages" {
  bucket                  = aws_s3_bucket.packages.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "packages" {
  bucket = aws_s3_bucket.packages.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "packages" {
  bucket = aws_s3_bucket.packages.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "packages" {
  bucket = aws_s3_bucket.packages.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "packages" {
  bucket     = aws_s3_bucket.packages.id
  depends_on = [aws_s3_bucket_versioning.packages]

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

# apt cannot sign S3 requests, and packages are no secret: reading is open to whatever comes through this VPC's own
# endpoint, and to nothing else. A policy bound to an endpoint does not count as public.
resource "aws_s3_bucket_policy" "packages" {
  #checkov:skip=CKV_AWS_70:everybody means everybody who comes through this VPC's endpoint, by the condition
  bucket     = aws_s3_bucket.packages.id
  depends_on = [aws_s3_bucket_public_access_block.packages]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AptFromTheVpc"
        Effect    = "Allow"
        Principal = "*"
        Action    = "s3:GetObject"
        Resource  = "${aws_s3_bucket.packages.arn}/apt/*"
        Condition = { StringEquals = { "aws:SourceVpce" = aws_vpc_endpoint.s3.id } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.packages.arn, "${aws_s3_bucket.packages.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_s3_object" "package" {
  for_each = local.package_files

  bucket = aws_s3_bucket.packages.id
  key    = "apt/${each.value}"
  source = "${local.package_dir}/${each.value}"
  # Not etag: that is no MD5 for large or KMS-encrypted objects, and every plan would differ.
  source_hash = filemd5("${local.package_dir}/${each.value}")
  depends_on  = [aws_s3_bucket_versioning.packages, aws_s3_bucket_server_side_encryption_configuration.packages]
}
