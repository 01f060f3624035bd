# What and where. Sizes are in variables_sizes.tf, what only an operator knows in variables_operator.tf.

variable "environment" {
  description = "Which installation this is; every name begins with mms-<environment>."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment is dev or prod."
  }
}

variable "region" {
  description = "AWS region of everything. It has no default: with another one than the state's, Terraform would take all that is there for gone."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is written like us-east-1 or sa-east-1."
  }
}

variable "zones" {
  description = "The letters of the two availability zones. Named, not looked up: a zone that AWS adds must not move subnets."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(distinct(var.zones)) == 2 && length(var.zones) == 2 && alltrue([for letter in var.zones : can(regex("^[a-f]$", letter))])
    error_message = "zones are two different letters, such as [\"a\", \"b\"]."
  }
}

variable "tags" {
  description = "Further tags of every resource."
  type        = map(string)
  default     = {}
}

variable "vpc_cidr" {
  description = "Addresses of the VPC; six subnets are cut from it, sixteen times smaller each."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("/(1[6-9]|2[0-4])$", var.vpc_cidr))
    error_message = "vpc_cidr is an IPv4 range from /16 to /24, such as 10.40.0.0/16."
  }
}

variable "nat_gateways" {
  description = "NAT gateways, the tasks' way to the exchanges: 1, or 2 for one in each zone."
  type        = number
  default     = 1

  validation {
    condition     = contains([1, 2], var.nat_gateways)
    error_message = "nat_gateways is 1 or 2."
  }
}

variable "interface_endpoint_zones" {
  description = "Zones in which ECR, logs and secrets have an endpoint: 1, or 2 to do without the other zone."
  type        = number
  default     = 2

  validation {
    condition     = contains([1, 2], var.interface_endpoint_zones)
    error_message = "interface_endpoint_zones is 1 or 2."
  }
}

variable "enable_load_balancer" {
  description = "Whether the internet reaches the API. Without it the API answers inside the VPC only."
  type        = bool
  default     = true
}

variable "certificate_arn" {
  description = "ACM certificate of the load balancer, in the same region: HTTPS, and HTTP redirects to it. Null: HTTP only."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn == null || can(regex("^arn:aws[a-z-]*:acm:${var.region}:[0-9]{12}:certificate/[0-9a-f-]+$", var.certificate_arn))
    error_message = "certificate_arn is the ARN of an ACM certificate in the same region, or null."
  }
}

variable "domain_names" {
  description = "Names under which clients ask, those of the certificate; the first one is the service's address. Empty: the load balancer's own name."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.domain_names : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", name))])
    error_message = "domain_names are names in lower case without scheme, port and wildcard, such as api.example.com."
  }

  validation {
    condition     = !var.enable_load_balancer || var.certificate_arn == null || length(var.domain_names) > 0
    error_message = "domain_names has to say what certificate_arn is for: the API refuses every other name."
  }
}

variable "allowed_cidrs" {
  description = "Who may open a connection to the load balancer."
  type        = set(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.allowed_cidrs) > 0 && alltrue([for range in var.allowed_cidrs : can(cidrhost(range, 0)) && can(regex("^[0-9.]+/", range))])
    error_message = "allowed_cidrs are IPv4 ranges, such as 0.0.0.0/0 for everyone."
  }
}

variable "collect_open" {
  description = "Whether the load balancer lets POST /collect-once through to the API, which asks for a key. It needs API_KEYS in secret_settings."
  type        = bool
  default     = false

  validation {
    condition     = !var.collect_open || contains(keys(var.secret_settings), "API_KEYS")
    error_message = "collect_open needs API_KEYS in secret_settings: without a key nobody may send a POST."
  }
}

variable "deletion_protection" {
  description = "Whether database and load balancer refuse to be deleted, a last snapshot is taken, and deleted secrets can be brought back."
  type        = bool
  default     = true

  validation {
    condition     = var.deletion_protection || var.environment != "prod"
    error_message = "deletion_protection stays true in prod; to take prod down, see docs/deploying-aws.md."
  }
}

variable "settings" {
  description = "Settings of the application that are not secret, such as ALLOWED_PAIRS (docs/settings.md lists them)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", name))])
    error_message = "settings are named as in the environment: ALLOWED_PAIRS, not allowed_pairs."
  }

  validation {
    condition = length(setintersection(keys(var.settings), [
      "ENV", "DB_URL", "DB_READ_URL", "CACHE_URL", "SINGLE_NODE", "HOST", "PORT", "LOG_FORMAT",
      "ALLOWED_HOSTS", "TRUSTED_PROXIES",
    ])) == 0
    error_message = "ENV, DB_URL, DB_READ_URL, CACHE_URL, SINGLE_NODE, HOST, PORT, LOG_FORMAT, ALLOWED_HOSTS (see domain_names) and TRUSTED_PROXIES are set by this stack itself."
  }

  validation {
    condition     = alltrue([for name in keys(var.settings) : !can(regex("(PASSWORD|SECRET|TOKEN|KEY)", name))])
    error_message = "A key, password, secret or token is no plain setting: name it in secret_settings and put its value into Secrets Manager."
  }

  validation {
    condition     = try(tonumber(var.settings["PRICE_POLL_SECONDS"]) <= 900, true)
    error_message = "PRICE_POLL_SECONDS is at most 900 here: the alarm prices-silent waits for half an hour."
  }
}

variable "secret_settings" {
  description = "Settings whose values are in Secrets Manager, each with the tasks that get it, such as { COINGECKO_API_KEY = [\"api\", \"collector\"], API_KEYS = [\"api\"] }. A task does not start before the value is put."
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.secret_settings) : can(regex("^[A-Z][A-Z0-9_]*$", name)) && !contains(["PGPASSWORD", "CACHE_SECRET"], name)])
    error_message = "secret_settings are named as in the environment: COINGECKO_API_KEY. PGPASSWORD and CACHE_SECRET are set by this stack itself."
  }

  validation {
    condition = alltrue([
      for users in values(var.secret_settings) : length(users) > 0 &&
      length(setsubtract(users, ["api", "collector", "migrate", "initial-load", "incremental", "monitor"])) == 0
    ])
    error_message = "secret_settings name at least one of the tasks api, collector, migrate, initial-load, incremental, monitor."
  }

  validation {
    condition     = lookup(var.secret_settings, "API_KEYS", toset(["api"])) == toset(["api"])
    error_message = "API_KEYS is read by the task api and by no other."
  }
}

variable "incremental_schedule" {
  description = "When the incremental loader runs, in UTC. A daily candle closes at 00:00; with shorter INTERVALS run it hourly."
  type        = string
  default     = "cron(5 0 * * ? *)"

  validation {
    condition     = can(regex("^cron\\([^ ]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+\\)$", var.incremental_schedule))
    error_message = "incremental_schedule is cron() with six fields, such as cron(5 0 * * ? *)."
  }
}

variable "monitor_schedule" {
  description = "When the gap monitor looks, and repairs what the exchange has, in UTC."
  type        = string
  default     = "cron(35 * * * ? *)"

  validation {
    condition     = can(regex("^cron\\([^ ]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+ [^ ]+\\)$", var.monitor_schedule))
    error_message = "monitor_schedule is cron() with six fields, such as cron(35 * * * ? *)."
  }
}

variable "monitor_silent_hours" {
  description = "Hours without a heartbeat of the monitor after which the alarm rings; at least twice the distance of monitor_schedule."
  type        = number
  default     = 2

  validation {
    condition     = var.monitor_silent_hours >= 2 && var.monitor_silent_hours <= 24 && floor(var.monitor_silent_hours) == var.monitor_silent_hours
    error_message = "monitor_silent_hours is a whole number from 2 to 24."
  }
}
