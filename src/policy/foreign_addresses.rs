//! Addresses that belong to another provider's users: apps that know users by e-mail would take one for the other.

use url::Host;

use crate::identity::Identity;

/// A domain in its one form: ASCII (IDNA), in lower case, without a dot at its end; `None` if it is none. The parser of URLs takes
/// more than a domain can have, as quotes and stars.
pub fn ascii_domain(domain: &str) -> Option<String> {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match Host::parse(domain.trim().trim_end_matches('.')) {
        Ok(Host::Domain(domain)) => domain.split('.').all(is_label).then_some(domain),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => None,
    }
}

/// The domain of an address in its one form, if it is written so that no character is left out or replaced on the way to that: apps get
/// the address as it is written. What the parser would read as another domain is none: nobody has an address with a blank or an escape
/// in it.
pub fn written_domain(domain: &str) -> Option<String> {
    if domain.contains(|one: char| "@%".contains(one) || one.is_whitespace()) {
        return None;
    }
    let written = domain.trim_end_matches('.').to_lowercase();
    ascii_domain(domain).filter(|domain| written == *domain || written == url::quirks::domain_to_unicode(domain))
}

/// Whether anything that an app may know this user by reads as an address at one of `domains`, which are in their one form.
pub(super) fn is_known_by_address_at(domains: &[String], identity: &Identity) -> bool {
    if domains.is_empty() {
        return false;
    }
    let texts = [&identity.email, &identity.unverified_email, &identity.username].into_iter().flatten();
    texts.chain([&identity.subject]).any(|text| has_address_at(domains, text))
}

/// Whether a text has an address at one of `domains`, however it is quoted, spelled or surrounded.
fn has_address_at(domains: &[String], text: &str) -> bool {
    let is_at = |character: char| matches!(character, '@' | '\u{ff20}' | '\u{fe6b}');
    let is_end = |character: char| character.is_whitespace() || "<>()[]\"',;:\\".contains(character);
    text.split(is_at).skip(1).any(|rest| {
        let domain = rest.trim_start().split(is_end).next().and_then(ascii_domain);
        domain.is_some_and(|domain| domains.contains(&domain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_domain_can_have_makes_it_none() {
        for (text, domain) in [("Example.COM.", "example.com"), ("BÜCHER.example", "xn--bcher-kva.example"), ("corp", "corp")] {
            assert_eq!(ascii_domain(text).as_deref(), Some(domain), "{text}");
        }
        for none in [
            "\"example.com\"",
            "*",
            "*.example.com",
            "ann@example.com",
            "https://example.com",
            "@",
            "",
            ".",
            "a..b",
            "a b",
            "10.0.0.1",
        ] {
            assert_eq!(ascii_domain(none), None, "{none}");
        }
    }

    #[test]
    fn an_address_of_another_provider_s_domain_is_found_however_it_is_written() {
        let domains = ["corp.example".to_owned(), ascii_domain("bücher.example").unwrap()];
        for text in [
            "ann@corp.example",
            "Ann@CORP.Example",
            "ann@corp.example.",
            " ann@corp.example ",
            "ann@corp.example@evil.example",
            "\"ann@corp.example\"@evil.example",
            "Ann <ann@corp.example>",
            "ann@\u{ff43}orp.example",
            "ann\u{ff20}corp.example",
            "ann@co\u{ad}rp.example",
            "ann@bücher.example",
            "ann@xn--bcher-kva.example",
            "@corp.example",
        ] {
            assert!(has_address_at(&domains, text), "{text}");
        }
        for text in ["ann@evil-corp.example", "ann@corp.example.evil", "ann@sub.corp.example", "corp.example", "ann", "", "ann@"]
        {
            assert!(!has_address_at(&domains, text), "{text}");
        }
    }

    #[test]
    fn whatever_an_app_may_know_a_user_by_is_looked_at() {
        let domains = ["corp.example".to_owned()];
        let address = || Some("ann@corp.example".to_owned());
        for identity in [
            Identity { email: address(), ..Identity::default() },
            Identity { unverified_email: address(), ..Identity::default() },
            Identity { username: address(), ..Identity::default() },
            Identity { subject: "ann@corp.example".to_owned(), ..Identity::default() },
        ] {
            assert!(is_known_by_address_at(&domains, &identity), "{identity:?}");
            assert!(!is_known_by_address_at(&[], &identity));
        }
        assert!(!is_known_by_address_at(&domains, &Identity { email: Some("ann@home.example".into()), ..Identity::default() }));
    }
}
