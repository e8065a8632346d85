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
}

variable "volume_id" {
  description = "EBS volume for the data; empty: the data stays on the machine's own disk."
  type        = string
  default     = ""
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
}
