# ---- where and what for ---------------------------------------------------------------------------------------------

variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-east-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-\\d$", var.region))
    error_message = "region is ${jsonencode(var.region)}: write an AWS region such as \"eu-central-1\"."
  }
}

variable "environment" {
  description = "Name of this installation: part of every name and tag, and the label env of every log line."
  type        = string
  default     = "demo"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "environment is ${jsonencode(var.environment)}: write 2 to 16 of a-z, 0-9 and -, the first one a letter."
  }
}

# ---- who may reach it -----------------------------------------------------------------------------------------------

variable "vpc_cidr" {
  description = "Addresses of the VPC, from /16 to /20; the subnets are 8 bits longer."
  type        = string
  default     = "10.0.0.0/16"

  # cidrnetmask alone takes 10.1.2.3/16; AWS would silently make another network of it.
  validation {
    condition = try(
      cidrnetmask(var.vpc_cidr) != "" && cidrsubnet(var.vpc_cidr, 0, 0) == var.vpc_cidr &&
      tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 20,
      false,
    )
    error_message = "vpc_cidr is ${jsonencode(var.vpc_cidr)}: write an IPv4 network without host bits, from /16 (AWS's largest) to /20 (the subnets are 8 bits longer, AWS's smallest is /28), such as \"10.0.0.0/16\"."
  }
}

variable "allowed_web_cidr" {
  description = "Addresses that may use the app, the metrics store's and Grafana's pages. Yours: curl -s https://checkip.amazonaws.com, with /32 behind it."
  type        = string

  validation {
    condition = try(
      cidrnetmask(var.allowed_web_cidr) != "" && cidrsubnet(var.allowed_web_cidr, 0, 0) == var.allowed_web_cidr &&
      tonumber(split("/", var.allowed_web_cidr)[1]) >= 8,
      false,
    )
    error_message = "allowed_web_cidr is ${jsonencode(var.allowed_web_cidr)}: write an IPv4 network without host bits and not wider than /8, such as \"203.0.113.10/32\" for one address."
  }
}

variable "allowed_ssh_cidr" {
  description = "Addresses that may use ssh on every machine; null leaves port 22 closed."
  type        = string
  default     = null

  validation {
    condition = var.allowed_ssh_cidr == null ? true : try(
      cidrnetmask(var.allowed_ssh_cidr) != "" && cidrsubnet(var.allowed_ssh_cidr, 0, 0) == var.allowed_ssh_cidr &&
      tonumber(split("/", var.allowed_ssh_cidr)[1]) >= 8,
      false,
    )
    error_message = "allowed_ssh_cidr is ${jsonencode(var.allowed_ssh_cidr)}: write an IPv4 network without host bits and not wider than /8, such as \"203.0.113.10/32\" for one address, or leave it out to keep port 22 closed."
  }
}

variable "key_name" {
  description = "Name of an EC2 key pair for ssh; needs allowed_ssh_cidr."
  type        = string
  default     = null

  validation {
    condition     = var.key_name == null ? true : var.allowed_ssh_cidr != null
    error_message = "key_name is given, but port 22 is closed: set allowed_ssh_cidr as well (such as \"203.0.113.10/32\"), or leave key_name out."
  }
}

variable "placement" {
  description = "public: each machine has a public address. entry: only Grafana's has one. private: none has one, all leave through a NAT gateway."
  type        = string
  default     = "public"

  validation {
    condition     = contains(["public", "entry", "private"], var.placement)
    error_message = "placement is ${jsonencode(var.placement)}: write \"public\", \"entry\" or \"private\"."
  }
}

variable "availability_zone" {
  description = "Zone of the subnets; null takes the region's first. Changing it makes every machine and data volume anew."
  type        = string
  default     = null

  validation {
    condition     = var.availability_zone == null ? true : can(regex("^${var.region}[a-z]$", var.availability_zone))
    error_message = "availability_zone is ${jsonencode(var.availability_zone)}: write a zone of ${var.region}, such as \"${var.region}a\"."
  }
}

# ---- machines -------------------------------------------------------------------------------------------------------

variable "architecture" {
  description = "Processor of all machines; package_dir must hold packages for it."
  type        = string
  default     = "amd64"

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "architecture is ${jsonencode(var.architecture)}: write \"amd64\" or \"arm64\"."
  }
}

variable "ami_id" {
  description = "Image of the machines: Debian 12. null takes Debian's newest. A change replaces no machine that exists."
  type        = string
  default     = null

  validation {
    condition     = var.ami_id == null ? true : can(regex("^ami-[0-9a-f]{8,17}$", var.ami_id))
    error_message = "ami_id is ${jsonencode(var.ami_id)}: write an image such as \"ami-0123456789abcdef0\", or leave it out for Debian's newest."
  }
}

variable "instance_types" {
  description = "Instance type of each machine. Left out: t3.micro (t4g.micro with architecture = \"arm64\"). 1 GiB of memory does for each."
  type = object({
    log_store     = optional(string)
    app           = optional(string)
    metrics_store = optional(string)
    grafana       = optional(string)
  })
  default = {}

  validation {
    condition = alltrue([for type in values(var.instance_types) : type == null ? true :
    can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", type))])
    error_message = "instance_types holds something that is no instance type: write such as { log_store = \"t3.small\" }."
  }
  # The data volume is found by a name that only Nitro machines give it.
  validation {
    condition = alltrue([for type in values(var.instance_types) : type == null ? true :
    !can(regex("^(t[12]|m[1-4]|c[134]|cc[12]|cr1|r[34]|x1e?|[ip][23]|d2|h1|hs1|hi1|cg1|g2|g3s?|f1)\\.", type))])
    error_message = "instance_types holds a family that is not built on Nitro (t1, t2, m1 to m4, c1, c3, c4, r3, r4, x1, x1e, i2, i3, p2, p3, d2, h1, g2, g3, g3s, f1 and older), where data volumes have no stable names: take t3, t4g, m5 or newer."
  }
  # m6g, t4g, c7gn, x2gd, g5g are Graviton; g4dn and g5 are not: the letter g has to come after the number.
  validation {
    condition = alltrue([for type in values(var.instance_types) : type == null ? true :
    can(regex("^(a1|[a-z]+[0-9]+g[a-z]*)\\.", type)) == (var.architecture == "arm64")])
    error_message = "instance_types and architecture = ${jsonencode(var.architecture)} do not fit: families with a g behind the number (t4g, m7g) and a1 are arm64, all others amd64. Change one of the two."
  }
}

variable "data_volume_gib" {
  description = "Size of each machine's data volume in GiB. It can grow later (then: sudo cairn-boot on that machine), never shrink."
  type = object({
    log_store     = optional(number, 30)
    app           = optional(number, 8)
    metrics_store = optional(number, 30)
    grafana       = optional(number, 8)
  })
  default = {}

  validation {
    condition     = alltrue([for size in values(var.data_volume_gib) : size >= 1 && size <= 16384 && floor(size) == size])
    error_message = "data_volume_gib holds ${join(", ", values(var.data_volume_gib))}: each is a whole number from 1 to 16384."
  }
}

# ---- software -------------------------------------------------------------------------------------------------------

variable "package_dir" {
  description = "Signed apt repository that scripts/build-apt-repo makes."
  type        = string
  default     = "../dist/apt"

  validation {
    condition     = fileexists("${pathexpand(var.package_dir)}/dists/stable/InRelease") && fileexists("${pathexpand(var.package_dir)}/cairn.asc")
    error_message = "package_dir is ${jsonencode(var.package_dir)}, which holds no signed apt repository (dists/stable/InRelease and cairn.asc): run scripts/build-debs and scripts/build-apt-repo first, or name the folder that they filled."
  }
  validation {
    condition     = length(fileset(pathexpand(var.package_dir), "dists/stable/InRelease")) == 0 || length(fileset(pathexpand(var.package_dir), "pool/**/*_${var.architecture}.deb")) > 0
    error_message = "package_dir is ${jsonencode(var.package_dir)}, which holds no package for architecture = ${jsonencode(var.architecture)}, only for ${join(", ", distinct([for file in fileset(pathexpand(var.package_dir), "pool/**/*.deb") : trimsuffix(reverse(split("_", file))[0], ".deb")]))}. Build them on such a machine with scripts/build-debs and scripts/build-apt-repo, or change architecture."
  }
  # S3 reads a + in a URL as a space, and apt asks for the name as it is.
  validation {
    condition     = length(fileset(pathexpand(var.package_dir), "dists/stable/InRelease")) == 0 || alltrue([for file in fileset(pathexpand(var.package_dir), "**") : can(regex("^[A-Za-z0-9._~/-]+$", file))])
    error_message = "package_dir is ${jsonencode(var.package_dir)}, where a file's name has characters that S3 and apt read differently (only letters, digits and . _ ~ - are safe): give the package another version."
  }
}

variable "grafana_version" {
  description = "Version of stock Grafana, 11 or later, from Grafana's own apt repository."
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

  validation {
    condition     = can(regex("^https://[A-Za-z0-9.-]+(:\\d+)?(/[A-Za-z0-9._~/-]*)?$", var.grafana_apt_url))
    error_message = "grafana_apt_url is ${jsonencode(var.grafana_apt_url)}: write an https:// URL."
  }
}

variable "grafana_apt_fingerprint" {
  description = "Fingerprint of the key that signs Grafana's repository; a machine takes no other key."
  type        = string
  default     = "B53AE77BADB630A683046005963FA27710458545"

  validation {
    condition     = can(regex("^[0-9A-Fa-f]{40}$", var.grafana_apt_fingerprint))
    error_message = "grafana_apt_fingerprint is ${jsonencode(var.grafana_apt_fingerprint)}: write the 40 hexadecimal digits of the key's fingerprint, without spaces."
  }
}

# ---- what it costs and what it keeps --------------------------------------------------------------------------------

variable "final_snapshot" {
  description = "Whether `terraform destroy` leaves something to come back to: a snapshot of each data volume, and Grafana's password for 7 days."
  type        = bool
  default     = true
}

variable "backups" {
  description = "Whether the data volumes of log store, metrics store and Grafana are snapshotted daily; 7 are kept."
  type        = bool
  default     = true
}

variable "flow_logs" {
  description = "Whether the VPC's traffic is recorded in CloudWatch Logs."
  type        = bool
  default     = false
}

variable "detailed_monitoring" {
  description = "Whether EC2's own metrics come every minute instead of every five."
  type        = bool
  default     = false
}

variable "alarm_email" {
  description = "Address that is told when a machine fails EC2's status checks; null: nobody. AWS sends a message to confirm it."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null ? true : can(regex("^[^@\\s]+@[^@\\s]+$", var.alarm_email))
    error_message = "alarm_email is ${jsonencode(var.alarm_email)}: write one address, such as \"ops@example.com\"."
  }
}
