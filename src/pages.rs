//! Our own pages, out of data alone. They load nothing from anywhere, and every text in them is escaped.

use std::{fmt::Write, time::Duration};

const STYLE: &str = include_str!("pages/style.css");

/// A page with one thing to say.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// The heading.
    pub title: &'a str,
    /// What happened, in one or two sentences.
    pub text: &'a str,
    /// What the visitor can do about it.
    pub action: Action<'a>,
    /// After which pause it goes on by itself, and where to.
    pub again: Option<(Duration, &'a str)>,
    /// Shown small, so that a report of the page leads to its line in the log.
    pub request_id: &'a str,
}

/// What a page offers.
#[derive(Clone, Debug)]
pub enum Action<'a> {
    /// Nothing.
    None,
    /// A link.
    Link {
        /// Where to.
        href: &'a str,
        /// Its text.
        label: &'a str,
    },
    /// A button that posts.
    Post {
        /// Where to.
        href: &'a str,
        /// Its text.
        label: &'a str,
        /// A hidden field.
        field: (&'a str, &'a str),
        /// Where else to, and the link's text.
        instead: (&'a str, &'a str),
    },
}

impl Page<'_> {
    /// The page as HTML.
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
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             {again}<title>{title}</title>\n<style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n{action}\n<footer>Request {id}</footer>\n</main>\n</html>\n",
            again = again.unwrap_or_default(),
            title = escape(self.title),
            text = escape(self.text),
            id = escape(self.request_id)
        )
    }
}

/// The Content-Security-Policy of every page of ours: the style within the page, forms to ourselves and from
/// there to the provider, and nothing else.
pub fn content_security_policy() -> String {
    use base64::prelude::*;
    let hash = BASE64_STANDARD.encode(crate::secret::sha256(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
}

fn escape(text: &str) -> String {
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
        let page = Page {
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
