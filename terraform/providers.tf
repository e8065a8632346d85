# No endpoint, no credentials: both come from the usual variables and files (AWS_PROFILE, AWS_ENDPOINT_URL, ...).
provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}
