//! Settings of the portal: what routes say of their apps.

use std::sync::Arc;

use super::{
    pages::image,
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
};
use crate::{
    address::AccessUrl,
    routing::{RouteHost, Shown},
    secret::sha256,
};

pub(super) const PORTAL_NAME: Setting = setting(
    "portal_name",
    ValueType::Text,
    "",
    "What the app is called on the portal (`CODER_PORTAL_ENABLE`), which shows it to those who may open it. Not set: it is not shown. A route whose host is a pattern cannot be shown.",
);
pub(super) const PORTAL_TEXT: Setting = setting("portal_text", ValueType::Text, "", "A sentence about the app on the portal.");
pub(super) const PORTAL_ICON: Setting = setting(
    "portal_icon",
    ValueType::Text,
    "",
    "A file with the app's picture on the portal, of 256 KiB at most (PNG, WebP, JPEG, SVG). Evergate serves it.",
);

impl RouteReader<'_> {
    /// How the portal shows the route.
    pub(super) fn shown(&mut self, host: Option<&RouteHost>, site: Option<Arc<AccessUrl>>) -> Option<Arc<Shown>> {
        let line = |text: &str| match text.trim() {
            "" => Err("must not be empty".to_owned()),
            text if text.len() > LONGEST => Err(format!("must be of {LONGEST} bytes at most")),
            text => Ok(text.to_owned()),
        };
        let (name, text) = (self.parsed(&PORTAL_NAME, line), self.parsed(&PORTAL_TEXT, line));
        let icon = self.parsed(&PORTAL_ICON, image).map(|image| {
            let hash = sha256(&image.bytes);
            let name = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            (name, image)
        });
        let Some(name) = name else {
            for setting in [&PORTAL_TEXT, &PORTAL_ICON].into_iter().filter(|setting| self.is_given(setting)).collect::<Vec<_>>() {
                self.problem(setting, "needs portal_name");
            }
            return None;
        };
        if matches!(host, Some(RouteHost::Matching(_))) {
            self.problem(&PORTAL_NAME, "cannot be shown: the route's host is a pattern, and has no address of its own");
        }
        Some(Arc::new(Shown { name, text, icon, site }))
    }
}

/// The page of many apps is to stay small.
const LONGEST: usize = 120;
