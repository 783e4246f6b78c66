//! Settings of routes for what meets the end of a session: the script that waits for the next one, and forms that are kept.

use super::{
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
    values,
};
use crate::{forward::Injection, policy::Rule};

pub(super) const SESSION_SCRIPT: Setting = setting(
    "session_script",
    ValueType::Bool,
    "",
    "Whether Evergate puts `<script src=\"/oauth2/session.js\">` into the app's pages, which has what meets the end of a session wait for a login ([sessions-in-pages.md](sessions-in-pages.md)). Default false.",
);

pub(super) const KEEP_FORM_POSTS: Setting = setting(
    "keep_form_posts",
    ValueType::Bool,
    "",
    "Whether Evergate keeps a form that meets the end of its session, encrypted and for 15 minutes, and offers its user to send it again after the login ([sessions-in-pages.md](sessions-in-pages.md#forms-that-are-sent-as-a-page)). Default false.",
);

impl RouteReader<'_> {
    /// What pages get.
    pub(super) fn injection(&mut self, own_pages: &str) -> Option<Injection> {
        let is_wanted = self.parsed(&SESSION_SCRIPT, values::boolean).unwrap_or(false);
        is_wanted.then(|| Injection::script(&format!("{own_pages}/session.js")))
    }

    /// Whether forms are kept. Where nobody needs to be signed in, none meets the end of a session.
    pub(super) fn keeps_form_posts(&mut self, rule: &Rule) -> bool {
        let is_wanted = self.parsed(&KEEP_FORM_POSTS, values::boolean).unwrap_or(false);
        if is_wanted && rule.policy().is_none() {
            self.problem(&KEEP_FORM_POSTS, "is set, and nobody needs to be signed in");
        }
        is_wanted
    }
}
