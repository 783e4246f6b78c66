//! The page of a user's own sessions.

use std::fmt::Write;

use super::{
    Line, Look, Text, escape, escape_cut,
    html::{document, fitting},
};

/// The page on which a user sees their sessions and tokens, and ends them.
#[derive(Clone, Debug)]
pub struct SessionsPage<'a> {
    /// Whose they are, as they know themselves.
    pub user: &'a str,
    /// What has just been done, if anything was.
    pub notice: Option<Text<'a>>,
    /// The sessions of browsers, this one's first.
    pub sessions: &'a [SessionLine],
    /// Where the list of sessions goes on, if it does.
    pub next: Option<&'a str>,
    /// Whether there is any but this browser's.
    pub has_others: bool,
    /// Personal access tokens.
    pub tokens: &'a [SessionLine],
    /// Whether there are more of them.
    pub has_more_tokens: bool,
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
    /// What else is known of it.
    pub details: Vec<Line>,
}

impl SessionsPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        fitting(|room| self.html_with(room.most))
    }

    /// The page with texts of `most` bytes at most.
    fn html_with(&self, most: usize) -> String {
        let (said, href) = (|text: Text<'_>| escape(&self.look.text(text)), escape(self.href));
        let seal = format!("<input type=\"hidden\" name=\"seal\" value=\"{}\">", escape(self.seal));
        let (whose, sessions) =
            (escape_cut(&self.look.text(Text::SessionsAreOf(self.user)), 500), self.list(self.sessions, false, most));
        let link = |href: &str, text| format!("<p><a href=\"{}\">{}</a></p>\n", escape(href), said(text));
        let next = self.next.map(|href| link(href, Text::NextPage)).unwrap_or_default();
        let notice = self.notice.map(|text| format!("<p class=\"notice\" role=\"status\">{}</p>\n", said(text)));
        let mut body = notice.unwrap_or_default();
        let _infallible = writeln!(
            body,
            "<p>{whose}</p>\n<form method=\"post\" action=\"{href}\">{seal}\n{sessions}{next}<p class=\"actions\">"
        );
        if self.has_others {
            let label = said(Text::EndOthers);
            let _infallible = writeln!(body, "<button class=\"button\" name=\"others\" value=\"true\">{label}</button>");
        }
        let (sign_out, this, everywhere) = (escape(self.sign_out), said(Text::SignOut), said(Text::SignOutEverywhere));
        let _infallible =
            writeln!(body, "<a href=\"{sign_out}\">{this}</a> <a href=\"{sign_out}?everywhere=true\">{everywhere}</a>\n</p>");
        if !self.tokens.is_empty() {
            let _infallible =
                writeln!(body, "<h2>{}</h2>\n{}", said(Text::Tokens), self.list(self.tokens, self.has_more_tokens, most));
        }
        body += "</form>";
        if let Some(href) = self.tokens_href {
            let _infallible = write!(body, "\n<p><a href=\"{}\">{}</a></p>", escape(href), said(Text::NewTokenHeading));
        }
        document(&self.look.text(Text::Sessions), &body, self.look)
    }

    fn list(&self, lines: &[SessionLine], has_more: bool, most: usize) -> String {
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let mut list = "<ul class=\"list\">\n".to_owned();
        for SessionLine { id, name, details } in lines {
            let details: String = details.iter().map(|line| format!("<br><small>{}</small>", line.html(most))).collect();
            let end = match id {
                None => format!("<span>{}</span>", said(Text::ThisBrowser)),
                Some(id) => format!(
                    "<button class=\"button quiet\" name=\"end\" value=\"{}\" aria-label=\"{}\">{}</button>",
                    escape(id),
                    escape_cut(&self.look.text(Text::EndNamed(name)), most),
                    said(Text::End)
                ),
            };
            let _infallible = writeln!(list, "<li><div><strong>{}</strong>{details}</div>{end}</li>", escape_cut(name, most));
        }
        if has_more {
            let _infallible = writeln!(list, "<li>{}</li>", said(Text::MoreTokens));
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
        let line = |id: Option<&str>| SessionLine {
            id: id.map(str::to_owned),
            name: evil.into(),
            details: vec![evil.to_owned().into()],
        };
        let lines = [line(None), line(Some(evil))];
        let page = SessionsPage {
            user: evil,
            notice: None,
            sessions: &lines,
            next: Some(evil),
            has_others: true,
            tokens: &lines,
            has_more_tokens: true,
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
    fn a_page_of_as_much_as_there_may_be_on_it_is_small_and_says_that_there_is_more() {
        let branding = Branding::largest();
        let evil = "&\"<".repeat(400);
        let look = Look { branding: &branding, language: Language::German, request_id: "0123456789abcdef".to_owned() };
        let line = SessionLine { id: Some("0123456789abcdef".into()), name: evil.clone(), details: vec![evil.clone().into(); 3] };
        let lines = vec![line; 16];
        let page = SessionsPage {
            user: &evil,
            notice: Some(Text::OneEnded),
            sessions: &lines,
            next: Some("/oauth2/sessions?page=2"),
            has_others: true,
            tokens: &lines,
            has_more_tokens: true,
            tokens_href: Some("/oauth2/tokens"),
            href: "/oauth2/sessions",
            sign_out: "/oauth2/sign_out",
            seal: "seal",
            look: &look,
        };
        let html = page.html();
        assert!(html.len() < 20 * 1024, "{}: {html}", html.len());
        assert!(html.contains("sessions?page=2\">Nächste Seite<") && html.contains("Es gibt weitere."), "{html}");
    }
}
