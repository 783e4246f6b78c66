//! What all pages are made of.

use std::fmt::Write;

use super::{Contact, Look, Text};

/// A page of this body, which is HTML.
pub(super) fn document(title: &str, body: &str, look: &Look<'_>) -> String {
    document_with("", title, body, look)
}

/// The same of a page that has more to show than one thing.
pub(super) fn document_wide(title: &str, body: &str, look: &Look<'_>) -> String {
    written("", " class=\"wide\"", title, body, look)
}

/// The same with more in its head.
pub(super) fn document_with(head: &str, title: &str, body: &str, look: &Look<'_>) -> String {
    written(head, "", title, body, look)
}

fn written(head: &str, class: &str, title: &str, body: &str, look: &Look<'_>) -> String {
    let brand = &look.branding.brand;
    let name = brand.name.as_deref().map(escape);
    let (title, whose) = (escape(title), name.as_ref().map(|name| format!(" · {name}")).unwrap_or_default());
    // Decoration: it says nothing that the page's text does not.
    let icon =
        brand.image().map(|source| format!("<img class=\"icon\" alt=\"\" src=\"{}\">\n", escape(source))).unwrap_or_default();
    let name = name.map(|name| format!("<p class=\"name\">{name}</p>\n")).unwrap_or_default();
    let help = brand
        .contact
        .as_ref()
        .map(|Contact(address)| format!("<a href=\"{}\">{}</a> · ", escape(address.as_str()), escape(&look.text(Text::Help))));
    format!(
        "<!doctype html>\n<html lang=\"{language}\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         {head}<title>{title}{whose}</title>\n<style>{style}</style>\n<main{class}>\n{icon}{name}<h1>{title}</h1>\n{body}\n<footer>{help}{id}</footer>\n</main>\n</html>\n",
        language = look.language.tag(),
        style = look.branding.style(),
        help = help.unwrap_or_default(),
        id = escape(&look.text(Text::Request(&look.request_id)))
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
