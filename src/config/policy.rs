//! Settings of `policy`: who may enter.

use super::table::{Section, Setting, ValueType, setting};

/// The settings under their heading.
pub(super) const SECTION: Section = Section { title: "Access", settings: &[&EMAIL_DOMAIN, &ALLOWED_GROUPS] };

const EMAIL_DOMAIN: Setting = setting(
    "oidc_email_domain",
    ValueType::List,
    "",
    "Only users with an e-mail address of one of these domains may enter. The whole domain is compared.",
);
const ALLOWED_GROUPS: Setting =
    setting("oidc_allowed_groups", ValueType::List, "", "Only users in one of these groups may enter. Needs `oidc_group_field`.");
