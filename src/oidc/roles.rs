//! The roles of a user: the claim's values, by a mapping, and those that everybody has, as Coder does it.

use std::collections::BTreeMap;

/// Which claim holds the roles, and what becomes of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// `CODER_OIDC_USER_ROLE_FIELD`.
    pub field: String,
    /// `CODER_OIDC_USER_ROLE_MAPPING`: the roles that a value stands for. A value that it does not name is a role itself.
    pub mapping: BTreeMap<String, Vec<String>>,
    /// `CODER_OIDC_USER_ROLE_DEFAULT`: the roles of everybody.
    pub default: Vec<String>,
}

impl Roles {
    /// The roles of whoever has these values in the claim, each once and in order.
    pub(super) fn of(&self, claimed: &[String]) -> Vec<String> {
        let mut roles: Vec<String> = Vec::new();
        let mapped = claimed.iter().flat_map(|value| self.mapping.get(value).map_or(std::slice::from_ref(value), Vec::as_slice));
        for role in mapped.chain(&self.default) {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stands_for_its_roles_or_for_itself_and_everybody_has_the_defaults() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mapping = [("admin-group", &["template-admin", "user-admin"][..]), ("guests", &[])];
        let roles = Roles {
            field: "groups".to_owned(),
            mapping: mapping.into_iter().map(|(value, roles)| (value.to_owned(), list(roles))).collect(),
            default: list(&["member"]),
        };
        for (claimed, expected) in [
            (&[][..], &["member"][..]),
            (&["admin-group"], &["template-admin", "user-admin", "member"]),
            (&["guests", "auditor"], &["auditor", "member"]),
            (&["user-admin", "admin-group", "member"], &["user-admin", "template-admin", "member"]),
        ] {
            assert_eq!(roles.of(&list(claimed)), expected, "{claimed:?}");
        }
    }
}
