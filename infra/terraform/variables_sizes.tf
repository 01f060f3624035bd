variable "api_cpu" {
  description = "CPU units of an API task; 1024 are one core."
  type        = number
  default     = 1024

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.api_cpu)
    error_message = "api_cpu is 256, 512, 1024, 2048 or 4096: what Fargate offers."
  }
}

variable "api_memory" {
  description = "Memory of an API task in MiB."
  type        = number
  default     = 2048

  validation {
    condition = var.api_cpu == 256 ? contains([512, 1024, 2048], var.api_memory) : (
      var.api_memory >= 2 * var.api_cpu && var.api_memory <= 8 * var.api_cpu && var.api_memory % 1024 == 0
    )
    error_message = "api_memory is a multiple of 1024 MiB, two to eight times api_cpu; with 256 units it is 512, 1024 or 2048: what Fargate offers."
  }
}

variable "api_min_tasks" {
  description = "API tasks at the least; 2 are in two zones."
  type        = number
  default     = 2

  validation {
    condition     = var.api_min_tasks >= 1 && var.api_min_tasks <= 100
    error_message = "api_min_tasks is 1 to 100."
  }

  validation {
    condition     = var.environment != "prod" || var.api_min_tasks >= 2
    error_message = "prod needs at least 2 API tasks, so that one may fail."
  }
}

variable "api_max_tasks" {
  description = "API tasks at the most."
  type        = number
  default     = 6

  validation {
    condition     = var.api_max_tasks >= var.api_min_tasks && var.api_max_tasks <= 100
    error_message = "api_max_tasks is api_min_tasks to 100."
  }
}

variable "api_cpu_target" {
  description = "Average CPU use in percent that autoscaling aims at."
  type        = number
  default     = 60

  validation {
    condition     = var.api_cpu_target >= 20 && var.api_cpu_target <= 90
    error_message = "api_cpu_target is 20 to 90 percent."
  }
}

variable "worker_cpu" {
  description = "CPU units of every other task."
  type        = number
  default     = 256

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096], var.worker_cpu)
    error_message = "worker_cpu is 256, 512, 1024, 2048 or 4096: what Fargate offers."
  }
}

variable "worker_memory" {
  description = "Memory of every other task in MiB."
  type        = number
  default     = 512

  validation {
    condition = var.worker_cpu == 256 ? contains([512, 1024, 2048], var.worker_memory) : (
      var.worker_memory >= 2 * var.worker_cpu && var.worker_memory <= 8 * var.worker_cpu && var.worker_memory % 1024 == 0
    )
    error_message = "worker_memory is a multiple of 1024 MiB, two to eight times worker_cpu; with 256 units it is 512, 1024 or 2048: what Fargate offers."
  }
}

variable "cache_nodes" {
  description = "Memcached nodes; from 2 on they are in two zones."
  type        = number
  default     = 2

  validation {
    condition     = var.cache_nodes >= 1 && var.cache_nodes <= 20
    error_message = "cache_nodes is 1 to 20."
  }
}

variable "cache_node_type" {
  description = "ElastiCache node type."
  type        = string
  default     = "cache.t4g.micro"

  validation {
    condition     = startswith(var.cache_node_type, "cache.")
    error_message = "cache_node_type is written like cache.t4g.micro."
  }
}

variable "database_version" {
  description = "Major version of PostgreSQL; minor ones come by themselves."
  type        = string
  default     = "16"

  validation {
    condition     = contains(["15", "16", "17"], var.database_version)
    error_message = "database_version is 15, 16 or 17."
  }
}

variable "database_class" {
  description = "RDS instance class."
  type        = string
  default     = "db.t4g.small"

  validation {
    condition     = startswith(var.database_class, "db.")
    error_message = "database_class is written like db.t4g.small."
  }
}

variable "database_storage_gb" {
  description = "Storage of the database in GB; a year of two daily pairs is under 1 MB."
  type        = number
  default     = 20

  validation {
    condition     = var.database_storage_gb >= 20 && var.database_storage_gb <= 65536
    error_message = "database_storage_gb is 20 to 65536: what gp3 offers."
  }
}

variable "database_max_storage_gb" {
  description = "How far the storage may grow by itself."
  type        = number
  default     = 100

  validation {
    condition     = var.database_max_storage_gb >= 1.1 * var.database_storage_gb
    error_message = "database_max_storage_gb is at least a tenth more than database_storage_gb."
  }
}

variable "database_multi_az" {
  description = "Whether a standby in the other zone takes over by itself."
  type        = bool
  default     = true
}

variable "database_replica" {
  description = "Whether a replica answers the API's reads (DB_READ_URL)."
  type        = bool
  default     = false
}

variable "database_backup_days" {
  description = "Days that backups are kept; any second of them can be restored."
  type        = number
  default     = 14

  validation {
    condition     = var.database_backup_days >= 1 && var.database_backup_days <= 35
    error_message = "database_backup_days is 1 to 35."
  }

  validation {
    condition     = var.environment != "prod" || var.database_backup_days >= 7
    error_message = "prod keeps backups for at least 7 days."
  }
}

variable "database_password_version" {
  description = "Raise it by one to draw a new database password; then deploy, so that tasks get it."
  type        = number
  default     = 1

  validation {
    condition     = var.database_password_version >= 1 && floor(var.database_password_version) == var.database_password_version
    error_message = "database_password_version is a whole number from 1."
  }
}

variable "cache_secret_version" {
  description = "Raise it by one to draw a new CACHE_SECRET; then deploy, so that tasks get it. Until all have it, they use Memcached apart."
  type        = number
  default     = 1

  validation {
    condition     = var.cache_secret_version >= 1 && floor(var.cache_secret_version) == var.cache_secret_version
    error_message = "cache_secret_version is a whole number from 1."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400, 545, 731], var.log_retention_days)
    error_message = "log_retention_days is 7, 14, 30, 60, 90, 180, 365, 400, 545 or 731: what CloudWatch offers."
  }
}
