//! How a client may authenticate, as a response says it that refuses it (`WWW-Authenticate`, RFC 9110 section 15.5.2).

use http::{HeaderValue, StatusCode};

use super::{Refusal, links::Links, row::Row};
use crate::bearer::TokenRefusal;

/// The challenges of a refusal, if it is one that authentication could change.
pub(super) fn challenges(refusal: &Refusal, row: &Row, links: &Links<'_>) -> Vec<HeaderValue> {
    let refused = matches!(refusal, Refusal::Token(TokenRefusal::Invalid(_) | TokenRefusal::Denied(_)));
    let all = match (refused, links.tokens()) {
        (true, _) => vec![bearer(links, Some(row))],
        (false, _) if row.status != StatusCode::UNAUTHORIZED => Vec::new(),
        // Git and curl send a password only where they are asked for one (RFC 7617 section 2).
        (false, Some(_)) if matches!(refusal, Refusal::TokenNeeded(_)) => {
            vec![bearer(links, None), BASIC.to_owned(), cookie(links)]
        }
        (false, Some(_)) => vec![bearer(links, None), cookie(links)],
        (false, None) => vec![cookie(links)],
    };
    all.into_iter().filter_map(|challenge| HeaderValue::try_from(challenge).ok()).collect()
}

const BASIC: &str = "Basic realm=\"Evergate\", charset=\"UTF-8\"";

/// How one signs in here: by a cookie, which a login brings. No registered scheme means that, and any of those would make some clients
/// ask for a password or send a token.
fn cookie(links: &Links<'_>) -> String {
    let (start, cookie) = (&links.start, links.own.cookies.session());
    format!("Cookie realm=\"Evergate\", form-action=\"{start}\", cookie-name=\"{cookie}\"")
}

/// RFC 6750 section 3. What is wrong is told of a token alone that the request brought.
fn bearer(links: &Links<'_>, wrong: Option<&Row>) -> String {
    let mut challenge = "Bearer realm=\"Evergate\"".to_owned();
    if let Some(row) = wrong {
        challenge += &format!(", error=\"{}\", error_description=\"{}\"", row.error, row.message.for_programs());
    }
    // RFC 9728 section 5.1.
    if let Some(address) = links.resource_metadata() {
        challenge += &format!(", resource_metadata=\"{address}\"");
    }
    let scopes = links.tokens().map(|tokens| tokens.scopes.join(" ")).unwrap_or_default();
    if !scopes.is_empty() {
        challenge += &format!(", scope=\"{scopes}\"");
    }
    challenge
}
