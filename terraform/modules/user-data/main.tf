# What a machine is told at its first boot, as text. No provider and no resource: the node module uses it, Vagrant uses
# it, and a test renders it in a moment.

locals {
  # Differences between the machines; everything else is the same for all four.
  roles = {
    log_store = {
      packages      = ["cairn-log-store"]
      units         = ["cairn-log-store"]
      directory     = "/var/lib/cairn-log-store"
      mount_options = "noatime,nodev,nosuid,noexec"
      files         = { "/etc/cairn/log-store.toml" = local.log_store_toml }
    }
    app = {
      packages = ["cairn-app"]
      units    = ["cairn-app"]
      # The app keeps nothing; its machine's volume is for what the shipper has not delivered yet.
      directory     = "/var/lib/cairn-log-shipper"
      mount_options = "noatime,nodev,nosuid,noexec"
      files         = { "/etc/cairn/app.toml" = local.app_toml }
    }
    metrics_store = {
      packages      = ["cairn-metrics-store"]
      units         = ["cairn-metrics-store"]
      directory     = "/var/lib/cairn-metrics-store"
      mount_options = "noatime,nodev,nosuid,noexec"
      files         = { "/etc/cairn/metrics-store.toml" = local.metrics_store_toml }
    }
    grafana = {
      packages  = ["grafana=${local.grafana.version}", "cairn-grafana"]
      units     = ["grafana-server"]
      directory = "/var/lib/grafana"
      # Not noexec: Grafana keeps its plugins here, and some of them are programs.
      mount_options = "noatime,nodev,nosuid"
      files = {
        "/etc/cairn/grafana.env"          = local.grafana_env
        "/etc/tmpfiles.d/cairn-boot.conf" = file("${path.module}/grafana-log.tmpfiles")
        # Without its disk Grafana must not begin a second life on the machine's own. Cairn's units say so themselves.
        "/etc/systemd/system/grafana-server.service.d/60-cairn-volume.conf" = "[Unit]\nRequiresMountsFor=/var/lib/grafana\n"
      }
    }
  }
  role = local.roles[var.role]
  host = replace(var.role, "_", "-")

  # The other machines have nothing of it, even where it is given for all four.
  grafana = var.role != "grafana" || var.grafana == null ? { version = "", apt_url = "", fingerprint = "", secret_arn = "" } : {
    version     = var.grafana.version
    apt_url     = trimsuffix(var.grafana.apt_url, "/")
    fingerprint = upper(var.grafana.fingerprint)
    secret_arn  = var.grafana.secret_arn
  }

  # The shipper runs everywhere: it brings each machine's own logs and metrics.
  packages = concat(local.role.packages, ["cairn-log-shipper"])
  units    = concat(local.role.units, ["cairn-log-shipper"])

  boot_with_comments = templatefile("${path.module}/boot.sh.tftpl", {
    host                = local.host
    volume              = replace(var.volume_id, "-", "")
    directory           = local.role.directory
    mount_options       = local.role.mount_options
    packages            = join(" ", local.packages)
    units               = join(" ", local.units)
    grafana_apt_url     = local.grafana.apt_url
    grafana_fingerprint = local.grafana.fingerprint
  })

  # EC2 takes 16 KiB in all, so the machine's copy goes without the comments but for the ones on top.
  boot_parts = regex("(?s)^(.*?\n)(set .*)$", local.boot_with_comments)
  boot       = "${local.boot_parts[0]}# The comments are in terraform/modules/user-data/boot.sh.tftpl of Cairn's sources.\n${replace(local.boot_parts[1], "/(?m)^ *#.*\n/", "")}"

  plain_files = merge(local.role.files, {
    "/etc/cairn/log-shipper.toml"                  = local.log_shipper_toml
    "/etc/apt/keyrings/cairn.asc"                  = var.repository.key
    "/etc/apt/sources.list.d/cairn.list"           = "deb [signed-by=/etc/apt/keyrings/cairn.asc] ${var.repository.url} stable main\n"
    "/etc/apt/apt.conf.d/52cairn-security-updates" = file("${path.module}/security-updates.conf")
    "/etc/apt/apt.conf.d/52cairn-conffiles"        = file("${path.module}/conffiles.conf")
    "/etc/systemd/system/cairn-boot.service"       = file("${path.module}/cairn-boot.service")
  })
  files = merge(
    { for path, content in local.plain_files : path => { content = content, permissions = "0644" } },
    { "/usr/local/sbin/cairn-boot" = { content = local.boot, permissions = "0755" } },
  )

  text = join("\n", ["#cloud-config", yamlencode({
    fqdn             = "${local.host}.cairn.internal"
    manage_etc_hosts = "localhost"
    ssh_pwauth       = false
    write_files      = [for path, file in local.files : { path = path, content = file.content, permissions = file.permissions }]
    # A unit does the work, not cloud-init, which never runs a command again after a reboot in the middle of it. It is
    # enabled before it is started, for that case. The last command's status is what `cloud-init status` reports.
    runcmd = [
      ["systemctl", "daemon-reload"],
      ["systemctl", "enable", "cairn-boot.service"],
      ["systemctl", "start", "cairn-boot.service"],
    ]
    final_message = "cairn: cloud-init finished after $UPTIME s"
  })])
}
