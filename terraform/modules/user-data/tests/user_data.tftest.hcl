# What each machine is told. No provider: terraform -chdir=terraform/modules/user-data test

variables {
  environment = "demo"
  addresses = {
    log_store     = "10.0.1.11"
    app           = "10.0.1.12"
    metrics_store = "10.0.1.13"
    grafana       = "10.0.1.14"
  }
  repository = {
    url = "https://bucket.example.com/apt"
    key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
  }
  volume_id = "vol-0123456789abcdef0"
  region    = "us-east-1"
  grafana = {
    version     = "13.2.2"
    apt_url     = "https://apt.grafana.com/"
    fingerprint = "b53ae77badb630a683046005963fa27710458545"
    secret_arn  = "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo-AbCdEf"
  }
}

run "log_store" {
  variables {
    role = "log_store"
  }

  assert {
    condition     = startswith(output.text, "#cloud-config\n") && yamldecode(output.text).fqdn == "log-store.cairn.internal"
    error_message = "The text is no #cloud-config, or the machine has another name."
  }
  assert {
    condition     = { for file in yamldecode(output.text).write_files : file.path => file.content } == output.files
    error_message = "The text brings other files than the output says."
  }
  assert {
    condition     = yamldecode(output.text).runcmd == [["systemctl", "daemon-reload"], ["systemctl", "enable", "cairn-boot.service"], ["systemctl", "start", "cairn-boot.service"]]
    error_message = "The unit is not enabled before it is started, or the start is not last."
  }
  assert {
    condition     = [for file in yamldecode(output.text).write_files : file.path if file.permissions != "0644"] == ["/usr/local/sbin/cairn-boot"]
    error_message = "Not exactly the script is executable."
  }
  assert {
    condition     = toset([for path in keys(output.files) : path if startswith(path, "/etc/cairn/")]) == toset(["/etc/cairn/log-store.toml", "/etc/cairn/log-shipper.toml"])
    error_message = "The machine has other configuration files: ${join(" ", keys(output.files))}"
  }
  assert {
    condition     = strcontains(output.files["/etc/cairn/log-store.toml"], "http_listen_address = \"0.0.0.0\"")
    error_message = "The log store is not open to its peers."
  }
  assert {
    condition     = strcontains(output.files["/etc/cairn/log-shipper.toml"], "url = \"http://127.0.0.1:3100/loki/api/v1/push\"")
    error_message = "The log store's own shipper does not push over loopback."
  }
  assert {
    condition     = output.files["/etc/apt/sources.list.d/cairn.list"] == "deb [signed-by=/etc/apt/keyrings/cairn.asc] https://bucket.example.com/apt stable main\n" && output.files["/etc/apt/keyrings/cairn.asc"] == "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
    error_message = "The machine does not install from the repository, or does not check its key."
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "volume='vol0123456789abcdef0'") && strcontains(output.files["/usr/local/sbin/cairn-boot"], "packages=(cairn-log-store cairn-log-shipper)\n") && strcontains(output.files["/usr/local/sbin/cairn-boot"], "directory='/var/lib/cairn-log-store'")
    error_message = "cairn-boot does something else than the log store's machine needs."
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "grafana_apt_url=''\ngrafana_fingerprint=''\n")
    error_message = "The log store's machine fetches Grafana's key."
  }
  assert {
    condition     = output.bytes >= length(output.text) && output.bytes <= 16384
    error_message = "The text has ${output.bytes} bytes."
  }
  assert {
    condition     = yamldecode(output.text).ssh_pwauth == false && toset(keys(yamldecode(output.text))) == toset(["fqdn", "manage_etc_hosts", "ssh_pwauth", "write_files", "runcmd", "final_message"])
    error_message = "ssh takes passwords, or the text tells the machine something else: ${join(" ", keys(yamldecode(output.text)))}"
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "\n    systemctl start \"$unit\" || true\n") && !can(regex("systemctl[^\n]*restart", output.files["/usr/local/sbin/cairn-boot"]))
    error_message = "cairn-boot restarts units: it may be run by hand on a machine that works."
  }
  assert {
    condition     = length(regexall("--force-conf(def|old)\"", output.files["/etc/apt/apt.conf.d/52cairn-conffiles"])) == 2
    error_message = "An upgrade by hand asks about the configuration that Terraform wrote."
  }
  assert {
    condition     = strcontains(output.files["/etc/apt/apt.conf.d/52cairn-security-updates"], "APT::Periodic::Unattended-Upgrade \"1\";") && !strcontains(lower(output.files["/etc/apt/apt.conf.d/52cairn-security-updates"]), "origin=cairn")
    error_message = "Security updates do not install themselves, or Cairn's packages do."
  }
}

run "app" {
  variables {
    role = "app"
  }

  assert {
    condition     = strcontains(output.files["/etc/cairn/log-shipper.toml"], "url = \"http://10.0.1.11:3100/loki/api/v1/push\"") && strcontains(output.files["/etc/cairn/log-shipper.toml"], "external_labels = { env = \"demo\" }")
    error_message = "The shipper does not push to the log store, or without the label env."
  }
  assert {
    condition     = strcontains(output.files["/etc/cairn/log-shipper.toml"], "job_name = \"flask-app\"\n\n[[scrape_configs.static_configs]]\nlabels = { __path__ = \"/var/log/cairn-app/*.log\" }\n")
    error_message = "The shipper does not follow the app's log."
  }
  assert {
    condition     = strcontains(output.files["/etc/cairn/app.toml"], "listen = \"0.0.0.0:5000\"") && strcontains(output.files["/etc/cairn/app.toml"], "log_file = \"/var/log/cairn-app/app.log\"")
    error_message = "The app is not open, or logs elsewhere."
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "directory='/var/lib/cairn-log-shipper'\n") && strcontains(output.files["/usr/local/sbin/cairn-boot"], "units=(cairn-app cairn-log-shipper)\n")
    error_message = "cairn-boot does something else than the app's machine needs."
  }
}

run "metrics_store" {
  variables {
    role = "metrics_store"
  }

  assert {
    condition = toset(regexall("targets = \\[\"([0-9.:]+)\"\\]", output.files["/etc/cairn/metrics-store.toml"])[*][0]) == toset([
      "127.0.0.1:9090", "10.0.1.12:5000",
      "127.0.0.1:12345", "10.0.1.11:12345", "10.0.1.12:12345", "10.0.1.14:12345",
      "10.0.1.11:3100", "10.0.1.14:3000",
    ])
    error_message = "The metrics store scrapes other targets."
  }
  assert {
    condition     = strcontains(output.files["/etc/cairn/metrics-store.toml"], "job_name = \"flask-app\"\nscrape_interval = \"10s\"\n")
    error_message = "The app is not scraped every 10 s."
  }
}

run "grafana" {
  variables {
    role = "grafana"
  }

  assert {
    condition = output.files["/etc/cairn/grafana.env"] == join("", [
      "CAIRN_LOG_STORE_URL=http://10.0.1.11:3100\n",
      "CAIRN_METRICS_STORE_URL=http://10.0.1.13:9090\n",
      "CAIRN_GRAFANA_SECRET_ARN=arn:aws:secretsmanager:us-east-1:123456789012:secret:demo-AbCdEf\n",
      "AWS_REGION=us-east-1\n",
    ])
    error_message = "Grafana is not told its data sources and its secret: ${output.files["/etc/cairn/grafana.env"]}"
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "packages=(grafana=13.2.2 cairn-grafana cairn-log-shipper)\n") && strcontains(output.files["/usr/local/sbin/cairn-boot"], "grafana_apt_url='https://apt.grafana.com'\n") && strcontains(output.files["/usr/local/sbin/cairn-boot"], "grafana_fingerprint='B53AE77BADB630A683046005963FA27710458545'\n")
    error_message = "cairn-boot installs another Grafana, or trusts another key."
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "mount_options='noatime,nodev,nosuid'\n")
    error_message = "Grafana's volume is mounted otherwise; its plugins are programs."
  }
  assert {
    condition     = output.files["/etc/systemd/system/grafana-server.service.d/60-cairn-volume.conf"] == "[Unit]\nRequiresMountsFor=/var/lib/grafana\n"
    error_message = "Grafana would start without its disk, on the machine's own."
  }
  assert {
    condition     = strcontains(output.files["/etc/cairn/log-shipper.toml"], "/var/log/grafana/grafana.log")
    error_message = "Grafana's log is not shipped."
  }
}

run "grafana_without_a_secret_or_a_volume" {
  variables {
    role      = "grafana"
    volume_id = ""
    grafana   = { version = "12.4.1", apt_url = "https://apt.grafana.com", fingerprint = "B53AE77BADB630A683046005963FA27710458545" }
  }

  assert {
    condition     = output.files["/etc/cairn/grafana.env"] == "CAIRN_LOG_STORE_URL=http://10.0.1.11:3100\nCAIRN_METRICS_STORE_URL=http://10.0.1.13:9090\n"
    error_message = "Grafana is told a secret that is not there."
  }
  assert {
    condition     = strcontains(output.files["/usr/local/sbin/cairn-boot"], "volume=''")
    error_message = "cairn-boot waits for a volume that is not there."
  }
}

run "grafana_without_its_source" {
  command = plan

  variables {
    role    = "grafana"
    grafana = null
  }

  expect_failures = [var.grafana]
}

run "no_role" {
  command = plan

  variables {
    role = "database"
  }

  expect_failures = [var.role]
}

# What is put into the script of root and could end its quotes.
run "version_with_a_command" {
  command = plan

  variables {
    role    = "app"
    grafana = { version = "13.2.2);touch /x;(", apt_url = "https://apt.grafana.com", fingerprint = "B53AE77BADB630A683046005963FA27710458545" }
  }

  expect_failures = [var.grafana]
}

run "url_with_a_command" {
  command = plan

  variables {
    role    = "grafana"
    grafana = { version = "13.2.2", apt_url = "https://x'; touch /x; '", fingerprint = "B53AE77BADB630A683046005963FA27710458545" }
  }

  expect_failures = [var.grafana]
}

run "fingerprint_with_a_command" {
  command = plan

  variables {
    role    = "grafana"
    grafana = { version = "13.2.2", apt_url = "https://apt.grafana.com", fingerprint = "B53AE77BADB630A683046005963FA27710458545'; touch /x; '" }
  }

  expect_failures = [var.grafana]
}

run "volume_with_a_command" {
  command = plan

  variables {
    role      = "app"
    volume_id = "vol-1'; touch /x; '"
  }

  expect_failures = [var.volume_id]
}

run "repository_with_a_second_source" {
  command = plan

  variables {
    role       = "app"
    repository = { url = "https://bucket.example.com/apt stable main\ndeb [trusted=yes] https://elsewhere", key = "" }
  }

  expect_failures = [var.repository]
}
