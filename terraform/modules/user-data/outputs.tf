output "text" {
  description = "The user-data: a #cloud-config."
  value       = local.text
}

output "bytes" {
  description = "Its size; EC2 takes 16384 bytes."
  # length() counts characters. Base64 has four for three bytes, padded: up to two too many, never too few.
  value = floor(length(base64encode(local.text)) / 4) * 3
}

output "files" {
  description = "Every file that the machine gets, path to content; for tests and for looking."
  value       = { for path, file in local.files : path => file.content }
}
