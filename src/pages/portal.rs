//! The portal: a page with the apps that a user may open.

use std::fmt::Write;

use super::{
    Look, Text, escape, escape_cut,
    html::{document, fitting},
};

/// The page with a link to each app.
#[derive(Clone, Debug)]
pub struct PortalPage<'a> {
    /// Who looks, as they know themselves.
    pub user: &'a str,
    /// The apps, in their order.
    pub apps: &'a [PortalApp],
    /// Where the list goes on, if it does.
    pub next: Option<&'a str>,
    /// Where the user's sessions are.
    pub sessions: &'a str,
    /// Where this browser signs out.
    pub sign_out: &'a str,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// An app as its user sees it.
#[derive(Clone, Debug)]
pub struct PortalApp {
    /// What it is called.
    pub name: String,
    /// A sentence about it.
    pub text: Option<String>,
    /// The address of its picture.
    pub icon: Option<String>,
    /// Its address.
    pub href: String,
}

impl PortalPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        fitting(|room| self.html_with(room.most))
    }

    /// The page with texts of `most` bytes at most.
    fn html_with(&self, most: usize) -> String {
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let mut body = format!("<p>{}</p>\n", escape_cut(&self.look.text(Text::SignedInAs(self.user)), most.max(200)));
        if self.apps.is_empty() {
            let _infallible = writeln!(body, "<p>{}</p>", said(Text::NoApps));
        } else {
            body += "<ul class=\"list apps\">\n";
            for app in self.apps {
                app.write(most, &mut body);
            }
            body += "</ul>\n";
        }
        if let Some(next) = self.next {
            let _infallible = writeln!(body, "<p><a href=\"{}\">{}</a></p>", escape(next), said(Text::NextPage));
        }
        let _infallible = write!(
            body,
            "<p class=\"actions\"><a href=\"{}\">{}</a> <a href=\"{}\">{}</a></p>",
            escape(self.sessions),
            said(Text::Sessions),
            escape(self.sign_out),
            said(Text::SignOut)
        );
        document(&self.look.text(Text::Apps), &body, self.look)
    }
}

/// The most apps of a page.
const MOST_APPS: usize = 40;
/// How much of a page is for the addresses of apps and of their pictures, in bytes of HTML; the rest is for their names and for what every
/// page has.
const FOR_ADDRESSES: usize = 6 * 1024;

impl PortalApp {
    /// How many of these apps are on each page, so that it is not too large, however long their addresses are.
    pub fn on_page(apps: &[Self]) -> usize {
        let length = |app: &Self| escape(&app.href).len() + app.icon.as_deref().map_or(0, |icon| escape(icon).len());
        let longest = apps.iter().map(length).max().unwrap_or_default();
        (FOR_ADDRESSES / longest.max(1)).clamp(1, MOST_APPS)
    }

    fn write(&self, most: usize, body: &mut String) {
        // A picture or a letter says nothing that the name does not.
        let letter = || self.name.chars().next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
        let mark = match &self.icon {
            Some(icon) => format!("<img alt=\"\" src=\"{}\">", escape(icon)),
            None => format!("<span aria-hidden=\"true\">{}</span>", escape(&letter())),
        };
        let text = self.text.as_ref().map(|text| format!("<small>{}</small>", escape_cut(text, most))).unwrap_or_default();
        let (href, name) = (escape(&self.href), escape_cut(&self.name, most));
        let _infallible = writeln!(body, "<li><a href=\"{href}\">{mark}<div><strong>{name}</strong>{text}</div></a></li>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{language::Language, pages::Branding};

    fn html(apps: &[PortalApp], user: &str) -> String {
        let branding = Branding::largest();
        let look = Look { branding: &branding, language: Language::German, request_id: "0123456789abcdef".to_owned() };
        PortalPage {
            user,
            apps,
            next: Some("/oauth2/?page=2"),
            sessions: "/oauth2/sessions",
            sign_out: "/oauth2/sign_out",
            look: &look,
        }
        .html()
    }

    #[test]
    fn no_text_of_the_page_is_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let app = PortalApp { name: evil.into(), text: Some(evil.into()), icon: Some(evil.into()), href: evil.into() };
        let apps = [app.clone(), PortalApp { icon: None, ..app }];
        let html = html(&apps, evil);
        assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
        assert!(html.contains("<span aria-hidden=\"true\">&lt;</span>"));
    }

    #[test]
    fn a_page_of_fifty_apps_is_small() {
        let app = PortalApp {
            name: "A middling name of an app".into(),
            text: Some("What it is good for, in a sentence of a usual length.".into()),
            icon: Some("/oauth2/icon?of=0123456789abcdef".into()),
            href: "https://a-host-of-ours.example.com/an-app".into(),
        };
        let length = html(&vec![app; 50], "ann").len();
        assert!(length < 20 * 1024, "{length}");
    }

    #[test]
    fn a_page_has_as_many_apps_as_it_has_room_for_their_addresses() {
        for (length, expected) in [(30, 40), (110, 40), (500, 11), (2000, 3), (6000, 1), (9000, 1)] {
            let long = "What it is good for".repeat(20);
            let icon = Some("/oauth2/icon?of=0123456789abcdef".to_owned());
            let app = PortalApp { name: long.clone(), text: Some(long), icon, href: "x".repeat(length) };
            let apps = vec![app; 50];
            let on_page = PortalApp::on_page(&apps);
            assert_eq!(on_page, expected, "{length}");
            let page = html(&apps[..on_page], "ann").len();
            assert!(page < 20 * 1024, "{length}: {page}");
        }
    }
}
