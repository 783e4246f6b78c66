//! The page that offers a kept form to be sent again. It shows where that goes and the names of the fields, and no value.

use std::fmt::Write;

use super::{
    Look, Message, Text, escape,
    html::{cut, document, own_text},
};

/// The page with a button that sends, and one that discards.
#[derive(Clone, Debug)]
pub struct KeptPostPage<'a> {
    /// The path that the form goes to.
    pub path: &'a str,
    /// The whole address that it goes to.
    pub target: &'a str,
    /// The names of its fields.
    pub fields: &'a [String],
    /// How long its body is, in bytes.
    pub size: usize,
    /// The field that has it sent.
    pub resend: (&'a str, &'a str),
    /// Where it is discarded.
    pub discard: &'a str,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// How many fields are shown, so that the page stays small.
const MOST: usize = 20;
/// How much of a name or a path is shown, in characters.
const LONGEST: usize = 100;

impl KeptPostPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let (title, text) = self.look.message(Message::KeptPost);
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let target = Text::KeptPostTarget { path: &cut(self.path, LONGEST), kibibytes: self.size.div_ceil(1024) };
        let mut body = format!("<p>{}</p>\n<p>{}</p>\n", own_text(text), said(target));
        if !self.fields.is_empty() {
            let _infallible = writeln!(body, "<h2>{}</h2>\n<ul class=\"list\">", said(Text::KeptPostFields));
            for name in self.fields.iter().take(MOST) {
                let _infallible = writeln!(body, "<li><div>{}</div></li>", escape(&cut(name, LONGEST)));
            }
            let more = self.fields.len().saturating_sub(MOST);
            if more > 0 {
                let _infallible = writeln!(body, "<li>{}</li>", said(Text::More(more)));
            }
            body += "</ul>\n";
        }
        let form = |href: &str, button: &str| {
            let (name, value) = self.resend;
            format!(
                "<form method=\"post\" action=\"{}\"><input type=\"hidden\" name=\"{}\" value=\"{}\">{button}</form>",
                escape(href),
                escape(name),
                escape(value)
            )
        };
        let send = form(self.target, &format!("<button class=\"button\">{}</button>", said(Text::SendAgain)));
        let discard = form(self.discard, &format!("<button class=\"button quiet\">{}</button>", said(Text::Discard)));
        let _infallible = write!(body, "<div class=\"actions\">{send}{discard}</div>");
        document(title, &body, self.look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{language::Language, pages::Branding};

    #[test]
    fn no_text_of_the_page_is_markup_and_it_is_small() {
        let evil = "<script>alert('x')</script>\"&".repeat(100);
        let branding = Branding::largest();
        for language in Language::ALL {
            let look = Look { branding: &branding, language, request_id: "<script>".to_owned() };
            let page = KeptPostPage {
                path: &evil,
                target: "https://app.example/<script>\"",
                fields: &vec![evil.clone(); 100],
                size: 256 * 1024,
                resend: ("<script>", "<script>"),
                discard: "<script>",
                look: &look,
            };
            let html = page.html();
            assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
            assert!(html.len() < 20 * 1024, "{} bytes", html.len());
            assert!(html.contains("80 "), "that there are more is said: {html}");
        }
    }
}
