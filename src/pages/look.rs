//! What all pages of one response have in common.

use std::borrow::Cow;

use super::{Branding, Message, Text};
use crate::language::Language;

/// How a response's pages look.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// What the administrator sets of every page.
    pub branding: &'a Branding,
    /// The language.
    pub language: Language,
    /// The request ID, shown so that a report of the page leads to its log line.
    pub request_id: String,
}

impl<'a> Look<'a> {
    /// A label or a sentence in the page's language.
    pub fn text(&self, text: Text<'_>) -> Cow<'static, str> {
        text.said(self.language)
    }

    /// The title and the text of a message, which the administrator may have worded.
    pub fn message(&self, message: Message) -> (&'static str, &'a str) {
        let (title, text) = message.said(self.language);
        (title, self.branding.own_text(self.language, message).unwrap_or(text))
    }

    /// The label of what begins a login; `default` if the administrator has set none.
    pub fn sign_in_label(&self, default: Text<'_>) -> Cow<'a, str> {
        self.branding.brand.sign_in_text.as_deref().map_or_else(|| self.text(default), Cow::Borrowed)
    }
}
