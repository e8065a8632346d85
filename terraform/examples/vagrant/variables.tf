variable "environment" {
  description = "The label env of every log line."
  type        = string
  default     = "vagrant"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "environment is ${jsonencode(var.environment)}: write 2 to 16 of a-z, 0-9 and -, the first one a letter."
  }
}

variable "network" {
  description = "Network of the machines; they are .11 to .14 in it. VirtualBox allows 192.168.56.0/21 unless /etc/vbox/networks.conf says more."
  type        = string
  default     = "192.168.56.0/24"

  validation {
    condition     = try(cidrhost(var.network, 14) != "" && cidrsubnet(var.network, 0, 0) == var.network, false)
    error_message = "network is ${jsonencode(var.network)}: write an IPv4 network without host bits and of at least 16 addresses, such as \"192.168.56.0/24\"."
  }
}

variable "package_dir" {
  description = "Signed apt repository that scripts/build-apt-repo makes, for its public key; null: dist/apt of this checkout."
  type        = string
  default     = null

  validation {
    condition     = fileexists("${pathexpand(coalesce(var.package_dir, "${path.module}/../../../dist/apt"))}/cairn.asc")
    error_message = "package_dir is ${jsonencode(coalesce(var.package_dir, "dist/apt"))}, which holds no signed apt repository (cairn.asc): run scripts/build-debs and scripts/build-apt-repo first."
  }
}

variable "repository_url" {
  description = "Where the machines find that repository."
  type        = string
  default     = "file:/vagrant/dist/apt"

  validation {
    condition     = can(regex("^(file:/|https?://)[^\\s]*$", var.repository_url))
    error_message = "repository_url is ${jsonencode(var.repository_url)}: write a file: or https:// URL."
  }
}

variable "grafana_version" {
  description = "Version of stock Grafana, 11 or later."
  type        = string
  default     = "13.2.2"

  validation {
    condition     = can(regex("^(1[1-9]|[2-9]\\d)\\.\\d+\\.\\d+$", var.grafana_version))
    error_message = "grafana_version is ${jsonencode(var.grafana_version)}: write a whole version from 11 on, such as \"13.2.2\"."
  }
}

variable "grafana_apt_url" {
  description = "Grafana's apt repository, or a mirror of it."
  type        = string
  default     = "https://apt.grafana.com"
}

variable "grafana_apt_fingerprint" {
  description = "Fingerprint of the key that signs Grafana's repository."
  type        = string
  default     = "B53AE77BADB630A683046005963FA27710458545"
}
