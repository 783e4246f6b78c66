//! What an administrator sets of Evergate's own pages.

use std::collections::HashMap;

use base64::prelude::*;
use http::HeaderValue;
use url::Url;

use super::{Colour, Logo, Message};
use crate::language::Language;

/// The style of all pages, inline.
const STYLE: &str = include_str!("style.css");

/// What is set of all these pages.
#[derive(Clone, Debug, Default)]
pub struct Brand {
    /// What the service is called (`CODER_APPLICATION_NAME`).
    pub name: Option<String>,
    /// The label of the button that begins a login (`CODER_OIDC_SIGN_IN_TEXT`).
    pub sign_in_text: Option<String>,
    /// An image beside the heading (`CODER_OIDC_ICON_URL`).
    pub icon: Option<Url>,
    /// An image that we serve, and its path (`CODER_LOGO_FILE`).
    pub logo: Option<(String, Logo)>,
    /// A sentence for those whom the rules do not let in (`CODER_OIDC_SIGNUPS_DISABLED_TEXT`).
    pub denied_text: Option<String>,
    /// Where people find help (`CODER_SUPPORT_ADDRESS`).
    pub contact: Option<Contact>,
    /// The colour of buttons on light and on dark pages (`CODER_ACCENT_COLOR`, `CODER_ACCENT_COLOR_DARK`).
    pub accents: (Option<Colour>, Option<Colour>),
    /// Texts that replace ours (`CODER_PAGE_TEXTS`).
    pub texts: HashMap<(Language, Message), String>,
    /// Whether there is a portal, with pictures of apps that we serve (`CODER_PORTAL_ENABLE`).
    pub has_portal: bool,
}

/// The same with what is made of it: the style sheet, and the policies.
#[derive(Clone, Debug)]
pub struct Branding {
    /// What is set.
    pub brand: Brand,
    style: String,
    policy: HeaderValue,
    links_policy: HeaderValue,
    frame_policy: HeaderValue,
}

/// An address of the schemes `https` or `mailto`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact(pub Url);

/// Why a policy cannot be sent: a directive is no printable ASCII text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPrintable;

impl Branding {
    /// What is made of `brand`, with a Content-Security-Policy that has `directives`, each of which replaces ours of the same name.
    ///
    /// # Errors
    /// [`NotPrintable`].
    pub fn new(brand: Brand, directives: &[String]) -> Result<Self, NotPrintable> {
        let style = style(brand.accents);
        let own = brand.directives(&style);
        let printable = |text: String| HeaderValue::from_str(&text).map_err(|_| NotPrintable);
        let policy_alone = printable(policy(own.clone(), &["frame-ancestors 'none'".to_owned()], directives))?;
        let links_policy = printable(policy(own.clone(), &["frame-ancestors 'self'".to_owned()], directives))?;
        let frame_policy = printable(policy(own, &[], directives))?;
        Ok(Self { brand, style, policy: policy_alone, links_policy, frame_policy })
    }

    /// The `Content-Security-Policy` of these pages.
    pub fn policy(&self) -> &HeaderValue {
        &self.policy
    }

    /// The same of pages that have links alone, which may stand in a frame of the same origin: whoever has a page there needs no click of
    /// a user's to follow a link.
    pub fn links_policy(&self) -> &HeaderValue {
        &self.links_policy
    }

    /// The same of the one page that may stand in a frame of anybody's.
    pub fn frame_policy(&self) -> &HeaderValue {
        &self.frame_policy
    }

    pub(super) fn style(&self) -> &str {
        &self.style
    }

    /// The text that replaces ours.
    pub(super) fn own_text(&self, language: Language, message: Message) -> Option<&str> {
        self.brand.texts.get(&(language, message)).map(String::as_str)
    }
}

impl Brand {
    /// The address of the image.
    pub(super) fn image(&self) -> Option<&str> {
        self.icon.as_ref().map(Url::as_str).or_else(|| self.logo.as_ref().map(|(path, _)| path.as_str()))
    }

    /// The inline style, the images, forms to Evergate and from there to the provider, and nothing else.
    fn directives(&self, style: &str) -> Vec<String> {
        let hash = BASE64_STANDARD.encode(crate::secret::sha256(style.as_bytes()));
        let mut own = vec!["default-src 'none'".to_owned(), format!("style-src 'sha256-{hash}'")];
        // An origin, because a path may hold characters that end a directive.
        let icon = self.icon.as_ref().map(|icon| icon.origin().ascii_serialization());
        let serves_own = self.has_portal || (icon.is_none() && self.logo.is_some());
        let images: Vec<_> = icon.into_iter().chain(serves_own.then(|| "'self'".to_owned())).collect();
        own.extend((!images.is_empty()).then(|| format!("img-src {}", images.join(" "))));
        own.push("base-uri 'none'".to_owned());
        own
    }
}

/// A policy of our directives, of which `given` ones replace those of the same name.
fn policy(mut own: Vec<String>, more: &[String], given: &[String]) -> String {
    let name = |directive: &str| directive.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    own.extend_from_slice(more);
    own.retain(|directive| !given.iter().any(|other| name(other) == name(directive)));
    own.extend_from_slice(given);
    own.join("; ")
}

fn style((light, dark): (Option<Colour>, Option<Colour>)) -> String {
    let accent = |colour: Option<Colour>| colour.map(|colour| format!(":root{{--accent:{colour}}}"));
    let light = accent(light).map(|rule| format!("@media(prefers-color-scheme:light){{{rule}}}\n"));
    let dark = accent(dark).map(|rule| format!("@media(prefers-color-scheme:dark){{{rule}}}\n"));
    format!("{STYLE}{}{}", light.unwrap_or_default(), dark.unwrap_or_default())
}

#[cfg(test)]
impl Default for Branding {
    fn default() -> Self {
        Self::new(Brand::default(), &[]).unwrap()
    }
}

#[cfg(test)]
impl Branding {
    /// The one that makes pages largest.
    pub(super) fn largest() -> Self {
        use super::{MOST_OF_BRAND, MOST_OF_OWN_TEXT};
        let longest = |start: &str| Url::parse(&format!("{start}{}", "x".repeat(MOST_OF_BRAND - start.len()))).ok();
        let brand = Brand {
            name: Some("&".repeat(MOST_OF_BRAND / 5)),
            sign_in_text: Some("&".repeat(1000)),
            icon: longest("https://cdn.example/"),
            contact: longest("https://help.example/").map(Contact),
            denied_text: Some("&".repeat(MOST_OF_OWN_TEXT / 5)),
            accents: (Colour::parse("#102030"), Colour::parse("#f0f0f0")),
            ..Brand::default()
        };
        Self::new(brand, &[]).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_of(brand: Brand, directives: &[&str]) -> String {
        let directives: Vec<_> = directives.iter().map(|&text| text.to_owned()).collect();
        Branding::new(brand, &directives).unwrap().policy().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_directive_of_the_administrators_replaces_ours_of_the_same_name() {
        let own = policy_of(Brand::default(), &[]);
        assert!(
            own.starts_with("default-src 'none'; style-src 'sha256-")
                && own.ends_with("; base-uri 'none'; frame-ancestors 'none'")
        );
        let framed = policy_of(Brand::default(), &["Frame-Ancestors https://portal.example", "report-uri /csp"]);
        assert!(framed.ends_with("base-uri 'none'; Frame-Ancestors https://portal.example; report-uri /csp"), "{framed}");
    }

    #[test]
    fn the_page_that_may_stand_in_a_frame_stands_where_the_administrator_says_and_else_anywhere() {
        let of = |directives: &[String]| {
            Branding::new(Brand::default(), directives).unwrap().frame_policy().to_str().unwrap().to_owned()
        };
        assert!(!of(&[]).contains("frame-ancestors"));
        assert!(of(&["frame-ancestors https://portal.example".to_owned()]).contains("frame-ancestors https://portal.example"));
    }

    #[test]
    fn images_come_from_where_they_are_alone() {
        let icon = Url::parse("https://cdn.example/logo;a.svg").ok();
        let own = policy_of(Brand { icon, ..Brand::default() }, &[]);
        assert!(own.contains("; img-src https://cdn.example; "), "{own}");
        assert!(!policy_of(Brand::default(), &[]).contains("img-src"));
        let logo = Some(("/oauth2/logo".to_owned(), Logo::parse(b"<svg>".to_vec()).unwrap()));
        assert!(policy_of(Brand { logo, ..Brand::default() }, &[]).contains("; img-src 'self'; "));
        let icon = Url::parse("https://cdn.example/logo.svg").ok();
        let own = policy_of(Brand { icon, has_portal: true, ..Brand::default() }, &[]);
        assert!(own.contains("; img-src https://cdn.example 'self'; "), "{own}");
        assert_eq!(Branding::new(Brand::default(), &["a\nb".to_owned()]).unwrap_err(), NotPrintable);
    }

    #[test]
    fn the_policy_lets_the_style_in_that_the_colours_make() {
        let accents = (Colour::parse("#102030"), Colour::parse("#f0f0f0"));
        let branding = Branding::new(Brand { accents, ..Brand::default() }, &[]).unwrap();
        assert!(branding.style().contains("--accent:#102030") && branding.style().contains("--accent:#f0f0f0"));
        let hash = BASE64_STANDARD.encode(crate::secret::sha256(branding.style().as_bytes()));
        assert!(branding.policy().to_str().unwrap().contains(&hash));
    }
}
