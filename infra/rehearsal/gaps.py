"""What moto's stand-in for AWS does not answer and this stack asks for.

Each is the least that Terraform's provider needs to create, read and delete the resource again;
nothing of the deployment itself is answered here. A call that neither moto nor this page knows is
refused at once; left alone it would be a server error, which Terraform repeats for a quarter of an
hour.
"""

from __future__ import annotations

import json
from typing import Any

_PARAMETER_GROUP = "CacheParameterGroupName"


def fill() -> None:
    """Give moto the missing answers; this changes moto's classes in this process."""
    # moto takes seconds to import, and is installed in the rehearsal's own environment only.
    from moto.applicationautoscaling import responses as autoscaling  # noqa: PLC0415
    from moto.budgets import responses as budgets  # noqa: PLC0415
    from moto.core.responses import ActionResult, BaseResponse, EmptyResult  # noqa: PLC0415
    from moto.elasticache.models import ElastiCacheBackend  # noqa: PLC0415
    from moto.elasticache.responses import ElastiCacheResponse  # noqa: PLC0415

    parameter_groups: dict[str, dict[str, Any]] = {}

    def create_cache_parameter_group(self: Any) -> Any:
        name = self._get_param(_PARAMETER_GROUP)
        family = self._get_param("CacheParameterGroupFamily")
        arn = f"arn:aws:elasticache:{self.region}:{self.current_account}:parametergroup:{name}"
        parameter_groups[name] = {
            _PARAMETER_GROUP: name,
            "CacheParameterGroupFamily": family,
            "Description": self._get_param("Description"),
            "ARN": arn,
        }
        self.elasticache_backend.tagging_service.tag_resource(arn, self._get_param("Tags", []))
        return ActionResult({"CacheParameterGroup": parameter_groups[name]})

    def describe_cache_parameter_groups(self: Any) -> Any:
        name = self._get_param(_PARAMETER_GROUP)
        return ActionResult({"CacheParameterGroups": [parameter_groups[name]]})

    def describe_cache_parameters(_: Any) -> Any:
        return ActionResult({"Parameters": []})

    def delete_cache_parameter_group(self: Any) -> Any:
        del parameter_groups[self._get_param(_PARAMETER_GROUP)]
        return EmptyResult()

    def delete_cache_cluster(self: Any) -> Any:
        # moto marks it as being deleted and keeps it so for ever.
        cluster = self.elasticache_backend.cache_clusters.pop(self._get_param("CacheClusterId"))
        cluster.cache_cluster_status = "deleting"
        return ActionResult({"CacheCluster": cluster})

    def delete_cache_subnet_group(self: Any) -> Any:
        del self.elasticache_backend.cache_subnet_groups[self._get_param("CacheSubnetGroupName")]
        return EmptyResult()

    def describe_subscribers_for_notification(self: Any) -> str:
        account, name = self._get_param("AccountId"), self._get_param("BudgetName")
        notification = self._get_param("Notification")
        subscribers = [
            each.subscribers
            for each in self.backend.budgets[account][name].notifications
            if each.details["Threshold"] == notification["Threshold"]
            and each.details["NotificationType"] == notification["NotificationType"]
        ]
        return json.dumps({"Subscribers": subscribers[0] if subscribers else []})

    describe = ElastiCacheBackend.describe_cache_clusters

    def describe_with_nodes(self: Any, cache_cluster_id: str | None = None) -> Any:
        """moto's clusters have no nodes, and so no address that a task could be told."""
        clusters = describe(self, cache_cluster_id)
        for cluster in clusters:
            cluster.cache_nodes = [
                {
                    "CacheNodeId": f"{number:04d}",
                    "CacheNodeStatus": "available",
                    "CustomerAvailabilityZone": f"{self.region_name}a",
                    "Endpoint": {
                        "Address": f"{cluster.cache_cluster_id}.{number:04d}.use1.cache.example",
                        "Port": int(cluster.port or 11211),
                    },
                }
                for number in range(1, cluster.num_cache_nodes + 1)
            ]
        return clusters

    ElastiCacheBackend.describe_cache_clusters = describe_with_nodes

    for method in (
        create_cache_parameter_group,
        describe_cache_parameter_groups,
        describe_cache_parameters,
        delete_cache_parameter_group,
        delete_cache_cluster,
        delete_cache_subnet_group,
    ):
        setattr(ElastiCacheResponse, method.__name__, method)
    budgets.BudgetsResponse.describe_subscribers_for_notification = (
        describe_subscribers_for_notification
    )

    # Without tags in the reply Terraform would see drift; the rehearsal does not ask for a second
    # plan of these two.
    autoscaling.ApplicationAutoScalingResponse.list_tags_for_resource = lambda _: json.dumps(
        {"Tags": {}}
    )
    budgets.BudgetsResponse.list_tags_for_resource = lambda _: json.dumps({"ResourceTags": []})

    answer = BaseResponse.call_action

    def refuse_unknown(self: Any) -> Any:
        try:
            return answer(self)
        except NotImplementedError as error:
            text = f"the stand-in for AWS does not know this: {error}"
            body = json.dumps({"__type": "UnknownOperationException", "message": text})
            return 400, {"status": 400, "x-amzn-errortype": "UnknownOperationException"}, body

    BaseResponse.call_action = refuse_unknown
