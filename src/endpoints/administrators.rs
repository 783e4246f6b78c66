//! Who administers, and where.

use crate::{
    administration::{Administration, Settings},
    policy::{AcceptedTokens, Policy, Rule},
    session::PersonalToken,
    tls::CertificateFile,
};

/// Who administers, and what they do it with.
#[derive(Debug)]
pub struct Administrators {
    pub(super) administration: Administration,
    /// The rule for pages.
    pub(super) rule: Rule,
    /// The rule for the API, which takes their tokens.
    pub(super) api_rule: Rule,
    /// The certificates besides those that are served.
    pub(super) certificate_files: Vec<CertificateFile>,
}

impl Administrators {
    /// As the settings have it.
    pub fn new(settings: &Settings, administration: Administration, certificate_files: Vec<CertificateFile>) -> Self {
        let policy = Policy { allowed_groups: settings.groups.clone(), ..Policy::default() };
        let mut rule = Rule::signed_in(policy);
        rule.providers.clone_from(&settings.providers);
        let tokens = AcceptedTokens {
            route: PersonalToken::ADMINISTRATION.to_owned(),
            of_provider: false,
            providers: settings.providers.clone(),
            issuers: Vec::new(),
            personal: true,
            audiences: Vec::new(),
            clients: Vec::new(),
            scopes: Vec::new(),
            passes_authorization: false,
        };
        let mut api_rule = rule.clone();
        api_rule.tokens = Some(tokens);
        Self { administration, rule, api_rule, certificate_files }
    }
}

/// The path of a request to the administration, below its own; `None`: it is to something else.
pub(super) fn below(path: &str) -> Option<&str> {
    path.strip_prefix("/admin").filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_administration_s_only_as_a_whole() {
        for (path, rest) in
            [("/admin", Some("")), ("/admin/why", Some("/why")), ("/administer", None), ("/x", None), ("/Admin", None)]
        {
            assert_eq!(below(path), rest, "{path}");
        }
    }
}
