//! Renders Evergate's own HTML pages. They load nothing from elsewhere but an icon that the administrator names, and every text in
//! them is escaped.

mod branding;
mod html;
mod tokens;

use std::time::Duration;

use html::document_with;

pub use branding::{Branding, NotPrintable};
pub use html::escape;
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
        let body = format!("<p>{}</p>\n{action}", escape(self.text));
        document_with(&again.unwrap_or_default(), self.title, &body, self.branding, self.request_id)
    }
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
