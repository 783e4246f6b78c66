//! Personal access tokens: what a user makes for a script, a terminal or Git. Each is a session that is found by the token, and not by
//! a cookie; it has the grant of the browser session in which it was made, and lives as long as that.

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use super::session_hash::SessionHash;
use crate::{
    clock::Timestamp,
    secret::{Secret, random_text},
};

/// What is particular of a session that is a token's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonalToken {
    /// When it ends.
    pub expires_at: Timestamp,
    /// What its user calls it, and where it may be used.
    pub scope: TokenScope,
}

/// What a user calls a token, and where it may be used. Stored as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenScope {
    /// What its user calls it.
    pub name: Box<str>,
    /// The site where it was made, and where alone it may be used: its host, and its port if that is not the scheme's.
    pub site: Box<str>,
    /// The names of the routes where it may be used; empty is all of the site that take such tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Box<str>>,
}

impl PersonalToken {
    /// What such tokens begin with, so that they are recognised where they should not be: in a repository, or in a cookie.
    pub const PREFIX: &str = "evg_";

    /// What a token names that is for the administration. No route is called so: a route's name has a slash.
    pub const ADMINISTRATION: &str = "administration";

    /// Whether `text` looks like such a token.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(Self::PREFIX)
    }

    /// Generates a new token, which is told once, and the hash that is stored.
    pub fn fresh() -> (Secret, SessionHash) {
        Self::of_text(&random_text::<32>())
    }

    /// The token that these secret bytes make, and the hash that is stored.
    pub fn of_bytes(bytes: &[u8; 32]) -> (Secret, SessionHash) {
        Self::of_text(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    fn of_text(text: &str) -> (Secret, SessionHash) {
        let text = format!("{}{text}", Self::PREFIX);
        let hash = SessionHash::of(&text);
        (Secret::new(text), hash)
    }

    /// Whether it may be used at this site on the route of this name.
    pub fn admits(&self, site: &str, route: &str) -> bool {
        let TokenScope { site: own, routes, .. } = &self.scope;
        // A token for all routes is not for the administration: whoever has it may act as its user, and not on everybody.
        let is_for_all = routes.is_empty() && route != Self::ADMINISTRATION;
        own.eq_ignore_ascii_case(site) && (is_for_all || routes.iter().any(|own| &**own == route))
    }
}
