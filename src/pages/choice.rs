//! The page where a user chooses among providers. It needs no script.

use std::fmt::Write;

use super::{
    Look, Message, Text, escape,
    html::{MOST_OF_ADDRESS, MOST_OF_PAGE, document, own_label, own_text},
};

/// The page with a button for each provider, and a field for an address that leads to one.
#[derive(Clone, Debug)]
pub struct ChoicePage<'a> {
    /// What to do.
    pub message: Message,
    /// The providers.
    pub choices: &'a [Choice<'a>],
    /// What the field for an address says already, if some lead to providers.
    pub address: Option<&'a str>,
    /// Where the forms go, by GET.
    pub href: &'a str,
    /// Their hidden fields, which the choices' addresses have too.
    pub hidden: &'a [(&'a str, &'a str)],
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    /// Where a login there begins.
    pub href: String,
    /// The provider's name in a form.
    pub name: &'a str,
    /// The label.
    pub label: &'a str,
    /// Whether the user chose it last.
    pub is_last: bool,
}

impl ChoicePage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let (title, text) = self.look.message(self.message);
        let text = own_text(text);
        let page = |body: String| document(title, &format!("<p>{text}</p>\n{body}"), self.look);
        let fits = |html: &String| html.len() <= MOST_OF_PAGE;
        // The address of the page that the login leads to may be long, and each link has it. If not even a form has room for it, the login
        // leads to the front page.
        let with_form = |most: usize| page(self.form(most));
        Some(page(self.links()))
            .filter(fits)
            .or_else(|| Some(with_form(usize::MAX)).filter(fits))
            .unwrap_or_else(|| with_form(MOST_OF_ADDRESS))
    }

    /// A link for each provider, behind the form for an address.
    fn links(&self) -> String {
        let mut body = String::new();
        if let Some(value) = self.address {
            let _infallible =
                writeln!(body, "{}\n{}</form>", self.begin_form(usize::MAX), self.address_field(value, " required"));
        }
        body += "<ul class=\"list\">\n";
        for choice in self.choices {
            let (href, label, last) = (escape(&choice.href), own_label(choice.label), self.last(choice));
            let _infallible = writeln!(body, "<li><a class=\"button\" href=\"{href}\">{label}</a>{last}</li>");
        }
        body + "</ul>"
    }

    /// One form with a button for each provider, and with those hidden fields that are of `most` bytes at most.
    fn form(&self, most: usize) -> String {
        let address = self.address.map(|value| self.address_field(value, "")).unwrap_or_default();
        let mut body = format!("{}\n{address}<ul class=\"list\">\n", self.begin_form(most));
        for choice in self.choices {
            let (name, label, last) = (escape(choice.name), own_label(choice.label), self.last(choice));
            let _infallible = writeln!(
                body,
                "<li><button class=\"button\" name=\"provider\" value=\"{name}\" formnovalidate>{label}</button>{last}</li>"
            );
        }
        body + "</ul></form>"
    }

    fn begin_form(&self, most: usize) -> String {
        let form = format!("<form class=\"fields\" method=\"get\" action=\"{}\">", escape(self.href));
        let hidden = self.hidden.iter().map(|(name, value)| (name, escape(value))).filter(|(_, value)| value.len() <= most);
        hidden.fold(form, |mut form, (name, value)| {
            let _infallible = write!(form, "<input type=\"hidden\" name=\"{}\" value=\"{value}\">", escape(name));
            form
        })
    }

    fn address_field(&self, value: &str, required: &str) -> String {
        let said = |text: Text<'_>| escape(&self.look.text(text));
        format!(
            "<label>{} <input name=\"login_hint\" type=\"email\"{required} maxlength=\"320\" \
             autocomplete=\"username\" value=\"{}\"></label>\n<button class=\"button\">{}</button>\n",
            said(Text::EmailAddress),
            escape(value),
            said(Text::Continue)
        )
    }

    fn last(&self, choice: &Choice<'_>) -> String {
        let last = || format!(" <small>{}</small>", escape(&self.look.text(Text::LastUsed)));
        if choice.is_last { last() } else { String::new() }
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
        let page = ChoicePage {
            message: Message::ChooseByAddress,
            choices: &[Choice { href: evil.to_owned(), name: evil, label: evil, is_last: true }],
            address: Some(evil),
            href: evil,
            hidden: &[(evil, evil)],
            look: &look,
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 7);
    }

    #[test]
    fn a_long_address_that_a_login_leads_to_stands_on_the_page_once() {
        let branding = Branding::largest();
        let look = Look { branding: &branding, language: Language::English, request_id: "0123456789abcdef".to_owned() };
        let page = |length: usize, evil: &str| {
            let path = format!("/{}{evil}", "a".repeat(length));
            let choices: Vec<_> = ["one", "two", "three"]
                .map(|name| Choice {
                    href: format!("/oauth2/start?provider={name}&rd={path}"),
                    name,
                    label: name,
                    is_last: name == "two",
                })
                .into();
            let (message, hidden) = (Message::ChooseByAddress, [("rd", path.as_str())]);
            ChoicePage { message, choices: &choices, address: Some(""), href: "/oauth2/start", hidden: &hidden, look: &look }
                .html()
        };
        let short = page(100, "");
        assert!(short.matches("<a class=\"button\"").count() == 3 && !short.contains("name=\"provider\""), "{short}");
        let long = page(8000, "\"><script>");
        assert!(long.len() <= 20 * 1024 && !long.contains("<script"), "{}", long.len());
        assert_eq!((long.matches("name=\"provider\"").count(), long.matches("name=\"rd\"").count()), (3, 1));
        assert!(long.contains("value=\"two\" formnovalidate>two</button> <small>last used</small>"), "{long}");
        let longest = page(10, &"&".repeat(8000));
        assert!(longest.len() <= 20 * 1024, "{}", longest.len());
        assert_eq!((longest.matches("name=\"provider\"").count(), longest.matches("name=\"rd\"").count()), (3, 0));
    }
}
