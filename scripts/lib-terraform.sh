# Shared by the scripts that run Terraform: is it there, and where does the AWS provider come from. Sourced after lib.sh.
# shellcheck shell=bash

# Where registry mirrors are looked for, and how many folders deep.
terraform_mirror_roots=(/opt /usr/share /usr/local/share "$HOME/.terraform.d")
terraform_mirror_depth=5

# Exit status of a script that could not do its work here, as automake and others have it.
# shellcheck disable=SC2034  # for those who source this
exit_skipped=77

cairn_cache=${XDG_CACHE_HOME:-$HOME/.cache}/cairn

# terraform_missing: says nothing and fails if Terraform can be used; otherwise says on standard output why not.
terraform_missing() {
  local have
  if ! command -v terraform >/dev/null 2>&1; then
    say "terraform is not installed: see https://developer.hashicorp.com/terraform/install (1.9 or later)"
    return 0
  fi
  have=$(terraform_version)
  if [ "$(printf '%s\n%s\n' 1.9.0 "$have" | sort -V | head -n 1)" != 1.9.0 ]; then
    say "terraform $have is too old, 1.9 or later is needed: see https://developer.hashicorp.com/terraform/install"
    return 0
  fi
  return 1
}

# Without a CLI configuration: one that does not exist makes even this command complain.
terraform_version() {
  env -u TF_CLI_CONFIG_FILE CHECKPOINT_DISABLE=1 terraform version 2>/dev/null | sed -n '1s/^Terraform v//p'
}

# terraform_cli_config FOLDER: decides where providers come from. Prints one line for people, and as its last line the
# CLI configuration to use (for TF_CLI_CONFIG_FILE), which it wrote into FOLDER unless the user has one. Fails, after the
# line for people, where no provider can be had.
#
#   1. The CLI configuration that is in force, if the file exists. TF_CLI_CONFIG_FILE may name one that does not.
#   2. The registry, if it answers. Downloads are kept below the cache folder.
#   3. A mirror of it on this machine.
terraform_cli_config() {
  local folder=$1 own registry=registry.terraform.io probe mirror
  for own in "${TF_CLI_CONFIG_FILE:-}" "${TERRAFORM_CONFIG:-}" "$HOME/.terraformrc"; do
    if [ -n "$own" ] && [ -f "$own" ]; then
      printf 'terraform: providers as %s says\n%s\n' "$own" "$own"
      return 0
    fi
  done
  mkdir -p "$folder"
  probe="https://$registry/.well-known/terraform.json"
  if curl --silent --fail --output /dev/null --connect-timeout 3 --max-time 8 "$probe" 2>/dev/null; then
    mkdir -p "$cairn_cache/terraform-plugins"
    printf 'disable_checkpoint = true\nplugin_cache_dir = "%s"\n' "$cairn_cache/terraform-plugins" >"$folder/terraform.rc"
    printf 'terraform: providers from %s, kept in %s\n%s\n' "$registry" "$cairn_cache/terraform-plugins" "$folder/terraform.rc"
    return 0
  fi
  mirror=$(find "${terraform_mirror_roots[@]}" -maxdepth "$terraform_mirror_depth" -type d \
    -path "*/$registry/hashicorp/aws" -print -quit 2>/dev/null) || true
  mirror=${mirror%"/$registry/hashicorp/aws"}
  if [ -z "$mirror" ]; then
    printf 'terraform: no AWS provider: %s does not answer, and no folder %s is below %s\n' \
      "$registry" "$registry/hashicorp/aws" "${terraform_mirror_roots[*]}"
    return 1
  fi
  cat >"$folder/terraform.rc" <<EOF
disable_checkpoint = true
provider_installation {
  filesystem_mirror {
    path = "$mirror"
  }
}
EOF
  printf 'terraform: %s does not answer, providers from the mirror %s\n%s\n' "$registry" "$mirror" "$folder/terraform.rc"
}

# terraform_use FOLDER: the same, put into force for what this shell runs.
terraform_use() {
  local answer
  if ! answer=$(terraform_cli_config "$1"); then
    say "$answer"
    return 1
  fi
  say "${answer%$'\n'*}"
  export TF_CLI_CONFIG_FILE=${answer##*$'\n'}
}

# terraform_copy FOLDER: a copy of terraform/ to work in, so that provider, lock file and state never land in the
# checkout. It may be there from an earlier run: what is initialised there is kept, everything else is made equal.
terraform_copy() {
  local copy=$1
  mkdir -p "$copy"
  find "$copy" -type f ! -path '*/.terraform/*' ! -name .terraform.lock.hcl -delete
  # shellcheck disable=SC2154  # root is of lib.sh
  (cd "$root/terraform" && tar -cf - --exclude=.terraform --exclude=.terraform.lock.hcl --exclude='*.tfstate*' \
    --exclude=crash.log --no-wildcards-match-slash --exclude='./*.tfvars' .) | tar -xf - -C "$copy"
}

# terraform_init FOLDER: quick where it was done before with the same requirements, modules and configuration.
terraform_init() {
  local folder=$1
  if [ -d "$folder/.terraform" ] && [ "$(cat "$folder/.terraform/cairn-stamp" 2>/dev/null)" = "$(terraform_init_stamp "$folder")" ]; then
    return 0
  fi
  mkdir -p "$folder/.terraform"
  if ! terraform -chdir="$folder" init -backend=false -input=false -no-color >"$folder/.terraform/cairn-log" 2>&1; then
    cat "$folder/.terraform/cairn-log" >&2
    return 1
  fi
  terraform_init_stamp "$folder" >"$folder/.terraform/cairn-stamp"
}

# What an init depends on: which providers and modules are asked for, and where they come from.
terraform_init_stamp() {
  { grep -rhE '^ *(source|version|required_version) +=' --include='*.tf' --exclude-dir=.terraform "$1" && cat "$TF_CLI_CONFIG_FILE"; } | sha256sum
}
