//! The page where a user chooses among providers. It needs no script.

use std::fmt::Write;

use super::{Look, Message, Text, escape, html::document};

/// The page with a button for each provider, and a field for an address that leads to one.
#[derive(Clone, Debug)]
pub struct ChoicePage<'a> {
    /// What to do.
    pub message: Message,
    /// The providers.
    pub choices: &'a [Choice<'a>],
    /// The field for an address, if some lead to providers.
    pub address: Option<AddressField<'a>>,
    /// How it looks.
    pub look: &'a Look<'a>,
}

/// One provider.
#[derive(Clone, Debug)]
pub struct Choice<'a> {
    /// Where a login there begins.
    pub href: String,
    /// The label.
    pub label: &'a str,
    /// Whether the user chose it last.
    pub is_last: bool,
}

/// The form with a field for an e-mail address.
#[derive(Clone, Debug)]
pub struct AddressField<'a> {
    /// Where it goes, by GET.
    pub href: &'a str,
    /// What the field says already.
    pub value: &'a str,
    /// Hidden fields.
    pub hidden: &'a [(&'a str, &'a str)],
}

impl ChoicePage<'_> {
    /// Renders the page.
    pub fn html(&self) -> String {
        let (title, text) = self.look.message(self.message);
        let said = |text: Text<'_>| escape(&self.look.text(text));
        let mut body = format!("<p>{}</p>\n", escape(text));
        if let Some(AddressField { href, value, hidden }) = &self.address {
            let _infallible = write!(body, "<form class=\"fields\" method=\"get\" action=\"{}\">", escape(href));
            for (name, value) in *hidden {
                let _infallible = write!(body, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escape(name), escape(value));
            }
            let _infallible = writeln!(
                body,
                "\n<label>{} <input name=\"login_hint\" type=\"email\" required maxlength=\"320\" \
                 autocomplete=\"username\" value=\"{}\"></label>\n<button class=\"button\">{}</button>\n</form>",
                said(Text::EmailAddress),
                escape(value),
                said(Text::Continue)
            );
        }
        body += "<ul class=\"list\">\n";
        for Choice { href, label, is_last } in self.choices {
            let last = if *is_last { format!(" <small>{}</small>", said(Text::LastUsed)) } else { String::new() };
            let (href, label) = (escape(href), escape(label));
            let _infallible = writeln!(body, "<li><a class=\"button\" href=\"{href}\">{label}</a>{last}</li>");
        }
        body += "</ul>";
        document(title, &body, self.look)
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
            choices: &[Choice { href: evil.to_owned(), label: evil, is_last: true }],
            address: Some(AddressField { href: evil, value: evil, hidden: &[(evil, evil)] }),
            look: &look,
        };
        let html = page.html();
        assert!(!html.contains("<script") && !html.contains("alert('x')"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 7);
    }
}
