# What production differs in from the defaults is little: the defaults are the careful ones.
environment = "prod"

api_min_tasks = 2
api_max_tasks = 6

cache_nodes          = 2
database_multi_az    = true
database_replica     = false
database_backup_days = 14
deletion_protection  = true

log_retention_days = 365
monthly_budget_usd = 400
