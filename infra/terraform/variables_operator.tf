variable "initial_image_tag" {
  description = "Tag of the first image. Afterwards the deploy script says which image runs."
  type        = string
  default     = "none-yet"

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.initial_image_tag)) && var.initial_image_tag != "latest"
    error_message = "initial_image_tag is an image's tag, and not latest: tags never move here."
  }
}

variable "alarm_emails" {
  description = "Addresses that alarms and the budget's notices go to; each is asked to confirm by mail."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "alarm_emails are e-mail addresses."
  }
}

variable "latency_alarm_seconds" {
  description = "The 99th percentile of reply times that rings the alarm."
  type        = number
  default     = 0.5

  validation {
    condition     = var.latency_alarm_seconds > 0 && var.latency_alarm_seconds <= 60
    error_message = "latency_alarm_seconds is more than 0 and at most 60."
  }
}

variable "monthly_budget_usd" {
  description = "What the account may cost a month, in US dollars (docs/deploying-aws.md has the arithmetic); 0 for no budget, where the account has one already."
  type        = number
  default     = 400

  validation {
    condition     = var.monthly_budget_usd >= 0
    error_message = "monthly_budget_usd is at least 1, or 0 for no budget."
  }
}

variable "github_repository" {
  description = "The repository whose workflows may deploy, as GitHub's tokens name it: owner@1/name@2, or owner/name for an older one (docs/shipping.md); null for none."
  type        = string
  default     = null

  validation {
    condition     = var.github_repository == null || can(regex("^[A-Za-z0-9][A-Za-z0-9-]*(/[A-Za-z0-9._-]+|@[0-9]+/[A-Za-z0-9._-]+@[0-9]+)$", var.github_repository))
    error_message = "github_repository is written owner/name, or owner@1/name@2 with both numbers, without wildcards."
  }
}

variable "github_oidc_provider_arn" {
  description = "ARN of GitHub's identity provider, where the account has it already; null makes it. An account has one."
  type        = string
  default     = null

  validation {
    condition     = var.github_oidc_provider_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:oidc-provider/token.actions.githubusercontent.com$", var.github_oidc_provider_arn))
    error_message = "github_oidc_provider_arn ends with :oidc-provider/token.actions.githubusercontent.com."
  }
}

variable "state_bucket" {
  description = "S3 bucket of Terraform's state, which the roles of GitHub may then use; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.state_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.state_bucket))
    error_message = "state_bucket is the name of an S3 bucket."
  }
}
