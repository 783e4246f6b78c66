//! What a page uses that outlives its session: a script that waits for the session's return, and the page at which a login in a new
//! window ends. `refresh` keeps a session alive.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    address::AccessUrl,
    fetch_metadata::{FetchMetadata, FetchSite},
    language::Language,
    pages::{Action, Look, Message, Page, Text},
    policy::Denied,
    refusal::{
        Refusal,
        response::{html, own_headers},
    },
};

/// The script as it is written, with comments.
const SOURCE: &str = include_str!("session.js");
/// How long browsers keep it. A page may have an older one for so long after a deploy.
const SCRIPT_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// `session.js` without comments and line ends, with its texts in the language that the browser prefers. Its own request says that: a
/// page's `Accept-Language` is looked at only of what reads HTML.
pub(super) fn script(headers: &HeaderMap) -> Response<Body> {
    let language = Language::preferred(Language::accepted(headers).as_ref());
    let mut response = Response::new(Body::from(script_in(language)));
    let headers = response.headers_mut();
    own_headers(headers, "script");
    headers.insert(header::CACHE_CONTROL, SCRIPT_CACHE);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    headers.insert(header::CONTENT_LANGUAGE, language.header());
    headers.insert(header::VARY, HeaderValue::from_name(header::ACCEPT_LANGUAGE));
    response
}

fn script_in(language: Language) -> String {
    let lines = SOURCE.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let texts = [("{ended}", Text::SessionEnded), ("{sign_in}", Text::SignIn)];
    texts.into_iter().fold(lines.collect(), |script, (place, text)| script.replace(place, &text.said(language)))
}

/// Checks that no page of another origin sends a request, whatever origins may send requests to apps. Clients that are no browsers
/// say nothing of an origin.
///
/// # Errors
/// [`Denied::CrossOrigin`].
pub(super) fn check_origin(headers: &HeaderMap, site: &AccessUrl) -> Result<(), Refusal> {
    let is_foreign = headers.get(header::ORIGIN).is_some_and(|origin| origin != &site.at(""))
        || FetchMetadata::of(headers).site().is_some_and(|site| site != FetchSite::SameOrigin);
    if is_foreign { Err(Refusal::Denied(Denied::CrossOrigin, None)) } else { Ok(()) }
}

/// Where a login in a new window ends, for who has a session. The page that opened the window closes it; where the provider keeps it from that
/// (Cross-Origin-Opener-Policy), its user does.
pub(super) fn signed_in(look: &Look<'_>) -> Response<Body> {
    let (title, text) = look.message(Message::LoginDone);
    html(&Page { title, text, action: Action::None, again: None, look }, StatusCode::OK, "signed_in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_of_another_origin_keeps_a_session_alive() {
        let site = AccessUrl::parse("https://app.example").unwrap();
        let checked = |lines: &[(&'static str, &str)]| {
            let headers = lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
            check_origin(&headers.collect(), &site).is_ok()
        };
        for own in [&[][..], &[("origin", "https://app.example")], &[("sec-fetch-site", "same-origin")]] {
            assert!(checked(own), "{own:?}");
        }
        for other in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!checked(other), "{other:?}");
        }
    }

    #[test]
    fn the_script_has_two_kibibytes_at_most_as_it_is_sent_in_each_language() {
        for language in Language::ALL {
            let sent = script_in(language);
            assert!((1..=2048).contains(&sent.len()), "{} bytes", sent.len());
            for text in [Text::SessionEnded, Text::SignIn] {
                let said = text.said(language);
                assert!(
                    sent.contains(&*said) && !said.contains(['\'', '\\', '\n']),
                    "{said} is the whole of a string of the script"
                );
            }
        }
    }
}
