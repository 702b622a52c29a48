"""Which call is answered by which function: the table of webhooks."""

from functools import partial

from chassis.unit_of_work import Routes
from contracts import webhooks as calls

from webhooks import deliveries, resending, testing, webhooks


def routes(*, allow_private: bool) -> Routes:
    """`allow_private` is the development flag of `addresses`."""
    return Routes(
        reads={
            calls.GET_WEBHOOK: webhooks.find,
            calls.LIST_WEBHOOKS: webhooks.find_all,
            calls.GET_DELIVERY: deliveries.find,
            calls.LIST_DELIVERIES: deliveries.find_all,
        },
        writes={
            calls.CREATE_WEBHOOK: partial(webhooks.create, allow_private=allow_private),
            calls.UPDATE_WEBHOOK: partial(webhooks.change, allow_private=allow_private),
            calls.DELETE_WEBHOOK: webhooks.remove,
            calls.ROTATE_SECRET: webhooks.rotate_secret,
            calls.RETRY_DELIVERY: resending.retry,
            calls.REPLAY: resending.replay,
            calls.SEND_TEST: testing.send_test,
        },
        single={calls.CREATE_WEBHOOK: lambda _: True},
    )


ROUTES = routes(allow_private=False)
