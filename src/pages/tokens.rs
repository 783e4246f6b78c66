//! The pages of personal access tokens.

use std::fmt::Write;

use super::{
    Look, Text, escape, escape_cut,
    html::{document, fitting, own_text},
};

/// The page on which a user sees their tokens, ends them and makes more.
#[derive(Clone, Debug)]
pub struct TokensPage<'a> {
    /// Whose they are, as they know themselves.
    pub user: &'a str,
    /// Their tokens.
    pub tokens: &'a [TokenLine],
    /// Where the list of tokens goes on, if it does.
    pub next: Option<&'a str>,
    /// The routes that take tokens.
    pub routes: &'a [String],
    /// What a token names that is for the administration, if one may be.
    pub administration: Option<&'a str>,
    /// How many days a token may live, and how many it does by default; `None` where it is less than one.
    pub days: Option<(u64, u64)>,
    /// Where the forms go.
    pub href: &'a str,
    /// What proves that they came from here.
    pub seal: &'a str,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// What the page tells of a token.
#[derive(Clone, Debug)]
pub struct TokenLine {
    /// Names it in the form that ends it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it may be used.
    pub routes: String,
    /// When it was made, when it was last used, and how long it lives still.
    pub times: String,
}

/// How many bytes the choice of routes may take.
const MOST_OF_ROUTES: usize = 5 * 1024;

impl TokensPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        fitting(|room| self.html_with(room.most))
    }

    /// The page with texts of `most` bytes at most.
    fn html_with(&self, most: usize) -> String {
        let (href, seal) = (escape(self.href), sealed(self.seal));
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let mut body = format!("<p>{}</p>\n", escape_cut(&self.look.text(Text::TokensAreOf(self.user)), most.max(400)));
        if !self.tokens.is_empty() {
            let _infallible = writeln!(body, "<form method=\"post\" action=\"{href}\">{seal}<ul class=\"list\">");
            for TokenLine { id, name, routes, times } in self.tokens {
                let (end, end_named) = (said(Text::End), escape_cut(&self.look.text(Text::EndNamed(name)), most));
                let (id, name, routes, times) = (escape(id), escape_cut(name, most), escape_cut(routes, most), escape(times));
                let _infallible = writeln!(
                    body,
                    "<li><div><strong>{name}</strong><br>{routes}<br><small>{times}</small></div>\
                     <button class=\"button quiet\" name=\"end\" value=\"{id}\" aria-label=\"{end_named}\">{end}</button></li>"
                );
            }
            body += "</ul></form>\n";
        }
        if let Some(next) = self.next {
            let _infallible = writeln!(body, "<p><a href=\"{}\">{}</a></p>", escape(next), said(Text::NextPage));
        }
        let mut places = String::new();
        if self.routes.len() > 1 || (self.administration.is_some() && !self.routes.is_empty()) {
            places += &format!("<fieldset><legend>{}</legend>\n", said(Text::TokenPlaces));
            // A name that is to be sent is not cut: what does not fit is for the command line.
            let (mut left, mut shown) = (MOST_OF_ROUTES, 0);
            for route in self.routes {
                let route = escape(route);
                let line = format!("<label><input type=\"checkbox\" name=\"route\" value=\"{route}\"> {route}</label>\n");
                let Some(rest) = usize::checked_sub(left, line.len()) else { break };
                (left, shown) = (rest, shown + 1);
                places += &line;
            }
            if shown < self.routes.len() {
                let _infallible = writeln!(places, "<p>{}</p>", said(Text::MoreRoutes(self.routes.len() - shown)));
            }
            places += "</fieldset>\n";
        }
        if let Some(name) = self.administration.map(escape) {
            let _infallible = if self.routes.is_empty() {
                let label = said(Text::TokenForAdministrationAlone);
                writeln!(places, "<p>{label}</p><input type=\"hidden\" name=\"route\" value=\"{name}\">")
            } else {
                let label = said(Text::TokenForAdministration);
                writeln!(places, "<label><input type=\"checkbox\" name=\"route\" value=\"{name}\"> {label}</label>")
            };
        }
        let days = self.days.map(|(most, usual)| {
            let label = said(Text::TokenDays);
            format!(
                "<label>{label} <input name=\"days\" type=\"number\" min=\"1\" max=\"{most}\" value=\"{usual}\" required></label>\n"
            )
        });
        let days = days.unwrap_or_default();
        let (heading, name, make) = (said(Text::NewTokenHeading), said(Text::TokenName), said(Text::MakeToken));
        let _infallible = write!(
            body,
            "<h2>{heading}</h2>\n<form class=\"fields\" method=\"post\" action=\"{href}\">{seal}\n\
             <label>{name} <input name=\"name\" required maxlength=\"64\" autocomplete=\"off\"></label>\n\
             {days}{places}<button class=\"button\">{make}</button>\n</form>"
        );
        document(&self.look.text(Text::Tokens), &body, self.look)
    }
}

/// The page that tells a new token, or a terminal's code, once.
#[derive(Clone, Debug)]
pub struct SecretPage<'a> {
    /// The heading.
    pub title: &'a str,
    /// What to do with it.
    pub text: &'a str,
    /// What is told.
    pub secret: &'a str,
    /// Where to go from here.
    pub back: Option<(&'a str, &'a str)>,
    /// How it looks.
    pub look: &'a Look<'a>,
}

impl SecretPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let back =
            self.back.map(|(href, label)| format!("\n<a class=\"button\" href=\"{}\">{}</a>", escape(href), escape(label)));
        let (text, secret) = (escape(self.text), escape(self.secret));
        let body = format!("<p>{text}</p>\n<p><code>{secret}</code></p>{}", back.unwrap_or_default());
        document(self.title, &body, self.look)
    }
}

/// The page on which a user agrees to a terminal's request.
#[derive(Clone, Debug)]
pub struct TerminalPage<'a> {
    /// Who would be signed in.
    pub user: &'a str,
    /// What the token would be called.
    pub name: &'a str,
    /// How many days it would live.
    pub days: u64,
    /// The routes where it could be used; none is all.
    pub routes: &'a [String],
    /// Where the form goes.
    pub href: &'a str,
    /// What proves that it came from here.
    pub seal: &'a str,
    /// The request's parameters.
    pub fields: &'a [(&'static str, String)],
    /// How it looks.
    pub look: &'a Look<'a>,
}

impl TerminalPage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let fields: String = self.fields.iter().fold(String::new(), |mut all, (name, value)| {
            let _infallible = write!(all, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value));
            all
        });
        let (href, seal) = (escape(self.href), sealed(self.seal));
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let asks = self.look.text(Text::TerminalAsks { user: self.user, left: self.days, routes: self.routes });
        let (asks, allow, refuse) = (own_text(&asks), said(Text::Allow), said(Text::DoNotAllow));
        // A stranger may have chosen the name: on a line of its own it is no sentence of the page's.
        let (label, name) = (said(Text::TerminalName), escape(self.name));
        let body = format!(
            "<p>{asks}</p>\n<p>{label}<br><strong>{name}</strong></p>\n<form class=\"actions\" method=\"post\" action=\"{href}\">{seal}{fields}\
             <button class=\"button\">{allow}</button> <a href=\"/\">{refuse}</a></form>"
        );
        document(&self.look.text(Text::TerminalTitle), &body, self.look)
    }
}

fn sealed(seal: &str) -> String {
    format!("<input type=\"hidden\" name=\"seal\" value=\"{}\">", escape(seal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{language::Language, pages::Branding};

    #[test]
    fn no_text_of_these_pages_is_markup() {
        let evil = "<script>alert('x')</script>\"&";
        let branding = Branding::default();
        let look = Look { branding: &branding, language: Language::German, request_id: evil.to_owned() };
        let line = TokenLine { id: evil.into(), name: evil.into(), routes: evil.into(), times: evil.into() };
        let (routes, fields) = (vec![evil.to_owned(); 2], [("name", evil.to_owned())]);
        let tokens = TokensPage {
            user: evil,
            tokens: &[line],
            next: Some(evil),
            routes: &routes,
            administration: Some(evil),
            days: Some((90, 30)),
            href: evil,
            seal: evil,
            look: &look,
        };
        let secret = SecretPage { title: evil, text: evil, secret: evil, back: Some((evil, evil)), look: &look };
        let terminal = TerminalPage {
            user: evil,
            name: evil,
            days: 1,
            routes: &routes,
            href: evil,
            seal: evil,
            fields: &fields,
            look: &look,
        };
        for html in [tokens.html(), secret.html(), terminal.html()] {
            assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
        }
    }

    #[test]
    fn what_a_terminal_calls_itself_is_no_sentence_of_the_page() {
        let branding = Branding::default();
        for language in Language::ALL {
            let look = Look { branding: &branding, language, request_id: String::new() };
            let page = TerminalPage {
                user: "ann",
                name: "Backup” has finished. Press Allow to close this page.\u{3164}\u{e0041}",
                days: 1,
                routes: &[],
                href: "/",
                seal: "",
                fields: &[],
                look: &look,
            };
            let html = page.html();
            let shown = "<br><strong>Backup” has finished. Press Allow to close this page.\u{fffd}\u{fffd}</strong></p>";
            assert!(html.contains(shown) && html.matches("Backup").count() == 1, "{html}");
        }
    }

    #[test]
    fn a_page_of_as_much_as_there_may_be_on_it_is_small() {
        let long = "&\"<".repeat(400);
        let branding = Branding::largest();
        let look = Look { branding: &branding, language: Language::German, request_id: "0123456789abcdef".to_owned() };
        let times = "vor 10 Tagen ausgestellt, vor 10 Tagen benutzt, endet in 80 Tagen".to_owned();
        let line = TokenLine { id: "0123456789abcdef".to_owned(), name: long.clone(), routes: long.clone(), times };
        let routes: Vec<_> = (0..400).map(|number| format!("/an/app/of/number/{number}")).collect();
        let page = TokensPage {
            user: &long,
            tokens: &vec![line; 20],
            next: Some("/oauth2/tokens?page=2"),
            routes: &routes,
            administration: Some("administration"),
            days: Some((90, 30)),
            href: "/oauth2/tokens",
            seal: &"s".repeat(120),
            look: &look,
        };
        let html = page.html();
        assert!(html.len() <= 20 * 1024, "{}", html.len());
        let shown = html.matches("type=\"checkbox\"").count() - 1;
        assert!(shown > 30 && html.contains(&format!("und {} weitere", 400 - shown)), "{html}");
        assert!(html.contains("tokens?page=2\">Nächste Seite<") && html.matches("<li>").count() == 20, "{html}");
    }
}
