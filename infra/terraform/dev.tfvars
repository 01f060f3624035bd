# Small and cheap, and gone without a trace when it is destroyed.
environment = "dev"

nat_gateways             = 1
interface_endpoint_zones = 1
deletion_protection      = false

api_cpu       = 256
api_memory    = 512
api_min_tasks = 1
api_max_tasks = 2

cache_nodes             = 1
database_class          = "db.t4g.micro"
database_multi_az       = false
database_backup_days    = 1
database_max_storage_gb = 40

log_retention_days = 14
monthly_budget_usd = 200

# What checkov finds in dev and not in prod, and why it is meant so:
# checkov CKV_AWS_150: dev is destroyed by one command; prod's load balancer is protected.
# checkov CKV_AWS_157: dev may be away for the time that a restore takes; prod has a standby.
# checkov CKV_AWS_293: dev is destroyed by one command; prod's database is protected.
# checkov CKV_AWS_338: nobody asks what dev logged a month ago; prod keeps its logs for a year.
