# Ordinary zones by their names: local zones and other kinds have longer ones.
data "aws_availability_zones" "usable" {
  state = "available"

  filter {
    name   = "zone-name"
    values = var.availability_zone != null ? [var.availability_zone] : [for letter in ["a", "b", "c", "d", "e", "f"] : "${var.region}${letter}"]
  }

  lifecycle {
    postcondition {
      condition     = length(self.names) > 0
      error_message = "This account has no zone ${coalesce(var.availability_zone, "a to f")} in ${var.region}: choose another one with availability_zone (aws ec2 describe-availability-zones --region ${var.region} lists them)."
    }
  }
}

locals {
  zone = data.aws_availability_zones.usable.names[0]
}

resource "aws_vpc" "this" {
  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = local.name }
}

# A machine asks for its public address itself, so that nothing gets one by being put here.
resource "aws_subnet" "public" {
  vpc_id                  = aws_vpc.this.id
  cidr_block              = cidrsubnet(var.vpc_cidr, 8, 1)
  availability_zone       = local.zone
  map_public_ip_on_launch = false
  tags                    = { Name = "${local.name}-public" }
}

resource "aws_subnet" "private" {
  vpc_id                  = aws_vpc.this.id
  cidr_block              = cidrsubnet(var.vpc_cidr, 8, 2)
  availability_zone       = local.zone
  map_public_ip_on_launch = false
  tags                    = { Name = "${local.name}-private" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = local.name }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${local.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  subnet_id      = aws_subnet.public.id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${local.name}-private" }
}

resource "aws_route_table_association" "private" {
  subnet_id      = aws_subnet.private.id
  route_table_id = aws_route_table.private.id
}

# Packages come through it: free of charge, also for machines without any way to the Internet. The bucket's policy
# knows the machines by it.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.public.id, aws_route_table.private.id]
  tags              = { Name = "${local.name}-s3" }
}

# ---- the way out of the private subnet ------------------------------------------------------------------------------

resource "aws_eip" "nat" {
  count = var.placement == "private" ? 1 : 0

  domain = "vpc"
  tags   = { Name = "${local.name}-nat" }
}

resource "aws_nat_gateway" "this" {
  count = var.placement == "private" ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public.id
  tags          = { Name = local.name }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  count = var.placement == "private" ? 1 : 0

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[0].id
}
