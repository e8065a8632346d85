variable "role" {
  description = "What the machine is: log_store, app, metrics_store or grafana."
  type        = string
}

variable "common" {
  description = "What all machines have in common."
  type = object({
    name                = string # cairn-<environment>
    environment         = string
    region              = string
    ami_id              = string
    subnet_id           = string
    availability_zone   = string
    key_name            = string
    final_snapshot      = bool
    detailed_monitoring = bool
    addresses = object({
      log_store     = string
      app           = string
      metrics_store = string
      grafana       = string
    })
    repository = object({
      url = string
      key = string
    })
  })
}

variable "instance_type" {
  description = "EC2 instance type."
  type        = string
}

variable "public" {
  description = "Whether the machine has a public address."
  type        = bool
}

variable "security_group_id" {
  description = "The one security group of the machine."
  type        = string
}

variable "data_volume_gib" {
  description = "Size of the data volume in GiB."
  type        = number
}

variable "backup" {
  description = "Whether the daily snapshots take the data volume."
  type        = bool
}

variable "grafana" {
  description = "Where Grafana comes from and its secret; for the role grafana only."
  type = object({
    version     = string
    apt_url     = string
    fingerprint = string
    secret_arn  = string
  })
  default = null
}

variable "policy" {
  description = "What the machine may do in AWS besides Session Manager, as a JSON policy; null: nothing."
  type        = string
  default     = null
}

variable "after" {
  description = "Ids of what must exist before this machine boots."
  type        = list(string)
}
