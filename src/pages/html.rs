//! What all pages are made of.

use std::borrow::Cow;

use super::{Contact, Look, Text};
use crate::language::is_control;

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
        push(&mut out, character);
        out
    })
}

/// The same of a text that may be of any length: what is longer than so many bytes of HTML ends in an ellipsis.
pub fn escape_cut(text: &str, most: usize) -> String {
    let (mut out, mut fits) = (String::new(), 0);
    for character in text.chars() {
        push(&mut out, character);
        if out.len() > most {
            out.truncate(fits);
            out.push('…');
            return out;
        }
        // There is room for the ellipsis.
        if out.len() + '…'.len_utf8() <= most {
            fits = out.len();
        }
    }
    out
}

/// A text that may be of any length, with so many characters at most.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => text.into(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
    }
}

/// The size of a page at most, in bytes.
pub(super) const MOST_OF_PAGE: usize = 20 * 1024;
/// The size at most of an address of a page's, in bytes of HTML. The requested address may be of any length, and a link escapes much of it.
pub const MOST_OF_ADDRESS: usize = 4 * 1024;
/// The size at most of the service's name, and of the address of an image or of help, in bytes of HTML. Every page has them.
pub const MOST_OF_BRAND: usize = 400;
/// The size at most of a text that administrators may set, in bytes of HTML.
pub const MOST_OF_OWN_TEXT: usize = 2 * 1024;
/// The size at most of what a page says: such a text, and ours beside it.
const MOST_OF_TEXTS: usize = 3 * 1024;
/// The size at most of a label that they may have set, in bytes of HTML.
const MOST_OF_LABEL: usize = 400;

/// How much room a page has for what is on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// How long the texts may be that others have written, in bytes of HTML.
    pub(super) most: usize,
    /// Whether what is told elsewhere is left out: the labels of a picture, and events that the next page has.
    pub(super) is_scarce: bool,
}

/// So much room at first, and less where the page would be too large: what is told elsewhere goes before texts are cut that people need.
const ROOMS: [Room; 8] = [
    Room { most: 1000, is_scarce: false },
    Room { most: 400, is_scarce: false },
    Room { most: 200, is_scarce: false },
    Room { most: 200, is_scarce: true },
    Room { most: 100, is_scarce: true },
    Room { most: 60, is_scarce: true },
    Room { most: 40, is_scarce: true },
    Room { most: 20, is_scarce: true },
];

/// A page that is not too large, however long names, addresses and messages are: rendered with longer texts first, and with shorter ones
/// until it fits. How many lines it has is bounded by whoever renders it.
pub(super) fn fitting(render: impl Fn(Room) -> String) -> String {
    let mut html = String::new();
    for room in ROOMS {
        html = render(room);
        if html.len() <= MOST_OF_PAGE {
            break;
        }
    }
    html
}

/// An address as HTML, if it is not too long for a page.
pub(super) fn address(address: &str) -> Option<String> {
    Some(escape(address)).filter(|html| html.len() <= MOST_OF_ADDRESS)
}

/// What a page says, which administrators may have set, as HTML.
pub(super) fn own_text(text: &str) -> String {
    escape_cut(text, MOST_OF_TEXTS)
}

/// A label that they may have set, as HTML.
pub(super) fn own_label(label: &str) -> String {
    escape_cut(label, MOST_OF_LABEL)
}

fn push(out: &mut String, character: char) {
    match character {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        control if is_control(control) => out.push('\u{fffd}'),
        other => out.push(other),
    }
}
