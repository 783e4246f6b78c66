//! Authorization: who may access what. Pure: an identity goes in, a permit or a refusal comes out.

mod claim_rule;
mod cors;
mod cross_origin;
mod denied;
mod emails;
mod foreign_addresses;
mod method_override;
mod origin_pattern;
mod policies;
mod tokens;

use http::{HeaderMap, HeaderValue, Method};
use ipnet::IpNet;

use crate::{
    address::ClientAddress,
    identity::{ForwardedIdentity, Identity},
};

pub use claim_rule::{ClaimRule, ClaimTest, Pattern};
pub use cors::{Allowed, Cors, CorsSettings, EXPOSED_OF_REFUSALS, RequestOrigin, ResponseMaker, is_preflight};
pub use cross_origin::{CrossOrigin, logged_origin};
pub use denied::Denied;
pub use emails::{AllowedEmails, EmailFile};
pub use foreign_addresses::{ascii_domain, written_domain};
pub use method_override::overrides_method;
pub use origin_pattern::OriginPattern;
pub use policies::{Policies, ProviderPolicy};
pub use tokens::{AcceptedTokens, TokenDenied, TokenUse};

/// The rule for users (`CODER_OIDC_EMAIL_DOMAIN`, `CODER_OIDC_ALLOWED_EMAILS`, `CODER_OIDC_ALLOWED_GROUPS`). What is empty allows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The domains that e-mail addresses may have, in their one form ([`ascii_domain`]).
    pub email_domains: Vec<String>,
    /// Single addresses that are allowed besides.
    pub emails: AllowedEmails,
    /// The groups of which a user must be in at least one.
    pub allowed_groups: Vec<String>,
    /// What claims must be. All of them must pass.
    pub claims: Vec<ClaimRule>,
    /// The domains of other providers (`email_domains`), at which nobody may have an address. They are in their one form
    /// ([`ascii_domain`]).
    pub domains_of_others: Vec<String>,
}

/// A route's access rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    access: Access,
    /// The methods that are allowed; an empty list allows all.
    pub methods: Vec<Method>,
    /// The networks that clients may be in; an empty list allows all.
    pub networks: Vec<IpNet>,
    /// The names of the providers whose users may pass; an empty list is for all.
    pub providers: Vec<String>,
    /// The bearer tokens by which requests may be authenticated besides the session cookie; `None` takes none.
    pub tokens: Option<AcceptedTokens>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Access {
    /// Everybody. Requests are not authenticated, and the upstream gets no identity headers.
    Public,
    /// Everybody. The upstream is told who it is if somebody is signed in whom the policy for every user admits.
    Optional,
    /// Authenticated users whom this policy admits, in addition to the policy for every user.
    Authenticated(Policy),
}

/// Proof that the rule allows this request. Only [`Rule`] creates one, and nothing is forwarded without one.
#[derive(Debug)]
pub struct Permit {
    forwarded_identity: Option<ForwardedIdentity>,
    hides_authorization: bool,
}

impl Permit {
    /// The identity that is forwarded to the upstream; `None` if the request was not authenticated, or no app is told.
    pub fn forwarded_identity(&self) -> Option<&ForwardedIdentity> {
        self.forwarded_identity.as_ref()
    }

    /// The same for a request that was authenticated by a token which is not the app's to see.
    pub fn hiding_authorization(self) -> Self {
        Self { hides_authorization: true, ..self }
    }

    /// Whether the request's `Authorization` header is not for the app.
    pub fn hides_authorization(&self) -> bool {
        self.hides_authorization
    }

    fn anonymous() -> Self {
        Self { forwarded_identity: None, hides_authorization: false }
    }
}

impl Rule {
    /// Creates a rule that allows everybody.
    pub fn public() -> Self {
        Self::of(Access::Public)
    }

    /// Creates a rule that allows everybody, and recognises who is signed in.
    pub fn optional() -> Self {
        Self::of(Access::Optional)
    }

    /// Creates a rule for authenticated users whom `policy` admits, in addition to the policy for every user.
    pub fn signed_in(policy: Policy) -> Self {
        Self::of(Access::Authenticated(policy))
    }

    fn of(access: Access) -> Self {
        Self { access, methods: Vec::new(), networks: Vec::new(), providers: Vec::new(), tokens: None }
    }

    /// The policy for this route's users, if they must be signed in.
    pub fn policy(&self) -> Option<&Policy> {
        match &self.access {
            Access::Authenticated(policy) => Some(policy),
            Access::Public | Access::Optional => None,
        }
    }

    /// Whether it protects what `other` leaves open, as far as the two say. Where a login is needed, no rule that needs none does.
    pub fn asks_more_than(&self, other: &Self) -> bool {
        let asks_more_of_users = match (self.policy(), other.policy()) {
            (None, Some(_)) => return false,
            (None, None) => false,
            (Some(_), None) => true,
            (Some(own), Some(other)) => *own != Policy::default() && own != other,
        };
        asks_more_of_users
            || (!self.methods.is_empty() && self.methods != other.methods)
            || (!self.networks.is_empty() && self.networks != other.networks)
            || (!self.providers.is_empty() && self.providers != other.providers)
    }

    /// Checks what does not depend on who it is: the client's address and the method. A route that does not allow all methods also
    /// refuses headers that override the method.
    ///
    /// # Errors
    /// [`Denied::Network`], [`Denied::Method`].
    pub fn takes(&self, client: ClientAddress, method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
        self.takes_from(client)?;
        if self.methods.is_empty() {
            return Ok(());
        }
        if self.methods.contains(method) && !overrides_method(headers) { Ok(()) } else { Err(Denied::Method) }
    }

    /// The methods that it takes, as `Allow` has them (RFC 9110 section 10.2.1); `None` if that is any.
    pub fn allowed_methods(&self) -> Option<HeaderValue> {
        let methods = self.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        HeaderValue::try_from(methods).ok().filter(|methods| !methods.is_empty())
    }

    fn takes_from(&self, client: ClientAddress) -> Result<(), Denied> {
        if self.networks.is_empty() || client.is_in(&self.networks) { Ok(()) } else { Err(Denied::Network) }
    }

    /// Whether users of the provider with this name may pass.
    pub fn takes_provider(&self, name: &str) -> bool {
        self.providers.is_empty() || self.providers.iter().any(|own| own == name)
    }

    /// Permits a request if the route needs no authentication.
    pub fn permit_anybody(&self) -> Option<Permit> {
        matches!(self.access, Access::Public).then(Permit::anonymous)
    }

    /// Permits a request of nobody who is known, if the route recognises who is signed in and needs nobody to be.
    pub fn permit_anonymous(&self) -> Option<Permit> {
        self.is_optional().then(Permit::anonymous)
    }

    /// Whether the route recognises who is signed in and needs nobody to be.
    pub fn is_optional(&self) -> bool {
        matches!(self.access, Access::Optional)
    }

    /// Permits a preflight that asks about `method`, without an identity.
    ///
    /// # Errors
    /// [`Denied::Network`], [`Denied::Method`].
    pub fn permit_preflight(&self, client: ClientAddress, method: &Method, headers: &HeaderMap) -> Result<Permit, Denied> {
        self.takes(client, method, headers)?;
        Ok(Permit::anonymous())
    }

    /// Permits a preflight that a CORS policy answers for, without an identity.
    ///
    /// # Errors
    /// [`Denied::Network`].
    pub fn permit_preflight_from(&self, client: ClientAddress) -> Result<Permit, Denied> {
        self.takes_from(client)?;
        Ok(Permit::anonymous())
    }

    /// Permits a request of `identity` if both the policy for every user (`everybody`) and the route's admit it. Who is no user of the
    /// provider has no such policy.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn permit(
        &self,
        everybody: Option<&Policy>,
        identity: &Identity,
        forwarded_identity: impl FnOnce() -> Option<ForwardedIdentity>,
    ) -> Result<Permit, Denied> {
        if let Some(everybody) = everybody {
            everybody.admit(identity)?;
        }
        if let Access::Authenticated(policy) = &self.access {
            policy.admit_to_route(identity)?;
        }
        Ok(Permit { forwarded_identity: forwarded_identity(), hides_authorization: false })
    }
}

impl Policy {
    /// Checks `identity` by the policy for every user, at login and for every request, with the claims that the last token refresh
    /// brought. The allowed groups are values of the claim, as in Coder.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, identity: &Identity) -> Result<(), Denied> {
        self.check(identity, &identity.groups)
    }

    /// Checks `identity` by a route's policy, whose groups are names.
    fn admit_to_route(&self, identity: &Identity) -> Result<(), Denied> {
        self.check(identity, identity.group_names())
    }

    fn check(&self, identity: &Identity, groups: &[String]) -> Result<(), Denied> {
        if foreign_addresses::is_known_by_address_at(&self.domains_of_others, identity) {
            return Err(Denied::ForeignAddress);
        }
        if identity.unverified_email.is_some() {
            return Err(Denied::EmailNotVerified);
        }
        let asks_for_email = !self.email_domains.is_empty() || self.emails.is_given();
        if asks_for_email && !identity.email.as_deref().is_some_and(|email| self.is_allowed_email(email)) {
            return Err(Denied::EmailDomain);
        }
        if !self.allowed_groups.is_empty() && !groups.iter().any(|group| self.allowed_groups.contains(group)) {
            return Err(if identity.groups_unknown { Denied::GroupsUnknown } else { Denied::Group });
        }
        if self.claims.iter().all(|rule| rule.admits(identity)) { Ok(()) } else { Err(Denied::Claim) }
    }

    /// Whether an address is allowed, or the part after its only `@` is an allowed domain. That is compared whole, or
    /// `evil-example.com` would match.
    fn is_allowed_email(&self, email: &str) -> bool {
        if self.emails.allows(email) {
            return true;
        }
        match email.split_once('@') {
            Some((user, domain)) if !user.is_empty() => {
                written_domain(domain).is_some_and(|domain| self.email_domains.contains(&domain))
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_domain_is_compared_whole() {
        let policy = Policy { email_domains: vec!["example.com".into()], ..Policy::default() };
        let admits = |email: &str| policy.admit(&Identity { email: Some(email.into()), ..Identity::default() }).is_ok();
        for allowed in ["a@example.com", "A@EXAMPLE.COM"] {
            assert!(admits(allowed), "{allowed}");
        }
        for denied in [
            "a@evil-example.com",
            "a@sub.example.com",
            "a@example.com.evil",
            "a@evil.com@example.com",
            "a@exam%70le.com",
            "a@exam\u{ad}ple.com",
            "a@example.com\u{200b}",
            "a@example\u{3002}com",
            "a@\u{ff45}xample.com",
            "a@ example.com",
            "a@example.com ",
            "example.com",
            "@example.com",
            "",
        ] {
            assert!(!admits(denied), "{denied}");
        }
        let international = Policy { email_domains: vec!["xn--bcher-kva.example".into()], ..Policy::default() };
        for email in ["a@bücher.example", "a@BÜCHER.example", "a@xn--bcher-kva.example", "a@XN--BCHER-KVA.example"] {
            let identity = Identity { email: Some(email.into()), ..Identity::default() };
            assert_eq!(international.admit(&identity), Ok(()), "{email}");
        }
        assert_eq!(policy.admit(&Identity::default()), Err(Denied::EmailDomain));
    }

    #[test]
    fn single_addresses_are_allowed_besides_domains() {
        let policy = Policy {
            email_domains: vec!["example.com".into()],
            emails: AllowedEmails::new(&["bob@other.example".into()], None),
            ..Policy::default()
        };
        for (email, result) in [
            (Some("ann@example.com"), Ok(())),
            (Some("Bob@other.example"), Ok(())),
            (Some("eve@other.example"), Err(Denied::EmailDomain)),
            (None, Err(Denied::EmailDomain)),
        ] {
            let identity = Identity { email: email.map(str::to_owned), ..Identity::default() };
            assert_eq!(policy.admit(&identity), result, "{email:?}");
        }
        let unverified = Identity { unverified_email: Some("bob@other.example".into()), ..Identity::default() };
        assert_eq!(policy.admit(&unverified), Err(Denied::EmailNotVerified));
    }

    #[test]
    fn a_network_is_asked_of_the_client_s_address_in_either_form() {
        let mut rule = Rule::public();
        let takes = |rule: &Rule, client: &str| rule.takes(ClientAddress::read(client), &Method::GET, &HeaderMap::new());
        assert_eq!(takes(&rule, "203.0.113.9"), Ok(()), "none is all");
        rule.networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for (client, result) in [
            ("10.1.2.3", Ok(())),
            ("::ffff:10.1.2.3", Ok(())),
            ("2001:db8::1", Ok(())),
            ("11.0.0.1", Err(Denied::Network)),
            ("::ffff:11.0.0.1", Err(Denied::Network)),
            ("2001:db9::1", Err(Denied::Network)),
            ("::1", Err(Denied::Network)),
        ] {
            assert_eq!(takes(&rule, client), result, "{client}");
        }
        let preflight = rule.permit_preflight(ClientAddress::read("11.0.0.1"), &Method::GET, &HeaderMap::new());
        assert_eq!(preflight.err(), Some(Denied::Network), "of a preflight too");
    }

    #[test]
    fn an_address_that_nobody_vouches_for_is_refused_by_a_rule_of_its_own() {
        let identity = Identity { unverified_email: Some("a@example.com".into()), ..Identity::default() };
        for email_domains in [vec![], vec!["example.com".into()], vec!["other.example".into()]] {
            let policy = Policy { email_domains, ..Policy::default() };
            assert_eq!(policy.admit(&identity), Err(Denied::EmailNotVerified));
        }
    }

    #[test]
    fn one_allowed_group_is_enough_and_none_is_not() {
        let policy = Policy { allowed_groups: vec!["admins".into(), "ops".into()], ..Policy::default() };
        let admits = |groups: &[&str]| {
            policy
                .admit(&Identity { groups: groups.iter().map(|group| (*group).to_owned()).collect(), ..Identity::default() })
                .is_ok()
        };
        assert!(admits(&["staff", "ops"]));
        assert!(!admits(&["staff"]) && !admits(&[]) && !admits(&["Ops"]) && !admits(&["admins,ops"]));
        assert!(Policy::default().admit(&Identity::default()).is_ok());
    }

    #[test]
    fn groups_that_the_provider_does_not_tell_are_refused_by_a_rule_of_their_own_where_some_are_needed() {
        let identity = Identity { groups_unknown: true, ..Identity::default() };
        let policy = Policy { allowed_groups: vec!["admins".into()], ..Policy::default() };
        assert_eq!(policy.admit(&identity), Err(Denied::GroupsUnknown));
        assert_eq!(policy.admit_to_route(&identity), Err(Denied::GroupsUnknown));
        assert_eq!(Policy::default().admit(&identity), Ok(()));
    }

    #[test]
    fn everybody_s_groups_are_the_claim_s_and_a_route_s_are_names() {
        let identity = Identity { groups: vec!["4f1c".into()], group_names: Some(vec!["admins".into()]), ..Identity::default() };
        for (group, for_everybody, for_route) in [("4f1c", true, false), ("admins", false, true)] {
            let policy = Policy { allowed_groups: vec![group.into()], ..Policy::default() };
            assert_eq!(policy.admit(&identity).is_ok(), for_everybody, "{group}");
            assert_eq!(policy.admit_to_route(&identity).is_ok(), for_route, "{group}");
        }
    }
}
