# A password or secret that Terraform itself refuses to store: what comes in is declared ephemeral, so what goes out
# may only be given to write-only arguments, and is in neither the plan nor the state.

variable "drawn" {
  description = "Random hexadecimal digits with hyphens: uuid() gives 128 bits anew at every run."
  type        = list(string)
  ephemeral   = true
  sensitive   = true
}

output "value" {
  description = "The digits without the hyphens, which need no quoting anywhere."
  value       = replace(join("", var.drawn), "-", "")
  ephemeral   = true
  sensitive   = true
}
