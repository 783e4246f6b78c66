//! Renders Evergate's own HTML pages. They load nothing from elsewhere but an icon that the administrator names, and every text in
//! them is escaped.

mod branding;

use std::{fmt::Write, time::Duration};

use branding::STYLE;
pub use branding::{Branding, NotPrintable};

/// A page with one message.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// The heading.
    pub title: &'a str,
    /// What happened, in one or two sentences.
    pub text: &'a str,
    /// What the user can do about it.
    pub action: Action<'a>,
    /// When and where the page redirects by itself.
    pub again: Option<(Duration, &'a str)>,
    /// What the administrator sets of every page.
    pub branding: &'a Branding,
    /// The request ID, shown so that a report of the page leads to its log line.
    pub request_id: &'a str,
}

/// What a page offers.
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
    /// A button that posts.
    Post {
        /// The address.
        href: &'a str,
        /// The label.
        label: &'a str,
        /// A hidden field.
        field: (&'a str, &'a str),
        /// An alternative: the address and the label of a link.
        instead: (&'a str, &'a str),
    },
}

impl Page<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let action = match &self.action {
            Action::None => String::new(),
            Action::Link { href, label } => format!(r#"<a class="button" href="{}">{}</a>"#, escape(href), escape(label)),
            Action::Post { href, label, field: (name, value), instead: (other, text) } => format!(
                r#"<form method="post" action="{}"><input type="hidden" name="{}" value="{}"><button class="button">{}</button> <a href="{}">{}</a></form>"#,
                escape(href),
                escape(name),
                escape(value),
                escape(label),
                escape(other),
                escape(text)
            ),
        };
        let again = self
            .again
            .map(|(pause, to)| format!("<meta http-equiv=\"refresh\" content=\"{}; url={}\">\n", pause.as_secs(), escape(to)));
        // Decoration: it says nothing that the page's text does not.
        let icon =
            self.branding.icon.as_ref().map(|icon| format!("<img class=\"icon\" alt=\"\" src=\"{}\">\n", escape(icon.as_str())));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             {again}<title>{title}</title>\n<style>{STYLE}</style>\n<main>\n{icon}<h1>{title}</h1>\n<p>{text}</p>\n{action}\n<footer>Request {id}</footer>\n</main>\n</html>\n",
            again = again.unwrap_or_default(),
            icon = icon.unwrap_or_default(),
            title = escape(self.title),
            text = escape(self.text),
            id = escape(self.request_id)
        )
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_a_page_is_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let icon = url::Url::parse("https://cdn.example/a?\"><script>alert('x')</script>").ok();
        let branding = Branding::new(None, None, icon, &[]).unwrap();
        let page = Page {
            branding: &branding,
            title: evil,
            text: evil,
            action: Action::Post { href: evil, label: evil, field: (evil, evil), instead: (evil, evil) },
            again: None,
            request_id: evil,
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 10);
    }
}
