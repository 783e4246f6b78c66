//! The rule of a route: who may pass.

use http::Method;

use super::{
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
};
use crate::policy::{Policy, Rule};

pub(super) const RULE: Setting = setting(
    "rule",
    ValueType::Text,
    "",
    "`signed_in` (default, authentication required) or `public`: requests are not authenticated, and no identity headers are sent.",
);
pub(super) const GROUPS: Setting = setting("groups", ValueType::List, "", "Authorization: only members of one of these groups.");
pub(super) const EMAIL_DOMAINS: Setting =
    setting("email_domains", ValueType::List, "", "Authorization: only users with an e-mail address of one of these domains.");
pub(super) const METHODS: Setting = setting("methods", ValueType::List, "", "Only these methods; others get 405.");

impl RouteReader<'_> {
    /// Who may pass.
    pub(super) fn rule(&mut self) -> Rule {
        let signed_in = self.choice(&RULE, "signed_in", "public");
        let policy = Policy { email_domains: self.list(&EMAIL_DOMAINS), allowed_groups: self.list(&GROUPS) };
        if !signed_in && policy != Policy::default() {
            self.problem(&RULE, "is public, so that groups and email_domains would be asked of nobody");
        }
        let methods = self.list(&METHODS);
        let methods =
            methods.iter().map(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes())).collect::<Result<_, _>>();
        let Ok(methods) = methods else {
            self.problem(&METHODS, "must be methods like GET");
            return Rule::signed_in(policy);
        };
        let mut rule = if signed_in { Rule::signed_in(policy) } else { Rule::public() };
        rule.methods = methods;
        rule
    }
}
