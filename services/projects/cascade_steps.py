"""The step of each kind of cascade."""

from collections.abc import Mapping

from outbox.cascade import Step

from projects import cascades, projects, tenant_erasure
from projects.keys import descendants

STEPS: Mapping[str, Step] = {
    cascades.PROJECT: projects.revoke_more_keys,
    cascades.DESCENDANTS: descendants.revoke_more,
    cascades.TENANT: tenant_erasure.erase_more,
}
