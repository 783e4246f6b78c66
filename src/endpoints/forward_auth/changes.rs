//! How Envoy changes a request that may pass, which it is told over gRPC: so the app gets the same as through our own proxy. Nothing
//! has to be refused for what can be taken off.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{CLAIMS, IdentityLines, OURS, THEIRS};
use crate::{
    ext_authz::HeaderChanges,
    forward::is_reserved_header,
    identity::{ASSERTION, RENEWED_AT},
    session::cookie::Cookies,
};

/// What an app is told of a request by the ingress itself, which writes these anew, or takes off what is not true of them.
const OF_THE_INGRESS: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-client-cert", "x-request-id"];
/// Envoy lets a client's own pass. The host that a request was judged by is in `Host`.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

impl IdentityLines<'_> {
    /// The changes of a request with these headers. `hides_authorization`: the app is not to see its `Authorization`.
    pub fn changes(self, client: &HeaderMap, cookies: &Cookies, hides_authorization: bool) -> HeaderChanges {
        let mut changes = HeaderChanges::default();
        let usual = CLAIMS.iter().flat_map(|claim| [format!("{OURS}{claim}"), format!("{THEIRS}{claim}")]);
        // Also where the question has none of them: it need not have all of the client's headers.
        let always = [ASSERTION, RENEWED_AT, FORWARDED_HOST];
        changes.remove = usual.filter_map(|name| HeaderName::try_from(name).ok()).chain(always).collect();
        changes.remove.extend(self.names.iter().cloned());
        let is_ours = |name: &&HeaderName| {
            self.are_named(name.as_str()) || (is_reserved_header(name.as_str()) && !OF_THE_INGRESS.contains(&name.as_str()))
        };
        changes.remove.extend(client.keys().filter(is_ours).cloned());
        changes.remove.extend(hides_authorization.then_some(header::AUTHORIZATION));
        match cookies_for_app(client, cookies) {
            CookieLine::AsItIs => {}
            CookieLine::Changed(line) => changes.set.push((header::COOKIE, line)),
            CookieLine::Gone => changes.remove.push(header::COOKIE),
        }
        // An app may be told who its user is by `Authorization` itself.
        for (name, value) in self.lines {
            match changes.set.iter_mut().find(|(set, _)| *set == name) {
                Some((_, before)) => *before = value,
                None => changes.set.push((name, value)),
            }
        }
        changes.remove.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        changes.remove.dedup();
        changes.remove.retain(|name| !changes.set.iter().any(|(set, _)| set == name));
        changes
    }
}

/// What becomes of the client's cookies.
enum CookieLine {
    AsItIs,
    Changed(HeaderValue),
    Gone,
}

/// The cookies that the app gets: none of ours, which it needs for nothing.
fn cookies_for_app(client: &HeaderMap, cookies: &Cookies) -> CookieLine {
    let sent = || client.get_all(header::COOKIE);
    let mut headers: HeaderMap = sent().iter().map(|line| (header::COOKIE, line.clone())).collect();
    cookies.strip_reserved_cookies(&mut headers);
    let Some(kept) = headers.get(header::COOKIE) else {
        return if sent().iter().next().is_some() { CookieLine::Gone } else { CookieLine::AsItIs };
    };
    if sent().iter().eq([kept]) {
        return CookieLine::AsItIs;
    }
    // The ingress is told in UTF-8.
    let pairs = kept.as_bytes().split(|byte| *byte == b';').filter_map(|pair| str::from_utf8(pair.trim_ascii()).ok());
    match HeaderValue::try_from(pairs.collect::<Vec<_>>().join("; ")) {
        Ok(line) if !line.is_empty() => CookieLine::Changed(line),
        Ok(_) | Err(_) => CookieLine::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [HeaderName; 3] =
        [HeaderName::from_static("x-webauth-user"), HeaderName::from_static("x-forwarded-user"), header::AUTHORIZATION];

    fn changes(lines: &[(&'static str, &str)], client: &[(&'static str, &[u8])], hides: bool) -> HeaderChanges {
        changes_by(false, lines, client, hides)
    }

    fn changes_by(
        tells_by_authorization: bool,
        lines: &[(&'static str, &str)],
        client: &[(&'static str, &[u8])],
        hides: bool,
    ) -> HeaderChanges {
        let lines = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let client = client.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
        let cookies = Cookies::new(true, crate::session::cookie::DEFAULT_NAME);
        // Another route sets `Authorization`, so that it is among the names of this one or not.
        let names = if tells_by_authorization { &NAMES[..] } else { &NAMES[..2] };
        let lines = IdentityLines { names, lines, authorization_is_proven: false };
        lines.changes(&client.collect(), &cookies, hides)
    }

    #[test]
    fn the_app_gets_who_sends_the_request_and_nothing_that_the_client_says_of_that() {
        let told = changes(
            &[("x-forwarded-user", "ann"), ("x-webauth-user", "ann")],
            &[
                ("x-forwarded-user", b"admin"),
                ("x_forwarded_user", b"admin"),
                ("x-forwarded_groups", b"admins"),
                ("x.webauth-user", b"admin"),
                ("x_evergate_assertion", b"forged"),
                ("x-forwarded-for", b"192.0.2.7"),
                ("x-app", b"1"),
                ("authorization", b"Basic x"),
                ("remote-user", b"admin"),
                ("remote_user", b"admin"),
                ("x-remote-user", b"admin"),
                ("x-auth-request-foo", b"admin"),
                ("x-real-ip", b"10.0.0.1"),
                ("x_forwarded_for", b"10.0.0.1"),
                ("true-client-ip", b"10.0.0.1"),
                ("forwarded", b"for=10.0.0.1"),
                ("x-original-url", b"/admin"),
                ("proxy", b"http://evil.test"),
                ("x-forwarded-host", b"evil.test"),
                ("x-request-id", b"1"),
                ("x-forwarded-proto", b"https"),
            ],
            false,
        );
        let set: Vec<_> = told.set.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(set, [("x-forwarded-user", "ann"), ("x-webauth-user", "ann")]);
        let is_removed = |name: &str| told.remove.iter().any(|removed| removed == name);
        for name in [
            "x_forwarded_user",
            "x-forwarded_groups",
            "x.webauth-user",
            "x_evergate_assertion",
            "x-forwarded-email",
            "x-auth-request-user",
            "x-evergate-assertion",
            "x-evergate-renewed-at",
            "remote-user",
            "remote_user",
            "x-remote-user",
            "x-auth-request-foo",
            "x-real-ip",
            "x_forwarded_for",
            "true-client-ip",
            "forwarded",
            "x-original-url",
            "proxy",
            "x-forwarded-host",
        ] {
            assert!(is_removed(name), "{name}");
        }
        for name in [
            "x-forwarded-user",
            "x-webauth-user",
            "x-forwarded-for",
            "x-app",
            "authorization",
            "x-request-id",
            "x-forwarded-proto",
        ] {
            assert!(!is_removed(name), "{name}");
        }
        let mut once = told.remove.clone();
        once.dedup();
        assert_eq!(once, told.remove);
    }

    #[test]
    fn authorization_is_taken_off_where_the_app_is_not_to_see_it_and_replaced_where_it_tells_the_app() {
        let hidden = changes(&[], &[("authorization", b"Bearer evg_x")], true);
        assert!(hidden.remove.contains(&header::AUTHORIZATION));
        for client in [&[("authorization", &b"User admin"[..])][..], &[]] {
            let forged = changes_by(true, &[], client, false);
            assert!(forged.remove.contains(&header::AUTHORIZATION), "of nobody, nothing is told");
        }
        let told = changes(&[("authorization", "Bearer token")], &[("authorization", b"Bearer evg_x")], true);
        assert!(!told.remove.contains(&header::AUTHORIZATION));
        assert_eq!(told.set, [(header::AUTHORIZATION, HeaderValue::from_static("Bearer token"))]);
    }

    #[test]
    fn our_cookies_are_taken_off_and_the_app_s_are_left() {
        let cookie = |lines: &[&[u8]]| {
            let client: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            let told = changes(&[], &client, false);
            (
                told.set.into_iter().next().map(|(_, line)| line.to_str().unwrap().to_owned()),
                told.remove.contains(&header::COOKIE),
            )
        };
        for (lines, expected) in [
            (&[][..], (None, false)),
            (&[&b"a=1; b=2"[..]], (None, false)),
            (&[b"a=\xe9"], (None, false)),
            (&[b"__Host-evergate_session=s"], (None, true)),
            (&[b"a=1; __Host-evergate_session=s; b=2"], (Some("a=1; b=2"), false)),
            (&[b"a=\xe9; __Host-evergate_session=s; b=2"], (Some("b=2"), false)),
            (&[b"a=\xe9; __Host-evergate_session=s"], (None, true)),
            (&[b"a=1", b"__Host-evergate_session=s"], (Some("a=1"), false)),
        ] {
            let (set, is_removed) = cookie(lines);
            assert_eq!((set.as_deref(), is_removed), expected, "{lines:?}");
        }
    }
}
