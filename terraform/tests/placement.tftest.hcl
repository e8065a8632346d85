# Where the machines are, and who has a public address.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "public" {
  assert {
    condition     = { for role, node in output.nodes : role => node.private_ip } == { log_store = "10.0.1.11", app = "10.0.1.12", metrics_store = "10.0.1.13", grafana = "10.0.1.14" }
    error_message = "The addresses are not .11 to .14 of the public subnet: ${jsonencode(output.nodes)}"
  }
  assert {
    condition     = aws_subnet.public.cidr_block == "10.0.1.0/24" && aws_subnet.private.cidr_block == "10.0.2.0/24" && aws_vpc.this.cidr_block == "10.0.0.0/16"
    error_message = "The networks are not 10.0.0.0/16, 10.0.1.0/24 and 10.0.2.0/24."
  }
  assert {
    condition     = alltrue([for role, node in output.nodes : node.public_ip != null])
    error_message = "A machine has no public address: ${jsonencode(output.nodes)}"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_eip.nat) == 0
    error_message = "There is a NAT gateway that nobody needs."
  }
  assert {
    condition     = aws_route.internet.gateway_id == aws_internet_gateway.this.id && aws_route.internet.route_table_id == aws_route_table.public.id
    error_message = "The public subnet has no way to the Internet."
  }
  assert {
    condition = alltrue([
      aws_route_table_association.public.subnet_id == aws_subnet.public.id, aws_route_table_association.public.route_table_id == aws_route_table.public.id,
      aws_route_table_association.private.subnet_id == aws_subnet.private.id, aws_route_table_association.private.route_table_id == aws_route_table.private.id,
    ])
    error_message = "A subnet has the other one's ways out."
  }
  assert {
    condition     = !aws_subnet.public.map_public_ip_on_launch && !aws_subnet.private.map_public_ip_on_launch
    error_message = "A subnet gives public addresses to whatever is put into it."
  }
  assert {
    condition     = aws_vpc_endpoint.s3.vpc_endpoint_type == "Gateway" && aws_vpc_endpoint.s3.service_name == "com.amazonaws.us-east-1.s3" && aws_vpc_endpoint.s3.route_table_ids == toset([aws_route_table.public.id, aws_route_table.private.id]) && aws_route_table.public.id != aws_route_table.private.id
    error_message = "The S3 endpoint is not in both route tables."
  }
  assert {
    condition     = output.urls.log_store == "http://10.0.1.11:3100" && endswith(output.urls.grafana, ":3000") && endswith(output.urls.app, ":5000") && endswith(output.urls.metrics_store, ":9090")
    error_message = "A URL is not as expected: ${jsonencode(output.urls)}"
  }
}

run "entry" {
  variables {
    placement = "entry"
  }

  assert {
    condition     = [for role, node in output.nodes : role if node.public_ip != null] == ["grafana"]
    error_message = "Not exactly Grafana's machine has a public address: ${jsonencode(output.nodes)}"
  }
  assert {
    condition     = output.nodes.grafana.private_ip == "10.0.1.14" && output.urls.app == "http://10.0.1.12:5000"
    error_message = "Addresses or URLs are not as expected: ${jsonencode(output.urls)}"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 0
    error_message = "There is a NAT gateway: entry is there to save it."
  }
}

run "private" {
  variables {
    placement = "private"
  }

  assert {
    condition     = { for role, node in output.nodes : role => node.private_ip } == { log_store = "10.0.2.11", app = "10.0.2.12", metrics_store = "10.0.2.13", grafana = "10.0.2.14" }
    error_message = "The addresses are not .11 to .14 of the private subnet: ${jsonencode(output.nodes)}"
  }
  assert {
    condition     = alltrue([for role, node in output.nodes : node.public_ip == null])
    error_message = "A machine has a public address: ${jsonencode(output.nodes)}"
  }
  assert {
    condition     = length(aws_nat_gateway.this) == 1 && aws_nat_gateway.this[0].subnet_id == aws_subnet.public.id && aws_route.nat[0].route_table_id == aws_route_table.private.id
    error_message = "There is not one NAT gateway, in the public subnet, for the private one."
  }
  assert {
    condition     = output.urls.grafana == "http://10.0.2.14:3000" && output.urls.log_store == "http://10.0.2.11:3100"
    error_message = "A URL is not the private one: ${jsonencode(output.urls)}"
  }
}

run "zone_of_choice" {
  command = plan

  variables {
    availability_zone = "us-east-1c"
  }

  override_data {
    target = data.aws_availability_zones.usable
    values = { names = ["us-east-1c"] }
  }

  assert {
    condition     = one(one(data.aws_availability_zones.usable.filter).values) == "us-east-1c" && aws_subnet.public.availability_zone == "us-east-1c" && aws_subnet.private.availability_zone == "us-east-1c"
    error_message = "availability_zone has no effect."
  }
}

run "zone_that_is_not_there" {
  command = plan

  variables {
    availability_zone = "us-east-1z"
  }

  override_data {
    target = data.aws_availability_zones.usable
    values = { names = [] }
  }

  expect_failures = [data.aws_availability_zones.usable]
}
