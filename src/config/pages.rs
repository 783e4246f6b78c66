//! Settings of Evergate's own pages: texts, icon and policy.

use std::{collections::HashMap, sync::Arc};

use url::Url;

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::{
    language::Language,
    pages::{Brand, Branding, Colour, Contact, Logo, MOST_OF_BRAND, MOST_OF_OWN_TEXT, Message, contrast, escape},
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Pages",
    settings: &[
        &APPLICATION_NAME,
        &SIGN_IN_TEXT,
        &ICON_URL,
        &LOGO_FILE,
        &ACCENT_COLOR,
        &ACCENT_COLOR_DARK,
        &SUPPORT_ADDRESS,
        &PAGE_TEXTS,
        &SIGNUPS_DISABLED_TEXT,
        &PORTAL_ENABLE,
        &ADDITIONAL_CSP_POLICY,
    ],
};

pub(super) const SIGN_IN_TEXT: Setting = setting(
    "oidc_sign_in_text",
    ValueType::Text,
    "",
    "The label of the button that begins a login, as in `Sign in with Example`. Not set: `Sign in`.",
);
const ICON_URL: Setting = setting(
    "oidc_icon_url",
    ValueType::Text,
    "",
    "The https URL, of 400 bytes of HTML at most, of an image on Evergate's own pages, which browsers load from there. A path, as of Coder's own icons (`/icon/google.svg`), shows none.",
);
const SIGNUPS_DISABLED_TEXT: Setting = setting(
    "oidc_signups_disabled_text",
    ValueType::Text,
    "",
    "What Evergate says to a user whom the rules do not let in, besides why, as in `Ask helpdesk@example.com for access.`. Shown as it is written: Markdown is not interpreted. 2 KiB of HTML at most.",
);
const ADDITIONAL_CSP_POLICY: Setting = setting(
    "additional_csp_policy",
    ValueType::List,
    "",
    "Further directives of the Content-Security-Policy of Evergate's own pages, as in `frame-ancestors https://portal.example.com`. A directive replaces Evergate's own of the same name. The app's pages have the app's policy.",
);

const APPLICATION_NAME: Setting = setting(
    "application_name",
    ValueType::Text,
    "",
    "What the service is called, above the heading and in the title of Evergate's own pages, as in `Wiki of Example`: 400 bytes of HTML at most.",
);
const LOGO_FILE: Setting = setting(
    "logo_file",
    ValueType::Text,
    "",
    "An image of 256 KiB at most (PNG, WebP, JPEG, SVG) on Evergate's own pages, which Evergate serves at `/oauth2/logo`. `CODER_OIDC_ICON_URL` goes before it.",
);
const ACCENT_COLOR: Setting = setting(
    "accent_color",
    ValueType::Text,
    "#1f7a4d",
    "The colour of the buttons of Evergate's own pages, as in `#1f7a4d`. Their text is white.",
);
const ACCENT_COLOR_DARK: Setting = setting(
    "accent_color_dark",
    ValueType::Text,
    "#4cc38a",
    "The same where the browser asks for dark pages. Their text is `#18241e`.",
);
const SUPPORT_ADDRESS: Setting = setting(
    "support_address",
    ValueType::Text,
    "",
    "An e-mail address, or an https URL, of 400 bytes of HTML at most, for people who need help, below every page of Evergate's own.",
);
const PAGE_TEXTS: Setting = setting(
    "page_texts",
    ValueType::Map,
    "",
    "Texts of Evergate's own pages in other words, 2 KiB of HTML each at most: by language and message, as in `{\"en.upstream_unreachable\":\"The wiki sleeps from 2 to 3.\",\"de.upstream_unreachable\":\"Das Wiki schläft von 2 bis 3.\"}`. [docs/pages.md](pages.md) has the messages.",
);

const PORTAL_ENABLE: Setting = setting(
    "portal_enable",
    ValueType::Bool,
    "false",
    "Whether `/oauth2/` is a page with a link to each app that its user may open: the routes that have a `portal_name` ([pages.md](pages.md#portal)).",
);

/// What is set of the pages, of which the image has an address below `prefix`.
pub(super) fn read(reader: &mut Reader<'_>, prefix: &str) -> Option<Arc<Branding>> {
    let given = reader.text(&ICON_URL).is_some_and(|text| text.starts_with('/'));
    if given {
        reader.warn(
            &ICON_URL,
            "has no effect: Evergate serves no icons of its own; name a whole https URL, or a file with CODER_LOGO_FILE",
        );
    }
    let icon = if given { None } else { reader.parsed(&ICON_URL, icon) };
    let icon = icon.filter(|url: &Url| has_room(reader, &ICON_URL, url.as_str()));
    let directives = reader.list(&ADDITIONAL_CSP_POLICY);
    let accents = (accent(reader, &ACCENT_COLOR, CARD), accent(reader, &ACCENT_COLOR_DARK, DARK_CARD));
    let logo = reader.parsed(&LOGO_FILE, image).map(|logo| (format!("{prefix}/logo"), logo));
    let texts = reader.parsed(&PAGE_TEXTS, texts).unwrap_or_default();
    let texts = texts.into_iter().map(|(of, text)| (of, shortened(reader, &PAGE_TEXTS, &text, MOST_OF_OWN_TEXT))).collect();
    let name = reader.owned(&APPLICATION_NAME).map(|name| shortened(reader, &APPLICATION_NAME, &name, MOST_OF_BRAND));
    let denied = reader.owned(&SIGNUPS_DISABLED_TEXT);
    let denied = denied.map(|text| shortened(reader, &SIGNUPS_DISABLED_TEXT, &text, MOST_OF_OWN_TEXT));
    let contact = reader.parsed(&SUPPORT_ADDRESS, contact).filter(|to| has_room(reader, &SUPPORT_ADDRESS, to.0.as_str()));
    let brand = Brand {
        name,
        sign_in_text: reader.owned(&SIGN_IN_TEXT),
        icon,
        logo,
        denied_text: denied,
        contact,
        accents,
        texts,
        has_portal: reader.boolean(&PORTAL_ENABLE) == Some(true),
    };
    let branding = Branding::new(brand, &directives);
    if branding.is_err() || directives.iter().any(|directive| directive.contains(';')) {
        reader.problem(&ADDITIONAL_CSP_POLICY, "must be directives of printable ASCII separated by commas, without semicolons");
    }
    branding.ok().map(Arc::new)
}

fn icon(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    url.ok_or_else(|| "must be an https URL, as in https://cdn.example.com/logo.svg".to_owned())
}

/// Whether pages have room for an address, or would be larger than they may be.
fn has_room(reader: &mut Reader<'_>, setting: &Setting, address: &str) -> bool {
    let length = escape(address).len();
    if length > MOST_OF_BRAND {
        reader.warn(setting, format!("is left out: it has {length} bytes as HTML, and may have {MOST_OF_BRAND}"));
    }
    length <= MOST_OF_BRAND
}

/// A text, cut to so many bytes as HTML, or pages would be larger than they may be.
fn shortened(reader: &mut Reader<'_>, setting: &Setting, text: &str, most: usize) -> String {
    let length = escape(text).len();
    if length <= most {
        return text.to_owned();
    }
    reader.warn(setting, format!("has a text that is cut: it has {length} bytes as HTML, and may have {most}"));
    cut(text, most)
}

fn cut(text: &str, most: usize) -> String {
    let mut length = '…'.len_utf8();
    let fits = |letter: &char| {
        length += escape(&letter.to_string()).len();
        length <= most
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// The image in a file.
pub(super) fn image(path: &str) -> Result<Logo, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("names a file that cannot be read: {error}"))?;
    Logo::parse(bytes).map_err(|error| error.to_string())
}

/// The colours of a button's text in `pages/style.css`.
const CARD: &str = "#ffffff";
const DARK_CARD: &str = "#18241e";

/// A colour, with a warning if nobody could read a button of it.
fn accent(reader: &mut Reader<'_>, setting: &Setting, text: &str) -> Option<Colour> {
    let wrong = || "must be a colour like #1f7a4d".to_owned();
    let colour = reader.parsed(setting, |text| Colour::parse(text).ok_or_else(wrong))?;
    if Colour::parse(text).is_some_and(|text| contrast(colour, text) < 4.5) {
        reader.warn(setting, format!("is hard to read: the contrast with a button's text ({text}) is below 4.5 (WCAG 2.2)"));
    }
    Some(colour)
}

/// An address of the web, or of e-mail.
fn contact(text: &str) -> Result<Contact, String> {
    let url = match Url::parse(text) {
        Ok(url) if url.scheme() == "https" && url.has_host() => Some(url),
        _ => {
            let is_address = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'))
                && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "@.+-_".contains(letter));
            Url::parse(&format!("mailto:{text}")).ok().filter(|_| is_address)
        }
    };
    url.map(Contact).ok_or_else(|| "must be an e-mail address or an https URL".to_owned())
}

fn texts(text: &str) -> Result<HashMap<(Language, Message), String>, String> {
    let own = |(name, text): (String, String)| {
        let (tag, message) = name.split_once('.').unwrap_or_default();
        let language = Language::tagged(tag);
        let message = Message::ALL.iter().copied().find(|known| known.name() == message);
        let (Some(language), Some(message)) = (language, message) else {
            return Err(
                "has a text that is none of ours: each is named by a language and a message, as in de.not_found".to_owned()
            );
        };
        if text.trim().is_empty() {
            return Err(format!("has an empty text: {name}"));
        }
        Ok(((language, message), text))
    };
    values::map(text)?.into_iter().map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_help_is_one_of_the_web_or_of_e_mail() {
        for (text, address) in [
            ("help@example.com", "mailto:help@example.com"),
            ("https://help.example.com/wiki?x", "https://help.example.com/wiki?x"),
        ] {
            assert_eq!(contact(text).unwrap().0.as_str(), address);
        }
        for text in
            ["", "help", "@example.com", "a@b", "http://help.example", "javascript:alert(1)", "a@b.c?bcc=x@y.z", "a b@c.de"]
        {
            assert!(contact(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_every_page_bears_is_no_longer_than_a_page_can_bear() {
        for text in ["x".repeat(MOST_OF_BRAND + 1), "&".repeat(MOST_OF_BRAND), "ü".repeat(MOST_OF_BRAND)] {
            let cut = cut(&text, MOST_OF_BRAND);
            assert!(escape(&cut).len() <= MOST_OF_BRAND && escape(&cut).len() > MOST_OF_BRAND - 8 && cut.ends_with('…'), "{cut}");
        }
        for text in ["", " "] {
            assert!(texts(&format!(r#"{{"de.not_found": "{text}"}}"#)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_of_the_administrator_s_is_for_a_language_and_a_message() {
        let own = texts(r#"{"de.not_found": "Weg.", "en.not_found": "Gone."}"#).unwrap();
        assert_eq!(own.get(&(Language::German, Message::NotFound)).map(String::as_str), Some("Weg."));
        for text in [r#"{"not_found": "x"}"#, r#"{"fr.not_found": "x"}"#, r#"{"de.nothing": "x"}"#, "[]"] {
            assert!(texts(text).is_err(), "{text}");
        }
    }
}
