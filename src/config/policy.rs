//! Settings of `policy`: who may enter.

use super::{
    claims::{GROUP_FIELD, groups_claim},
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::policy::{AllowedEmails, EmailFile, Policy};

/// The settings under their heading.
pub(super) const SECTION: Section =
    Section { title: "Access", settings: &[&EMAIL_DOMAIN, &ALLOWED_EMAILS, &ALLOWED_EMAILS_FILE, &ALLOWED_GROUPS] };

const EMAIL_DOMAIN: Setting = setting(
    "oidc_email_domain",
    ValueType::List,
    "",
    "Authorization: only users with an e-mail address of one of these domains have access. The whole domain is compared.",
);
const ALLOWED_EMAILS: Setting = setting(
    "oidc_allowed_emails",
    ValueType::List,
    "",
    "Authorization: only users with one of these e-mail addresses have access, besides those of `oidc_email_domain`. The whole address is compared, without regard to case.",
);
const ALLOWED_EMAILS_FILE: Setting = setting(
    "oidc_allowed_emails_file",
    ValueType::Text,
    "",
    "A file of such addresses, one a line (oauth2-proxy's `authenticated_emails_file`). Evergate reads it again when it changes: whose address is no longer in it gets 403 within seconds, and what they have open is cut.",
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
        email_domains: reader.parsed(&EMAIL_DOMAIN, email_domains).unwrap_or_default(),
        emails: AllowedEmails::new(&reader.list(&ALLOWED_EMAILS), reader.parsed(&ALLOWED_EMAILS_FILE, email_file)),
        allowed_groups: reader.list(&ALLOWED_GROUPS),
        claims: Vec::new(),
        // `providers` fills this in.
        domains_of_others: Vec::new(),
    };
    if reader.list(&ALLOWED_EMAILS).iter().any(|member| is_address_pattern(member)) {
        reader.warn(
            &ALLOWED_EMAILS,
            "has a pattern, and addresses are compared as they stand; domains are CODER_OIDC_EMAIL_DOMAIN",
        );
    }
    if policy.allowed_groups.iter().any(|group| is_group_pattern(group)) {
        reader.warn(&ALLOWED_GROUPS, "has a star, and groups are compared as they stand, so that it admits nobody");
    }
    // A list that is given and names nothing is a mistake that would let everybody in.
    for (setting, is_empty) in [(&ALLOWED_EMAILS, !policy.emails.is_given()), (&ALLOWED_GROUPS, policy.allowed_groups.is_empty())]
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

/// The domains that addresses may have. A list that names nothing would let everybody in, and what is no domain nobody.
pub(super) fn email_domains(text: &str) -> Result<Vec<String>, String> {
    match values::list(text) {
        list if list.is_empty() => Err("is set and names nothing; leave it out to allow all".to_owned()),
        list => values::domains(&list),
    }
}

/// Whether an address is meant for all of a domain. What has no `@` may be a name that a provider has in place of an address.
pub(super) fn is_address_pattern(address: &str) -> bool {
    address.contains('*') || address.starts_with('@')
}

/// Whether a group's name is meant for several.
pub(super) fn is_group_pattern(group: &str) -> bool {
    group.contains('*')
}

/// A file of e-mail addresses. An empty one would lock everybody out, and is a mistake at the start.
pub(super) fn email_file(path: &str) -> Result<EmailFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("names a file that cannot be read: {error}"))?;
    let file = EmailFile::new(path.into(), &text);
    if file.count() == 0 { Err("names a file without an e-mail address".to_owned()) } else { Ok(file) }
}
