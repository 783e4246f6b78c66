//! Whose tokens and responses are accepted: the issuer's that is configured, each tenant's of an issuer for many, or anybody's.

use serde_json::Value;

use super::{Claims, Preset, Settings};
use crate::jose::JsonObject;

/// What stands for the tenant in the metadata of Microsoft Entra ID's `common`, `organizations` and `consumers`.
const TENANT: &str = "{tenantid}";
/// What stands for it in the issuer that is configured.
const FOR_MANY: [&str; 3] = ["common", "organizations", "consumers"];
/// The claim that names the tenant.
const TENANT_CLAIM: &str = "tid";

/// Google, and how its ID tokens may name it (Google's OpenID Connect documentation, "iss").
const GOOGLE: &str = "https://accounts.google.com";
const GOOGLE_IN_TOKENS: &str = "accounts.google.com";

/// The issuer of tokens and responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedIssuer {
    /// This one.
    Exactly(String),
    /// One for each tenant, by this pattern: the tenant is the token's `tid`, and a key may sign for one tenant alone.
    OfTenant(String),
    /// Any (`CODER_DANGEROUS_OIDC_SKIP_ISSUER_CHECKS`).
    Unchecked,
}

/// How an `iss` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IssuerMatch {
    /// It is the issuer.
    Same,
    /// It is missing, or spelled otherwise, which does not prove another party.
    Unclear,
    /// It is another issuer.
    Other,
}

impl ExpectedIssuer {
    /// The issuer of a provider whose metadata say `found`, which must be what is configured (OpenID Connect Discovery section
    /// 4.3). The metadata for many tenants of Microsoft Entra ID name none of them.
    ///
    /// # Errors
    /// It is another: the name that is found, made safe for the log and a page.
    pub(super) fn of_metadata(settings: &Settings, found: &str) -> Result<Self, String> {
        if settings.skip_issuer_checks {
            return Ok(Self::Unchecked);
        }
        if found == settings.issuer {
            return Ok(Self::Exactly(found.to_owned()));
        }
        let for_many = FOR_MANY.iter().any(|many| found.replace(TENANT, many) == settings.issuer);
        if for_many && found.matches(TENANT).count() == 1 {
            return Ok(Self::OfTenant(found.to_owned()));
        }
        Err(found.chars().filter(|character| !character.is_control()).take(200).collect())
    }

    /// The tenant that an ID token's claims name, of an issuer for many.
    pub(super) fn tenant<'a>(&self, claims: &'a Claims) -> Option<&'a str> {
        claims.get(TENANT_CLAIM).and_then(Value::as_str).filter(|tenant| self.is_of_tenant() && is_tenant(tenant))
    }

    /// Compares a token's `iss`.
    pub(super) fn compare(&self, token: &JsonObject) -> IssuerMatch {
        let text = |name: &str| token.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let expected = match self {
            Self::Unchecked => return IssuerMatch::Same,
            Self::Exactly(issuer) => issuer.clone(),
            Self::OfTenant(pattern) => match text(TENANT_CLAIM).filter(|tenant| is_tenant(tenant)) {
                Some(tenant) => pattern.replace(TENANT, tenant),
                None => return IssuerMatch::Unclear,
            },
        };
        match text("iss") {
            Some(issuer) if issuer == expected => IssuerMatch::Same,
            Some(GOOGLE_IN_TOKENS) if expected == GOOGLE => IssuerMatch::Same,
            Some(issuer) if !differs_only_in_spelling(issuer, &expected) => IssuerMatch::Other,
            Some(_) | None => IssuerMatch::Unclear,
        }
    }

    /// Whether a token's `iss` is this issuer.
    pub(super) fn is_of(&self, token: &JsonObject) -> bool {
        self.compare(token) == IssuerMatch::Same
    }

    /// Whether it matters who the issuer is.
    pub(super) fn is_checked(&self) -> bool {
        !matches!(self, Self::Unchecked)
    }

    /// Whether `iss` of an authorization response is this issuer (RFC 9207 section 2.4).
    pub(super) fn is_of_response(&self, iss: &str) -> bool {
        match self {
            Self::Unchecked => true,
            Self::Exactly(issuer) => iss == issuer,
            Self::OfTenant(pattern) => pattern.split_once(TENANT).is_some_and(|(start, end)| {
                iss.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(is_tenant)
            }),
        }
    }

    /// Whether keys name the issuer whose tokens they verify.
    pub(super) fn is_of_tenant(&self) -> bool {
        matches!(self, Self::OfTenant(_))
    }
}

impl Settings {
    /// Whether the issuer stands for many tenants, whose administrators are many.
    pub fn serves_many_tenants(&self) -> bool {
        let preset = self.preset.unwrap_or_else(|| Preset::of_issuer(&self.issuer));
        let tenant = self.issuer.split('/').nth(3).unwrap_or_default();
        preset.tells_groups_by_graph && FOR_MANY.contains(&tenant)
    }
}

/// Whether a key that names `issuer` may sign this token: it is the token's, with its tenant where the key is for all of them.
pub(super) fn is_key_of(issuer: &str, token: &JsonObject) -> bool {
    let text = |name: &str| token.members.get(name).and_then(Value::as_str);
    let Some(tenant) = text(TENANT_CLAIM).filter(|tenant| is_tenant(tenant)) else { return false };
    text("iss") == Some(&issuer.replace(TENANT, tenant))
}

/// A tenant's identifier is a UUID.
fn is_tenant(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Whether two identifiers of an issuer of events are the same but for a slash at the end.
pub(super) fn is_same_issuer(one: &str, other: &str) -> bool {
    let plain = |name| str::strip_suffix(name, "/").unwrap_or(name);
    plain(one) == plain(other)
}

/// Whether two identifiers differ at most in case, scheme, the scheme's default port or a slash at the end. Such a token is
/// refused, but it does not prove another party.
pub(super) fn differs_only_in_spelling(found: &str, expected: &str) -> bool {
    let plain = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        let name = name.split_once("://").map_or(name.as_str(), |(_, rest)| rest).trim_end_matches('/');
        let (host, path) = name.split_once('/').unwrap_or((name, ""));
        let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host);
        format!("{host}/{path}")
    };
    plain(found) == plain(expected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TENANTS: [&str; 2] = ["11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"];

    fn expected(configured: &str, found: &str) -> Option<ExpectedIssuer> {
        ExpectedIssuer::of_metadata(&Settings::of_test(configured), found).ok()
    }

    fn token(iss: &str, tid: &str) -> JsonObject {
        JsonObject::parse(json!({"iss": iss, "tid": tid}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_issuer_for_many_tenants_is_that_of_the_tenant_that_the_token_names() {
        let pattern = "https://login.microsoftonline.com/{tenantid}/v2.0";
        for many in ["common", "organizations", "consumers"] {
            assert!(expected(&pattern.replace(TENANT, many), pattern).unwrap().is_of_tenant(), "{many}");
        }
        for other in ["https://login.microsoftonline.com/common/v1.0", "https://evil.example/common/v2.0", "https://id.example"] {
            assert_eq!(expected(other, pattern), None, "{other}");
        }
        let issuer = expected(&pattern.replace(TENANT, "common"), pattern).unwrap();
        let of = |tenant: &str| pattern.replace(TENANT, tenant);
        let [one, other] = TENANTS;
        assert_eq!(issuer.compare(&token(&of(one), one)), IssuerMatch::Same);
        assert_eq!(issuer.compare(&token(&of(one), other)), IssuerMatch::Other);
        assert_eq!(issuer.compare(&token(&of("common"), "common")), IssuerMatch::Unclear, "no tenant has that name");
        assert_eq!(issuer.compare(&token(pattern, TENANT)), IssuerMatch::Unclear);
        assert!(issuer.is_of_response(&of(one)) && !issuer.is_of_response(&of("x/evil")) && !issuer.is_of_response(pattern));
        assert!(is_key_of(pattern, &token(&of(one), one)) && is_key_of(&of(one), &token(&of(one), one)));
        assert!(!is_key_of(&of(other), &token(&of(one), one)), "a tenant's own key signs for no other");
    }

    #[test]
    fn google_is_known_without_its_scheme_and_nobody_else_is() {
        let google = expected(GOOGLE, GOOGLE).unwrap();
        assert_eq!(google.compare(&token(GOOGLE_IN_TOKENS, "")), IssuerMatch::Same);
        assert_eq!(google.compare(&token("http://accounts.google.com", "")), IssuerMatch::Unclear);
        assert!(!google.is_of_response(GOOGLE_IN_TOKENS), "a response is not a token");
        let other = expected("https://id.example", "https://id.example").unwrap();
        assert_eq!(other.compare(&token("id.example", "")), IssuerMatch::Unclear);
    }

    #[test]
    fn an_issuer_for_many_tenants_is_known_by_its_path() {
        let serves_many = |issuer: &str| Settings::of_test(issuer).serves_many_tenants();
        for many in ["common/v2.0", "organizations/v2.0", "consumers/v2.0"] {
            assert!(serves_many(&format!("https://login.microsoftonline.com/{many}")), "{many}");
        }
        assert!(!serves_many(&format!("https://login.microsoftonline.com/{}/v2.0", TENANTS[0])));
        assert!(!serves_many("https://id.example/common/v2.0"));
    }

    #[test]
    fn the_tenant_of_a_token_is_read_where_the_issuer_is_for_many() {
        let pattern = "https://login.microsoftonline.com/{tenantid}/v2.0";
        let many = expected(&pattern.replace(TENANT, "common"), pattern).unwrap();
        let one = expected("https://id.example", "https://id.example").unwrap();
        let of = |issuer: &ExpectedIssuer, tid: &str| issuer.tenant(&token("", tid).members).map(str::to_owned);
        assert_eq!(of(&many, TENANTS[0]).as_deref(), Some(TENANTS[0]));
        assert_eq!((of(&many, "common"), of(&one, TENANTS[0])), (None, None));
    }

    #[test]
    fn an_issuer_is_compared_to_the_letter_unless_the_administrator_says_otherwise() {
        assert_eq!(expected("https://id.example", "https://id.example/"), None);
        let exact = expected("https://id.example", "https://id.example").unwrap();
        for (iss, matches) in [
            ("https://id.example", IssuerMatch::Same),
            ("https://id.example/", IssuerMatch::Unclear),
            ("", IssuerMatch::Unclear),
            ("https://evil.example", IssuerMatch::Other),
        ] {
            assert_eq!(exact.compare(&token(iss, "")), matches, "{iss}");
        }
        let lax = Settings { skip_issuer_checks: true, ..Settings::of_test("https://id.example") };
        let lax = ExpectedIssuer::of_metadata(&lax, "https://other.example").unwrap();
        assert_eq!(lax.compare(&token("https://evil.example", "")), IssuerMatch::Same);
        assert!(lax.is_of_response("https://evil.example"));
    }
}
