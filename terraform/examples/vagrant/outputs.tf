output "user_data" {
  description = "The text for each machine."
  value       = { for role, machine in module.machine : replace(role, "_", "-") => machine.text }
}

output "files" {
  description = "The files in it: machine to path to content."
  value       = { for role, machine in module.machine : replace(role, "_", "-") => machine.files }
}
