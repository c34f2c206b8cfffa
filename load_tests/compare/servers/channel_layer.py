"""The channel layer over which Strawberry gets its events: Django Channels on Redis' pub/sub."""

from __future__ import annotations

import django
from django.conf import settings

GROUP = "feed"
MESSAGE = "feed.event"


def configure(redis: str) -> None:
    """Set up Django with the layer."""
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [redis]},
    }
    settings.configure(CHANNEL_LAYERS={"default": layer})
    django.setup()
