//! What an administrator sets of Evergate's own pages.

use base64::prelude::*;
use http::HeaderValue;
use url::Url;

/// The style of all pages, inline.
pub(super) const STYLE: &str = include_str!("style.css");

/// Texts, icon and policy of all these pages.
#[derive(Clone, Debug)]
pub struct Branding {
    /// The label of the button that begins a login (`CODER_OIDC_SIGN_IN_TEXT`).
    pub sign_in_text: Option<String>,
    /// An image beside the heading (`CODER_OIDC_ICON_URL`).
    pub icon: Option<Url>,
    /// A sentence for those whom the rules do not let in (`CODER_OIDC_SIGNUPS_DISABLED_TEXT`).
    pub denied_text: Option<String>,
    policy: HeaderValue,
}

/// Why a policy cannot be sent: a directive is no printable ASCII text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPrintable;

impl Branding {
    /// Texts and icon as given, and a Content-Security-Policy with `directives`, each of which replaces ours of the same name.
    ///
    /// # Errors
    /// [`NotPrintable`].
    pub fn new(
        sign_in_text: Option<String>,
        denied_text: Option<String>,
        icon: Option<Url>,
        directives: &[String],
    ) -> Result<Self, NotPrintable> {
        let policy = content_security_policy(icon.as_ref(), directives);
        let policy = HeaderValue::from_str(&policy).map_err(|_| NotPrintable)?;
        Ok(Self { sign_in_text, icon, denied_text, policy })
    }

    /// The `Content-Security-Policy` of these pages.
    pub fn policy(&self) -> &HeaderValue {
        &self.policy
    }

    /// The label of a button that begins a login; `default` if none was set.
    pub fn sign_in_label<'a>(&'a self, default: &'a str) -> &'a str {
        self.sign_in_text.as_deref().unwrap_or(default)
    }
}

/// The inline style, the icon, forms to Evergate and from there to the provider, and nothing else but what was asked for.
fn content_security_policy(icon: Option<&Url>, directives: &[String]) -> String {
    let hash = BASE64_STANDARD.encode(crate::secret::sha256(STYLE.as_bytes()));
    let mut own = vec!["default-src 'none'".to_owned(), format!("style-src 'sha256-{hash}'")];
    // An origin, because a path may hold characters that end a directive.
    own.extend(icon.map(|icon| format!("img-src {}", icon.origin().ascii_serialization())));
    own.extend(["base-uri 'none'", "frame-ancestors 'none'"].map(str::to_owned));
    let name = |directive: &str| directive.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    own.retain(|directive| !directives.iter().any(|other| name(other) == name(directive)));
    own.extend_from_slice(directives);
    own.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(icon: Option<&str>, directives: &[&str]) -> String {
        let directives: Vec<_> = directives.iter().map(|&text| text.to_owned()).collect();
        let icon = icon.map(|url| Url::parse(url).unwrap());
        Branding::new(None, None, icon, &directives).unwrap().policy().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_directive_of_the_administrators_replaces_ours_of_the_same_name() {
        let own = policy(None, &[]);
        assert!(
            own.starts_with("default-src 'none'; style-src 'sha256-")
                && own.ends_with("; base-uri 'none'; frame-ancestors 'none'")
        );
        let framed = policy(None, &["Frame-Ancestors https://portal.example", "report-uri /csp"]);
        assert!(framed.ends_with("base-uri 'none'; Frame-Ancestors https://portal.example; report-uri /csp"), "{framed}");
    }

    #[test]
    fn an_icon_s_origin_alone_is_let_in() {
        let own = policy(Some("https://cdn.example/logo;a.svg"), &[]);
        assert!(own.contains("; img-src https://cdn.example; "), "{own}");
        assert!(!policy(None, &[]).contains("img-src"));
        assert_eq!(Branding::new(None, None, None, &["a\nb".to_owned()]).unwrap_err(), NotPrintable);
    }
}
