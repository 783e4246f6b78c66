//! Whom a connection's last request came from.

use http::{HeaderMap, HeaderValue, header};

use super::signed_in::SignedIn;
use crate::{
    lock::Mutex,
    session::cache::{SessionCache, Version},
};

/// What one connection remembers of its last visitor. The next request nearly always carries the same cookies; then none of them
/// is parsed, hashed or looked up, as long as no change of its session and grant was announced in between.
#[derive(Debug, Default)]
pub struct ConnectionMemo(Mutex<Option<Memo>>);

#[derive(Debug)]
struct Memo {
    cookies: HeaderValue,
    versions: Versions,
    signed_in: SignedIn,
}

/// The versions of a visitor's session and grant, read before either was looked up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions {
    pub(super) session: Version,
    pub(super) grant: Version,
}

impl ConnectionMemo {
    pub(super) fn recall(&self, cookies: &HeaderValue, cache: &SessionCache) -> Option<SignedIn> {
        let memo = self.0.lock();
        let is_current = |versions: &Versions| cache.is_current(&versions.session) && cache.is_current(&versions.grant);
        memo.as_ref().filter(|memo| is_current(&memo.versions) && memo.cookies == cookies).map(|memo| memo.signed_in.clone())
    }

    pub(super) fn remember(&self, cookies: &HeaderValue, versions: Versions, signed_in: &SignedIn) {
        // A copy: the line itself would keep the whole block alive that was read from the socket.
        let Ok(cookies) = HeaderValue::from_bytes(cookies.as_bytes()) else { return };
        let memo = Memo { cookies, versions, signed_in: signed_in.clone() };
        *self.0.lock() = Some(memo);
    }
}

/// The request's only line of cookies. HTTP/2 may bring several (RFC 9113 section 8.2.3), which are read one by one.
pub(super) fn only_cookie_line(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let first = lines.next();
    if lines.next().is_none() { first } else { None }
}
