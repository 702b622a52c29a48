"""Which handler answers which call of identity."""

from collections.abc import Mapping

from chassis.unit_of_work import Handler
from contracts import invitations as invitation_calls
from contracts import members as member_calls
from contracts import organizations as organization_calls
from contracts import overview as overview_calls
from contracts import search as search_calls
from contracts import sessions as session_calls
from contracts import users as user_calls
from contracts.calls import Call

from identity import overview, search
from identity.last_active import LastActive
from identity.organizations import (
    accept_invitation,
    add_member,
    invitations,
    list_invitations,
    members,
    organizations,
    remove_member,
)
from identity.projects_client import ProjectsClient
from identity.sessions import (
    create_session,
    list_sessions,
    refresh_session,
    sessions,
    verify_session,
)
from identity.sessions.access_tokens import AccessTokens
from identity.users import bulk_import, delete_user, user_search, users


def handlers(projects: ProjectsClient, last_active: LastActive) -> Mapping[Call, Handler]:
    """The handlers, with what they depend on."""
    return {
        user_calls.CREATE_USER: users.create_user,
        user_calls.GET_USER: users.get_user,
        user_calls.LIST_USERS: user_search.list_users,
        user_calls.UPDATE_USER: users.update_user,
        user_calls.DELETE_USER: delete_user.delete_user,
        user_calls.IMPORT_USERS: bulk_import.import_users,
        session_calls.CREATE_SESSION: create_session.create_session.bind(projects=projects),
        session_calls.REFRESH_SESSION: refresh_session.refresh_session.bind(projects=projects),
        session_calls.VERIFY_SESSION: verify_session.verify_session.bind(
            tokens=AccessTokens(projects), last_active=last_active
        ),
        session_calls.LIST_SESSIONS: list_sessions.list_sessions,
        session_calls.REVOKE_SESSIONS: sessions.revoke_sessions,
        session_calls.REVOKE_SESSION: sessions.revoke_session,
        organization_calls.CREATE_ORGANIZATION: organizations.create_organization,
        organization_calls.GET_ORGANIZATION: organizations.get_organization,
        organization_calls.LIST_ORGANIZATIONS: organizations.list_organizations,
        organization_calls.UPDATE_ORGANIZATION: organizations.update_organization,
        organization_calls.DELETE_ORGANIZATION: organizations.delete_organization,
        member_calls.ADD_MEMBER: add_member.add_member,
        member_calls.LIST_MEMBERS: members.list_members,
        member_calls.UPDATE_MEMBER: members.update_member,
        member_calls.REMOVE_MEMBER: remove_member.remove_member,
        invitation_calls.CREATE_INVITATION: invitations.create_invitation,
        invitation_calls.LIST_INVITATIONS: list_invitations.list_invitations,
        invitation_calls.REVOKE_INVITATION: invitations.revoke_invitation,
        invitation_calls.RESEND_INVITATION: invitations.resend_invitation,
        invitation_calls.ACCEPT_INVITATION: accept_invitation.accept_invitation.bind(
            projects=projects
        ),
        overview_calls.GET_USERS_OVERVIEW: overview.get_users_overview,
        overview_calls.GET_ORGANIZATIONS_OVERVIEW: overview.get_organizations_overview,
        search_calls.SEARCH_USERS: search.search_users,
        search_calls.SEARCH_ORGANIZATIONS: search.search_organizations,
    }
