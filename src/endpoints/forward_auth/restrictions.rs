//! What an ingress demands of a user besides the rules, in the query of its question, as oauth2-proxy has it, or in what Envoy's
//! configuration says of a route.

use std::borrow::Cow;

use url::form_urlencoded;

use crate::{
    identity::Identity,
    policy::{Denied, ascii_domain, written_domain},
};

/// Lists of which each that is given must name the user. One that is given and names nobody admits nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// `allowed_groups`: names of groups.
    groups: Option<Vec<String>>,
    /// `allowed_emails`: whole addresses.
    emails: Option<Vec<String>>,
    /// `allowed_email_domains`: domains, or `*.example.com` and `.example.com` for those below one; in ASCII (IDNA) where they are some.
    email_domains: Option<Vec<String>>,
}

/// A parameter that looks like a restriction and is none would be one that admits everybody.
const UNKNOWN: &str =
    "a parameter that begins with \"allow\" is none of allowed_groups, allowed_emails and allowed_email_domains, in lower case";

impl Restrictions {
    /// Reads a query. Lists are separated by commas, and a parameter that comes again adds to its list. `is_clients`: the ingress has passed
    /// on the query of the client, whose parameters are the app's, unless the client has written the ingress's own query.
    ///
    /// # Errors
    /// A parameter is not known and looks like a restriction.
    pub fn of_query(query: &str, is_clients: bool) -> Result<Self, &'static str> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self::of(pairs.filter(|(name, _)| !is_clients || !looks_like_restriction(name) || is_nearly_known(name)))
    }

    /// Reads the pairs that Envoy's configuration says of a route (`context_extensions`).
    ///
    /// # Errors
    /// As [`Restrictions::of_query`].
    pub fn of_context(context: &[(&[u8], &[u8])]) -> Result<Self, &'static str> {
        Self::of(context.iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value))))
    }

    fn of<'a>(pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Result<Self, &'static str> {
        let mut restrictions = Self::default();
        for (name, value) in pairs {
            let list = match &*name {
                "allowed_groups" => &mut restrictions.groups,
                "allowed_emails" => &mut restrictions.emails,
                "allowed_email_domains" => &mut restrictions.email_domains,
                other if looks_like_restriction(other) => return Err(UNKNOWN),
                _ => continue,
            };
            let members = value.split(',').map(str::trim).filter(|member| !member.is_empty());
            let members =
                members.map(|member| if &*name == "allowed_email_domains" { in_ascii(member) } else { member.to_owned() });
            list.get_or_insert_default().extend(members);
        }
        Ok(restrictions)
    }

    /// Whether anything is demanded.
    pub fn are_given(&self) -> bool {
        let Self { groups, emails, email_domains } = self;
        groups.is_some() || emails.is_some() || email_domains.is_some()
    }

    /// Checks a user.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn admit(&self, identity: &Identity) -> Result<(), Denied> {
        let names_a_group = |groups: &Vec<String>| identity.group_names().iter().any(|group| groups.contains(group));
        if !self.groups.as_ref().is_none_or(names_a_group) {
            return Err(Denied::Group);
        }
        let email = identity.email.as_deref().unwrap_or_default();
        if !self.emails.as_ref().is_none_or(|emails| emails.iter().any(|allowed| allowed.eq_ignore_ascii_case(email))) {
            return Err(Denied::EmailDomain);
        }
        let domain = email.split_once('@').filter(|(user, _)| !user.is_empty());
        let domain = domain.and_then(|(_, domain)| written_domain(domain)).unwrap_or_default();
        let is_allowed = |domains: &Vec<String>| domains.iter().any(|allowed| covers(allowed, &domain));
        if self.email_domains.as_ref().is_none_or(is_allowed) { Ok(()) } else { Err(Denied::EmailDomain) }
    }
}

fn looks_like_restriction(name: &str) -> bool {
    let start = name.trim().get(.."allow".len());
    start.is_some_and(|start| start.eq_ignore_ascii_case("allow"))
}

/// Whether a name is of a known restriction but for case, separators and grammatical number.
fn is_nearly_known(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect();
    let what = letters.strip_prefix("allowed").or_else(|| letters.strip_prefix("allow"));
    what.is_some_and(|what| matches!(what.trim_end_matches('s'), "group" | "email" | "domain" | "emaildomain"))
}

/// A domain of the list in its one form, with the star or the dot before it.
fn in_ascii(allowed: &str) -> String {
    let below = allowed.strip_prefix('*').unwrap_or(allowed);
    let domain = below.strip_prefix('.').unwrap_or(below);
    match (ascii_domain(domain), allowed.strip_suffix(domain)) {
        (Some(domain), Some(before)) => format!("{before}{domain}"),
        (None, _) | (_, None) => allowed.to_owned(),
    }
}

/// Whether a domain is the allowed one, or one of those below it that it stands for.
fn covers(allowed: &str, domain: &str) -> bool {
    let below = allowed.strip_prefix('*').unwrap_or(allowed);
    if !below.starts_with('.') {
        return !domain.is_empty() && allowed.eq_ignore_ascii_case(domain);
    }
    let Some(at) = domain.len().checked_sub(below.len()).filter(|at| *at > 0) else { return false };
    domain.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(query: &str, email: &str, groups: &[&str]) -> bool {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let email = Some(email.to_owned()).filter(|email| !email.is_empty());
        Restrictions::of_query(query, false).unwrap().admit(&Identity { email, groups, ..Identity::default() }).is_ok()
    }

    #[test]
    fn a_user_must_be_in_one_of_each_list() {
        let ann = |query: &str| admits(query, "ann@example.com", &["b", "c"]);
        for query in [
            "",
            "x=y",
            "allowed_groups=a,b",
            "allowed_groups=a&allowed_groups=b",
            "allowed_groups=%20b%20,",
            "allowed_emails=bob@example.com,Ann@example.com",
            "allowed_email_domains=other.test,EXAMPLE.com",
            "allowed_groups=b&allowed_email_domains=example.com",
        ] {
            assert!(ann(query), "{query}");
        }
        for query in [
            "allowed_groups=a",
            "allowed_groups=B",
            "allowed_groups=",
            "allowed_groups=,",
            "allowed_emails=",
            "allowed_emails=example.com",
            "allowed_email_domains=",
            "allowed_email_domains=*",
            "allowed_groups=b&allowed_emails=bob@example.com",
            "allowed_groups=a&allowed_email_domains=example.com",
        ] {
            assert!(!ann(query), "{query}");
        }
        let of_route: [(&[u8], &[u8]); 2] = [(b"allowed_groups", b"b, c"), (b"other", b"x")];
        assert_eq!(Restrictions::of_context(&of_route), Restrictions::of_query("allowed_groups=b,c", false));
        assert!(!admits("allowed_emails=,", "", &[]) && !admits("allowed_email_domains=,", "", &[]));
    }

    #[test]
    fn a_restriction_by_a_wrong_name_is_an_error_and_what_is_none_is_not() {
        for query in [
            "allowed_group=a",
            "Allowed_Groups=a",
            "ALLOWED_GROUPS",
            "allowed-groups=a",
            "allow_groups=a",
            "x&%20allowed_groups=a",
        ] {
            assert_eq!(Restrictions::of_query(query, false), Err(UNKNOWN), "{query}");
        }
        assert_eq!(Restrictions::of_context(&[(b"allowedGroups", b"a")]), Err(UNKNOWN));
        for (query, are_given) in
            [("", false), ("rd=/x&groups=a&all", false), ("allowed_emails=", true), ("allowed_groups=a", true)]
        {
            assert_eq!(Restrictions::of_query(query, false).map(|read| read.are_given()), Ok(are_given), "{query}");
        }
    }

    #[test]
    fn a_client_that_writes_the_ingress_s_misspelt_restriction_is_refused_too() {
        for query in ["allowed_group=admin", "Allowed_Groups=admin", "allow-emails=a", "x=y&allowedEmailDomain=b"] {
            assert_eq!(Restrictions::of_query(query, true), Err(UNKNOWN), "{query}");
        }
        for query in ["allow_signup=false", "allow", "allowDownload=1&x=y"] {
            assert_eq!(Restrictions::of_query(query, true), Ok(Restrictions::default()), "{query}");
            assert_eq!(Restrictions::of_query(query, false), Err(UNKNOWN), "{query}");
        }
        assert!(Restrictions::of_query("allowed_groups=a", true).is_ok_and(|read| read.are_given()));
    }

    #[test]
    fn a_domain_is_compared_whole_or_below_a_dot() {
        let admits = |domain: &str, email: &str| admits(&format!("allowed_email_domains={domain}"), email, &[]);
        for domain in [".example.com", "*.example.com"] {
            assert!(admits(domain, "a@bar.example.com") && admits(domain, "a@x.bar.EXAMPLE.com"), "{domain}");
            for email in ["a@example.com", "a@evilexample.com", "a@example.com.evil", "@.example.com", "a@b@bar.example.com"] {
                assert!(!admits(domain, email), "{domain} {email}");
            }
        }
        for domain in ["bücher.example", "xn--bcher-kva.example", "Bücher.example."] {
            assert!(admits(domain, "a@bücher.example") && admits(domain, "a@xn--bcher-kva.example"), "{domain}");
            assert!(admits(&format!("*.{domain}"), "a@mail.BÜCHER.example"), "{domain}");
            assert!(!admits(domain, "a@bucher.example"), "{domain}");
        }
        for email in ["a@sub.example.com", "a@evil-example.com", "a@evil.com@example.com", "example.com", "@example.com", ""] {
            assert!(!admits("example.com", email), "{email}");
        }
    }
}
