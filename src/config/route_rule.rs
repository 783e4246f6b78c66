//! The rule of a route: who may pass.

use http::Method;
use ipnet::IpNet;

use super::{
    policy::{email_domains, email_file},
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
    values,
};
use crate::policy::{AllowedEmails, ClaimRule, ClaimTest, Pattern, Policy, Rule};

pub(super) const RULE: Setting = setting(
    "rule",
    ValueType::Text,
    "",
    "`signed_in` (default, authentication required); `optional`: everybody passes, and the app is told who it is if somebody is signed in; or `public`: requests are not authenticated, and no identity headers are sent.",
);
pub(super) const GROUPS: Setting = setting("groups", ValueType::List, "", "Authorization: only members of one of these groups.");
pub(super) const EMAIL_DOMAINS: Setting =
    setting("email_domains", ValueType::List, "", "Authorization: only users with an e-mail address of one of these domains.");
pub(super) const METHODS: Setting = setting("methods", ValueType::List, "", "Only these methods; others get 405.");

pub(super) const EMAILS: Setting = setting(
    "emails",
    ValueType::List,
    "",
    "Authorization: only users with one of these e-mail addresses, besides those of `email_domains`.",
);
pub(super) const EMAILS_FILE: Setting = setting(
    "emails_file",
    ValueType::Text,
    "",
    "A file of such addresses, one a line, which Evergate reads again when it changes.",
);
pub(super) const CLAIMS: Setting = setting(
    "claims",
    ValueType::MapOfLists,
    "",
    "Authorization: a table of claims, each with the values of which it must have one, as in `{ department = [\"eng\", \"ops\"] }`. A claim is a name or a path (`realm_access.roles`); of a list, one member is enough. A user who lacks the claim does not pass.",
);
pub(super) const CLAIMS_MATCH: Setting = setting(
    "claims_match",
    ValueType::Map,
    "",
    "Authorization: a table of claims, each with a regular expression (RE2 syntax, without `\\Q`, and with `\\{` and, in a class, `\\[`, `\\&`, `\\-` and `\\~` for those characters) that must match the whole claim, as in `{ costcenter = \"4[0-9]+\" }`.",
);
pub(super) const CLAIMS_EXIST: Setting =
    setting("claims_exist", ValueType::List, "", "Authorization: claims that a user must have, whatever they say.");
pub(super) const NETWORKS: Setting = setting(
    "networks",
    ValueType::List,
    "",
    "Only clients in these networks (CIDR), as in `[\"10.0.0.0/8\"]`; others get 403, on a public route too. The client's address is what trusted proxies say (`CODER_PROXY_TRUSTED_ORIGINS`).",
);

pub(super) const PROVIDERS: Setting = setting(
    "providers",
    ValueType::List,
    "",
    "Authorization: only users of these providers, by the names of `[[provider]]` tables or `default`. Whoever is not signed in is sent to them; users of others get 403 with a link to sign in there. Default: all.",
);

/// How a route treats who sends a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    SignedIn,
    Optional,
    Public,
}

impl RouteReader<'_> {
    /// Who may pass.
    pub(super) fn rule(&mut self, providers: &[String]) -> Rule {
        let who = self.parsed(&RULE, |text| match text {
            "signed_in" => Ok(Who::SignedIn),
            "optional" => Ok(Who::Optional),
            "public" => Ok(Who::Public),
            _ => Err("must be signed_in, optional or public".to_owned()),
        });
        let who = who.unwrap_or(Who::SignedIn);
        let policy = self.policy();
        if who != Who::SignedIn && policy != Policy::default() {
            self.problem(
                &RULE,
                "lets everybody pass, so that rules about groups, e-mail addresses and claims would be asked of nobody",
            );
        }
        let mut rule = match who {
            Who::SignedIn => Rule::signed_in(policy),
            Who::Optional => Rule::optional(),
            Who::Public => Rule::public(),
        };
        rule.providers = self.providers(providers);
        if who != Who::SignedIn && !rule.providers.is_empty() {
            self.problem(&PROVIDERS, "is about who is signed in, and the route's rule lets everybody pass");
        }
        rule.methods = self.methods();
        rule.networks = self.networks();
        rule
    }

    fn providers(&mut self, known: &[String]) -> Vec<String> {
        let names = self.list(&PROVIDERS);
        if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
            self.problem(&PROVIDERS, format!("names {unknown}, and the providers are {}", known.join(", ")));
        }
        names
    }

    fn policy(&mut self) -> Policy {
        let file = self.parsed(&EMAILS_FILE, email_file);
        Policy {
            email_domains: self.parsed(&EMAIL_DOMAINS, email_domains).unwrap_or_default(),
            emails: AllowedEmails::new(&self.list(&EMAILS), file),
            allowed_groups: self.list(&GROUPS),
            claims: self.claim_rules(),
            domains_of_others: Vec::new(),
        }
    }

    fn claim_rules(&mut self) -> Vec<ClaimRule> {
        let one_of = self.parsed(&CLAIMS, |text| {
            let rule = |(path, values): (String, Vec<String>)| {
                let is_empty = values.is_empty() || path.is_empty();
                if is_empty { Err("has a claim without a value".to_owned()) } else { Ok((path, ClaimTest::OneOf(values))) }
            };
            values::map_of_lists(text)?.into_iter().map(rule).collect::<Result<Vec<_>, String>>().and_then(names_something)
        });
        let matches = self.parsed(&CLAIMS_MATCH, |text| {
            let rule = |(path, pattern): (String, String)| match Pattern::new(&pattern) {
                Ok(pattern) => Ok((path, ClaimTest::Matches(pattern))),
                Err(error) => Err(format!("has for {path} what {error}")),
            };
            values::map(text)?.into_iter().map(rule).collect::<Result<Vec<_>, String>>().and_then(names_something)
        });
        let exist = self.list(&CLAIMS_EXIST).into_iter().map(|path| (path, ClaimTest::Exists));
        let all = one_of.into_iter().chain(matches).flatten().chain(exist);
        all.map(|(path, test)| ClaimRule { path, test }).collect()
    }

    fn methods(&mut self) -> Vec<Method> {
        let names = self.list(&METHODS);
        let methods = names.iter().map(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes())).collect::<Result<_, _>>();
        methods.unwrap_or_else(|_| {
            self.problem(&METHODS, "must be methods like GET");
            Vec::new()
        })
    }

    fn networks(&mut self) -> Vec<IpNet> {
        let networks = self.list(&NETWORKS).iter().map(|text| values::network(text)).collect::<Option<Vec<_>>>();
        networks.unwrap_or_else(|| {
            self.problem(&NETWORKS, "must be networks like 10.0.0.0/8 or fd00::/8");
            Vec::new()
        })
    }
}

/// A rule that names no claim would let everybody in.
fn names_something<T>(rules: Vec<T>) -> Result<Vec<T>, String> {
    if rules.is_empty() { Err("is set and names nothing".to_owned()) } else { Ok(rules) }
}
