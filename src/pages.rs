//! Renders Evergate's own HTML pages. They load nothing from elsewhere but an icon that the administrator names, they need no script,
//! and every text in them is escaped. What they say is in `pages/texts`, a file for each language.

mod admin;
mod admin_text;
mod branding;
mod chart;
mod choice;
mod colour;
mod html;
mod kept_post;
mod line;
mod logo;
mod look;
mod message;
mod portal;
mod sessions;
mod text;
mod texts;
mod timeline;
mod tokens;

use std::time::Duration;

use crate::language::Language;
use html::{address, document_with, own_label, own_text};

pub use admin::{AdminPage, Button, LongList, Part, Row, Search};
pub use admin_text::AdminText;
pub use branding::{Brand, Branding, Contact, NotPrintable};
pub use chart::{Chart, ChartKind, Series};
pub use choice::{Choice, ChoicePage};
pub use colour::{Colour, contrast};
pub use html::{MOST_OF_ADDRESS, MOST_OF_BRAND, MOST_OF_OWN_TEXT, cut, escape, escape_cut};
pub use kept_post::KeptPostPage;
pub use line::Line;
pub use logo::{Logo, LogoError};
pub use look::Look;
pub use message::Message;
pub use portal::{PortalApp, PortalPage};
pub use sessions::{SessionLine, SessionsPage};
pub use text::Text;
pub use timeline::{Mark, Sign, Timeline};
pub use tokens::{SecretPage, TerminalPage, TokenLine, TokensPage};

/// A page with one message.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// The heading.
    pub title: &'a str,
    /// What happened, in one or two sentences.
    pub text: &'a str,
    /// What the user can do about it.
    pub action: Action<'a>,
    /// When and where the page redirects by itself, which it does not if the address is too long for a page.
    pub again: Option<(Duration, &'a str)>,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// What a page offers. Where an address of a link is too long for a page, the link loads the page itself again, which is at the requested
/// address.
#[derive(Clone, Debug)]
pub enum Action<'a> {
    /// No action.
    None,
    /// A link.
    Link {
        /// The address.
        href: &'a str,
        /// The label.
        label: &'a str,
    },
    /// A link that opens a new window, and one for afterwards.
    NewWindow {
        /// The address and the label of what opens.
        opens: (&'a str, &'a str),
        /// The address and the label of the other.
        then: (&'a str, &'a str),
    },
    /// A button that posts.
    Post {
        /// The address.
        href: &'a str,
        /// The label.
        label: &'a str,
        /// A hidden field, which is empty if what is in it is too long for a page.
        field: (&'a str, &'a str),
        /// An alternative: the address and the label of a link.
        instead: (&'a str, &'a str),
    },
}

impl Page<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let href = |href: &str| address(href).unwrap_or_default();
        let action = match &self.action {
            Action::None => String::new(),
            Action::Link { href: to, label } => format!(r#"<a class="button" href="{}">{}</a>"#, href(to), own_label(label)),
            Action::NewWindow { opens: (to, label), then: (other, text) } => format!(
                r#"<p class="actions"><a class="button" href="{}" target="_blank" rel="noopener">{}</a> <a href="{}">{}</a></p>"#,
                href(to),
                own_label(label),
                href(other),
                own_label(text)
            ),
            Action::Post { href: to, label, field: (name, value), instead: (other, text) } => format!(
                r#"<form class="actions" method="post" action="{}"><input type="hidden" name="{}" value="{}"><button class="button">{}</button> <a href="{}">{}</a></form>"#,
                href(to),
                escape(name),
                href(value),
                own_label(label),
                href(other),
                own_label(text)
            ),
        };
        let again = self.again.and_then(|(pause, to)| Some((pause.as_secs(), address(to)?)));
        let again = again.map(|(pause, to)| format!("<meta http-equiv=\"refresh\" content=\"{pause}; url={to}\">\n"));
        let body = format!("<p>{}</p>\n{action}", own_text(self.text));
        document_with(&again.unwrap_or_default(), self.title, &body, self.look)
    }
}

/// Renders the page of a message in every language, in the order of [`Language::ALL`], of which the first is the page's own.
pub fn in_every_language(message: Message, look: &Look<'_>) -> String {
    let [first, others @ ..] = Language::ALL.map(|language| Look { language, ..look.clone() });
    let body: String = std::iter::once(format!("<p>{}</p>", own_text(first.message(message).1)))
        .chain(others.iter().map(|look| {
            let (title, text) = look.message(message);
            format!("\n<div lang=\"{}\"><h2>{}</h2>\n<p>{}</p></div>", look.language.tag(), escape(title), own_text(text))
        }))
        .collect();
    document_with("", first.message(message).0, &body, &first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_page_is_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let icon = url::Url::parse("https://cdn.example/a?\"><script>alert('x')</script>").ok();
        let contact = url::Url::parse("https://help.example/?\"><script>alert('x')</script>").ok().map(Contact);
        let brand = Brand { icon, contact, name: Some(evil.to_owned()), ..Brand::default() };
        let branding = Branding::new(brand, &[]).unwrap();
        let look = Look { branding: &branding, language: Language::English, request_id: evil.to_owned() };
        for action in [
            Action::Post { href: evil, label: evil, field: (evil, evil), instead: (evil, evil) },
            Action::NewWindow { opens: (evil, evil), then: (evil, evil) },
            Action::Link { href: evil, label: evil },
        ] {
            let html = Page { title: evil, text: evil, action, again: Some((Duration::ZERO, evil)), look: &look }.html();
            assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
        }
    }

    #[test]
    fn every_page_of_one_message_is_small_however_long_addresses_and_texts_are() {
        let branding = Branding::largest();
        // Each of these is five bytes of HTML.
        let (long, longest) = ("&".repeat(MOST_OF_ADDRESS / 5), "&".repeat(64 * 1024));
        for (message, language) in Message::ALL.iter().flat_map(|message| Language::ALL.map(|language| (*message, language))) {
            let look = Look { branding: &branding, language, request_id: "0123456789abcdef".to_owned() };
            let (title, text) = look.message(message);
            for (address, text) in [("/x", text), (&*long, &*long), (&*longest, &*longest)] {
                for action in [
                    Action::None,
                    Action::Link { href: address, label: text },
                    Action::NewWindow { opens: ("/oauth2/start", text), then: (address, text) },
                    Action::Post { href: "/oauth2/sign_out", label: text, field: ("rd", address), instead: ("/", text) },
                ] {
                    let html = Page { title, text, action, again: Some((Duration::ZERO, address)), look: &look }.html();
                    assert!(html.len() < 20 * 1024, "{}", html.len());
                    assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
                    assert_eq!(html.contains("http-equiv=\"refresh\""), address.len() < longest.len(), "{html}");
                }
            }
        }
    }

    #[test]
    fn a_link_to_an_address_that_is_too_long_loads_the_page_again() {
        let branding = Branding::default();
        let look = Look { branding: &branding, language: Language::English, request_id: String::new() };
        let page = |href: &str| {
            Page { title: "t", text: "t", action: Action::Link { href, label: "Try again" }, again: None, look: &look }.html()
        };
        assert!(page(&"x".repeat(MOST_OF_ADDRESS)).contains("href=\"xx"));
        assert!(page(&"x".repeat(MOST_OF_ADDRESS + 1)).contains("href=\"\">Try again<"));
    }
}
