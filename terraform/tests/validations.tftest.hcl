# Every validation once: what is refused. A run takes a second or two, so one run says several wrong things where they
# are of different variables; each of them has to be refused, and nothing else.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  allowed_web_cidr = "203.0.113.10/32"
  package_dir      = "./tests/fixtures/apt"
}

run "open_to_the_world" {
  command = plan

  variables {
    allowed_web_cidr = "0.0.0.0/0"
    allowed_ssh_cidr = "0.0.0.0/0"
  }

  expect_failures = [var.allowed_web_cidr, var.allowed_ssh_cidr]
}

run "networks_with_host_bits" {
  command = plan

  variables {
    vpc_cidr         = "10.0.1.0/16"
    allowed_web_cidr = "10.1.2.3/8"
    allowed_ssh_cidr = "203.0.113.10/24"
  }

  expect_failures = [var.vpc_cidr, var.allowed_web_cidr, var.allowed_ssh_cidr]
}

run "networks_of_the_wrong_size" {
  command = plan

  variables {
    vpc_cidr         = "10.0.0.0/21" # smaller than the subnets need
    allowed_web_cidr = "192.0.0.0/7"
    allowed_ssh_cidr = "192.0.0.0/7"
  }

  expect_failures = [var.vpc_cidr, var.allowed_web_cidr, var.allowed_ssh_cidr]
}

run "no_networks" {
  command = plan

  variables {
    vpc_cidr         = "fd00::/16"
    allowed_web_cidr = "everybody"
    allowed_ssh_cidr = "203.0.113.10"
  }

  expect_failures = [var.vpc_cidr, var.allowed_web_cidr, var.allowed_ssh_cidr]
}

run "network_larger_than_a_vpc" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0/15"
  }

  expect_failures = [var.vpc_cidr]
}

run "key_without_ssh" {
  command = plan

  variables {
    key_name = "mine"
  }

  expect_failures = [var.key_name]
}

run "names" {
  command = plan

  variables {
    region      = "us-east"
    environment = "Demo"
    placement   = "hybrid"
    ami_id      = "ami-debian"
    alarm_email = "ops"
  }

  expect_failures = [var.region, var.environment, var.placement, var.ami_id, var.alarm_email]
}

run "name_too_long_and_zone_of_another_region" {
  command = plan

  variables {
    environment       = "a-name-of-17-char"
    availability_zone = "eu-west-1a"
  }

  expect_failures = [var.environment, var.availability_zone]
}

run "machines_that_are_none" {
  command = plan

  variables {
    instance_types  = { app = "t3" }
    data_volume_gib = { app = 0 }
  }

  expect_failures = [var.instance_types, var.data_volume_gib]
}

run "machines_before_nitro" {
  command = plan

  variables {
    instance_types  = { log_store = "t2.micro" }
    data_volume_gib = { log_store = 1.5 }
  }

  expect_failures = [var.instance_types, var.data_volume_gib]
}

run "machines_before_nitro_for_storage" {
  command = plan

  variables {
    instance_types = { metrics_store = "i3.large" }
  }

  expect_failures = [var.instance_types]
}

run "machines_before_nitro_for_memory" {
  command = plan

  variables {
    instance_types = { metrics_store = "x1e.xlarge" }
  }

  expect_failures = [var.instance_types]
}

run "machines_before_nitro_for_accelerated" {
  command = plan

  variables {
    instance_types = { metrics_store = "p3.2xlarge" }
  }

  expect_failures = [var.instance_types]
}

run "graviton_with_amd64" {
  command = plan

  variables {
    instance_types  = { grafana = "t4g.micro" }
    data_volume_gib = { grafana = 16385 }
  }

  expect_failures = [var.instance_types, var.data_volume_gib]
}

run "amd64_with_arm64" {
  command = plan

  variables {
    architecture   = "arm64"                 # there are no such packages either
    instance_types = { app = "g4dn.xlarge" } # a g before the number is no Graviton
  }

  expect_failures = [var.package_dir, var.instance_types]
}

run "processor_unknown" {
  command = plan

  variables {
    architecture = "riscv64"
  }

  expect_failures = [var.architecture]
}

run "packages_not_built" {
  command = plan

  variables {
    package_dir = "./tests/fixtures/unbuilt"
  }

  expect_failures = [var.package_dir]
}

run "package_with_a_plus" {
  command = plan

  variables {
    package_dir = "./tests/fixtures/odd-name"
  }

  expect_failures = [var.package_dir]
}

run "grafana" {
  command = plan

  variables {
    grafana_version         = "10.4.2" # too old
    grafana_apt_url         = "http://apt.grafana.com"
    grafana_apt_fingerprint = "10458545"
  }

  expect_failures = [var.grafana_version, var.grafana_apt_url, var.grafana_apt_fingerprint]
}

run "grafana_misspelt" {
  command = plan

  variables {
    grafana_version         = "12.1"
    grafana_apt_url         = "https://apt.grafana.com beta"
    grafana_apt_fingerprint = "B53A E77B ADB6 30A6 8304 6005 963F A277 1045 8545"
  }

  expect_failures = [var.grafana_version, var.grafana_apt_url, var.grafana_apt_fingerprint]
}
