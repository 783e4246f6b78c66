//! The page of a user's own sessions.

use std::fmt::Write;

use super::{Look, Text, escape, html::document};

/// The page on which a user sees their sessions and tokens, and ends them.
#[derive(Clone, Debug)]
pub struct SessionsPage<'a> {
    /// Whose they are, as they know themselves.
    pub user: &'a str,
    /// The sessions of browsers, this one's first.
    pub sessions: &'a [SessionLine],
    /// Personal access tokens.
    pub tokens: &'a [SessionLine],
    /// Where tokens are made, if they can be.
    pub tokens_href: Option<&'a str>,
    /// Where the forms go.
    pub href: &'a str,
    /// Where this browser signs out.
    pub sign_out: &'a str,
    /// What proves that the forms came from here.
    pub seal: &'a str,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// What the page tells of a session or a token.
#[derive(Clone, Debug)]
pub struct SessionLine {
    /// Names it in the form that ends it; `None`: it is this browser's.
    pub id: Option<String>,
    /// The browser and the system, or the token's name.
    pub name: String,
    /// What else is known of it, a line each.
    pub details: Vec<String>,
}

/// How many lines of a list are shown, so that the page stays small.
const MOST: usize = 15;

impl SessionsPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let (said, href) = (|text: Text<'_>| escape(&self.look.text(text)), escape(self.href));
        let seal = format!("<input type=\"hidden\" name=\"seal\" value=\"{}\">", escape(self.seal));
        let (whose, sessions) = (said(Text::SessionsAreOf(self.user)), self.list(self.sessions));
        let mut body =
            format!("<p>{whose}</p>\n<form method=\"post\" action=\"{href}\">{seal}\n{sessions}<p class=\"actions\">\n");
        if self.sessions.iter().any(|line| line.id.is_some()) {
            let label = said(Text::EndOthers);
            let _infallible = writeln!(body, "<button class=\"button\" name=\"others\" value=\"true\">{label}</button>");
        }
        let (sign_out, this, everywhere) = (escape(self.sign_out), said(Text::SignOut), said(Text::SignOutEverywhere));
        let _infallible =
            writeln!(body, "<a href=\"{sign_out}\">{this}</a> <a href=\"{sign_out}?everywhere=true\">{everywhere}</a>\n</p>");
        if !self.tokens.is_empty() {
            let _infallible = writeln!(body, "<h2>{}</h2>\n{}", said(Text::Tokens), self.list(self.tokens));
        }
        body += "</form>";
        if let Some(href) = self.tokens_href {
            let _infallible = write!(body, "\n<p><a href=\"{}\">{}</a></p>", escape(href), said(Text::NewTokenHeading));
        }
        document(&self.look.text(Text::Sessions), &body, self.look)
    }

    fn list(&self, lines: &[SessionLine]) -> String {
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let mut list = "<ul class=\"list\">\n".to_owned();
        for SessionLine { id, name, details } in lines.iter().take(MOST) {
            let details: String = details.iter().map(|line| format!("<br><small>{}</small>", escape(line))).collect();
            let end = match id {
                None => format!("<span>{}</span>", said(Text::ThisBrowser)),
                Some(id) => format!(
                    "<button class=\"button quiet\" name=\"end\" value=\"{}\" aria-label=\"{}\">{}</button>",
                    escape(id),
                    said(Text::EndNamed(name)),
                    said(Text::End)
                ),
            };
            let _infallible = writeln!(list, "<li><div><strong>{}</strong>{details}</div>{end}</li>", escape(name));
        }
        let more = lines.len().saturating_sub(MOST);
        if more > 0 {
            let _infallible = writeln!(list, "<li>{}</li>", said(Text::More(more)));
        }
        list + "</ul>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{language::Language, pages::Branding};

    #[test]
    fn no_text_of_the_page_is_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let branding = Branding::default();
        let look = Look { branding: &branding, language: Language::German, request_id: evil.to_owned() };
        let line = |id: Option<&str>| SessionLine { id: id.map(str::to_owned), name: evil.into(), details: vec![evil.into()] };
        let lines = [line(None), line(Some(evil))];
        let page = SessionsPage {
            user: evil,
            sessions: &lines,
            tokens: &lines,
            tokens_href: Some(evil),
            href: evil,
            sign_out: evil,
            seal: evil,
            look: &look,
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
    }

    #[test]
    fn a_page_of_many_sessions_is_small_and_says_that_there_are_more() {
        let branding = Branding::default();
        let look = Look { branding: &branding, language: Language::English, request_id: "0123456789abcdef".to_owned() };
        let line =
            SessionLine { id: Some("0123456789abcdef".into()), name: "Firefox, Linux".into(), details: vec!["x".repeat(60); 3] };
        let lines = vec![line; 100];
        let page = SessionsPage {
            user: "ann",
            sessions: &lines,
            tokens: &lines,
            tokens_href: Some("/oauth2/tokens"),
            href: "/oauth2/sessions",
            sign_out: "/oauth2/sign_out",
            seal: "seal",
            look: &look,
        };
        let html = page.html();
        assert!(html.len() < 20 * 1024 && html.matches("and 85 more").count() == 2, "{}: {html}", html.len());
    }
}
