"""The step of each kind of cascade."""

from collections.abc import Mapping

from outbox.cascade import Step

from webhooks.queue import pending, replay

STEPS: Mapping[str, Step] = {
    pending.DELETED_WEBHOOK: pending.delete_more,
    pending.ENABLED_WEBHOOK: pending.resume_more,
    replay.REPLAY: replay.replay_more,
}
