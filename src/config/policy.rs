//! Settings of `policy`: who may enter.

use super::{
    claims::{GROUP_FIELD, groups_claim},
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
};
use crate::policy::Policy;

/// The settings under their heading.
pub(super) const SECTION: Section = Section { title: "Access", settings: &[&EMAIL_DOMAIN, &ALLOWED_GROUPS] };

const EMAIL_DOMAIN: Setting = setting(
    "oidc_email_domain",
    ValueType::List,
    "",
    "Authorization: only users with an e-mail address of one of these domains have access. The whole domain is compared.",
);
const ALLOWED_GROUPS: Setting = setting(
    "oidc_allowed_groups",
    ValueType::List,
    "",
    "Authorization: only users in one of these groups have access. They are compared with the values of the claim, before `oidc_group_mapping` and `oidc_group_regex_filter`, as Coder does it. Needs `oidc_group_field`.",
);

/// The policy that applies to everybody, whatever the route.
pub(super) fn read(reader: &mut Reader<'_>) -> Policy {
    let policy = Policy {
        email_domains: reader.list(&EMAIL_DOMAIN).iter().map(|domain| domain.trim_start_matches('@').to_owned()).collect(),
        allowed_groups: reader.list(&ALLOWED_GROUPS),
    };
    // A list that is given and names nothing is a mistake that would let everybody in.
    for (setting, is_empty) in
        [(&EMAIL_DOMAIN, policy.email_domains.is_empty()), (&ALLOWED_GROUPS, policy.allowed_groups.is_empty())]
    {
        if reader.text(setting).is_some() && is_empty {
            reader.problem(setting, "is set and names nothing; leave it out to allow all");
        }
    }
    if !policy.allowed_groups.is_empty() && groups_claim(reader).is_none() && !reader.is_given(&GROUP_FIELD) {
        reader.problem(&ALLOWED_GROUPS, "needs CODER_OIDC_GROUP_FIELD to say which claim holds the groups");
    }
    policy
}
