variable "role" {
  description = "What the machine is: log_store, app, metrics_store or grafana."
  type        = string

  validation {
    condition     = contains(["log_store", "app", "metrics_store", "grafana"], var.role)
    error_message = "role is ${jsonencode(var.role)}: write log_store, app, metrics_store or grafana."
  }
}

variable "environment" {
  description = "The label env of every log line."
  type        = string
}

variable "addresses" {
  description = "Private address of each machine."
  type = object({
    log_store     = string
    app           = string
    metrics_store = string
    grafana       = string
  })
}

variable "repository" {
  description = "Cairn's apt repository: its URL (https:, or file: for a folder of the machine) and the armoured public key that signs it."
  type = object({
    url = string
    key = string
  })

  validation {
    condition     = can(regex("^(https?://|file:/)[A-Za-z0-9.:_~/-]*$", var.repository.url))
    error_message = "repository.url is ${jsonencode(var.repository.url)}: write an https: or file: URL of letters, digits and . : _ ~ / -."
  }
}

variable "volume_id" {
  description = "EBS volume for the data; empty: the data stays on the machine's own disk."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9-]*$", var.volume_id))
    error_message = "volume_id is ${jsonencode(var.volume_id)}: write the id of a volume, such as \"vol-0123456789abcdef0\", or leave it empty."
  }
}

variable "region" {
  description = "AWS region, for the role grafana with a secret; empty outside of AWS."
  type        = string
  default     = ""
}

variable "grafana" {
  description = "Needed for the role grafana: its version, apt repository and that one's key; the ARN of the secret for the admin password, empty where Grafana's own default login is to stay."
  type = object({
    version     = string
    apt_url     = string
    fingerprint = string
    secret_arn  = optional(string, "")
  })
  default = null

  validation {
    condition     = var.role != "grafana" || var.grafana != null
    error_message = "grafana is needed for the role grafana: version, apt_url, fingerprint."
  }
  # The three are put into a script that root runs.
  validation {
    condition     = var.grafana == null ? true : can(regex("^[0-9]+(\\.[0-9]+)+$", var.grafana.version))
    error_message = "grafana.version is ${jsonencode(try(var.grafana.version, null))}: write a version such as \"13.2.2\"."
  }
  validation {
    condition     = var.grafana == null ? true : can(regex("^https://[A-Za-z0-9.-]+(:\\d+)?(/[A-Za-z0-9._~/-]*)?$", var.grafana.apt_url))
    error_message = "grafana.apt_url is ${jsonencode(try(var.grafana.apt_url, null))}: write an https:// URL such as \"https://apt.grafana.com\"."
  }
  validation {
    condition     = var.grafana == null ? true : can(regex("^[0-9A-Fa-f]{40}$", var.grafana.fingerprint))
    error_message = "grafana.fingerprint is ${jsonencode(try(var.grafana.fingerprint, null))}: write the 40 hexadecimal digits of the key's fingerprint, without spaces."
  }
}
