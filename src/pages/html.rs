//! What all pages are made of.

use std::fmt::Write;

use super::branding::{Branding, STYLE};

/// A page of this body, which is HTML.
pub(super) fn document(title: &str, body: &str, branding: &Branding, request_id: &str) -> String {
    document_with("", title, body, branding, request_id)
}

/// The same with more in its head.
pub(super) fn document_with(head: &str, title: &str, body: &str, branding: &Branding, request_id: &str) -> String {
    // Decoration: it says nothing that the page's text does not.
    let icon = branding.icon.as_ref().map(|icon| format!("<img class=\"icon\" alt=\"\" src=\"{}\">\n", escape(icon.as_str())));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         {head}<title>{title}</title>\n<style>{STYLE}</style>\n<main>\n{icon}<h1>{title}</h1>\n{body}\n<footer>Request {id}</footer>\n</main>\n</html>\n",
        icon = icon.unwrap_or_default(),
        title = escape(title),
        id = escape(request_id)
    )
}

/// A text as HTML, in an element or an attribute in quotes.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            control if control.is_control() => {
                let _infallible = write!(out, "\u{fffd}");
            }
            other => out.push(other),
        }
        out
    })
}
