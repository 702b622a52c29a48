"""Which call is answered by which function: the table of identity."""

from functools import partial

from chassis.unit_of_work import Routes
from contracts import invitations as invitation_calls
from contracts import members as member_calls
from contracts import organizations as calls
from contracts import sessions as session_calls
from contracts import users as user_calls

from identity import (
    accepting,
    directory,
    forgetting,
    importing,
    invitations,
    joining,
    members,
    organizations,
    refreshing,
    sessions,
    signing_in,
    users,
    verifying,
)
from identity.access_tokens import AccessTokens
from identity.activity import Activity
from identity.projects import Projects


def routes(projects: Projects, activity: Activity) -> Routes:
    """`projects` is the other service; `activity` hears of sessions that are used."""
    verify = partial(verifying.verify, tokens=AccessTokens(projects), activity=activity)
    return Routes(
        reads={
            user_calls.GET_USER: users.find,
            user_calls.LIST_USERS: directory.find_all,
            calls.GET_ORGANIZATION: organizations.find,
            calls.LIST_ORGANIZATIONS: organizations.find_all,
            member_calls.LIST_MEMBERS: members.find_all,
            invitation_calls.LIST_INVITATIONS: invitations.find_all,
            session_calls.VERIFY_SESSION: verify,
        },
        writes={
            user_calls.CREATE_USER: users.create,
            user_calls.UPDATE_USER: users.change,
            user_calls.DELETE_USER: forgetting.remove,
            user_calls.IMPORT_USERS: importing.create_all,
            session_calls.CREATE_SESSION: partial(signing_in.create, projects=projects),
            session_calls.REFRESH_SESSION: partial(refreshing.refresh, projects=projects),
            session_calls.REVOKE_SESSIONS: sessions.revoke_all,
            session_calls.REVOKE_SESSION: sessions.revoke,
            calls.CREATE_ORGANIZATION: organizations.create,
            calls.UPDATE_ORGANIZATION: organizations.change,
            calls.DELETE_ORGANIZATION: organizations.remove,
            member_calls.ADD_MEMBER: joining.add,
            member_calls.UPDATE_MEMBER: members.change,
            member_calls.REMOVE_MEMBER: members.remove,
            invitation_calls.CREATE_INVITATION: invitations.create,
            invitation_calls.REVOKE_INVITATION: invitations.revoke,
            invitation_calls.RESEND_INVITATION: invitations.resend,
            invitation_calls.ACCEPT_INVITATION: partial(accepting.accept, projects=projects),
        },
        single={
            calls.CREATE_ORGANIZATION: lambda new: new.owner_id is None,
            user_calls.CREATE_USER: lambda _: True,
            session_calls.CREATE_SESSION: lambda _: True,
            session_calls.REFRESH_SESSION: lambda _: True,
            session_calls.REVOKE_SESSION: lambda _: True,
        },
    )
