"""Settings of webhooks beyond those of every service."""

from chassis.settings import ServiceSettings


class WebhooksSettings(ServiceSettings):
    """`webhooks_allow_private`: for development, also http and loopback and private addresses."""

    webhooks_allow_private: bool = False
