"""The step of each kind of cascade."""

from collections.abc import Mapping

from outbox.cascade import Step

from identity import cascades
from identity.organizations import organizations
from identity.sessions import sessions
from identity.users import delete_user

STEPS: Mapping[str, Step] = {
    cascades.USER: delete_user.delete_more,
    cascades.ORGANIZATION: organizations.delete_more,
    cascades.SESSIONS_OF_USER: sessions.revoke_more_of_user,
    cascades.SESSIONS_OF_PROJECT: sessions.revoke_more_of_project,
}
