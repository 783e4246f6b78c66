//! A form that is kept, and what it becomes when it is sent again.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::FormType;
use crate::{
    address::AccessUrl,
    clock::Timestamp,
    seal::KeyRing,
    secret::hex,
    session::{BrowserMark, UserHash},
    store::KeptPostRow,
};

/// What a form said.
#[derive(Debug)]
pub(super) struct Contents {
    /// Path and query that it was sent to.
    pub(super) target: String,
    pub(super) form: FormType,
    /// Path and query of the page that it was sent from.
    pub(super) referer: Option<String>,
    pub(super) body: Bytes,
}

/// What stands before the body, in one line.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "t")]
    target: String,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    boundary: Option<String>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    referer: Option<String>,
}

impl Contents {
    /// As it is stored, bound to its row and its site. `None`: it cannot be encrypted.
    pub(super) fn seal(
        self,
        keys: &KeyRing,
        site: &AccessUrl,
        (mark, id): (&BrowserMark, &str),
        expires_at: Timestamp,
    ) -> Option<KeptPostRow> {
        let boundary = match self.form {
            FormType::UrlEncoded => None,
            FormType::Multipart(boundary) => Some(boundary),
        };
        let mut plain = serde_json::to_vec(&Head { target: self.target, boundary, referer: self.referer }).ok()?;
        plain.push(b'\n');
        plain.extend_from_slice(&self.body);
        let (name, owner) = (name(mark, id), mark.user.0);
        let sealed = keys.seal(&context(name, owner, site), &plain).ok()?;
        Some(KeptPostRow { name, owner, sealed, expires_at })
    }
}

/// A form that is kept.
#[derive(Debug)]
pub struct KeptPost {
    row: KeptPostRow,
    contents: Contents,
}

impl KeptPost {
    /// Opens a row; `None` if it is another site's, was altered, or is sealed with a key that is not ours any more.
    pub(super) fn open(keys: &KeyRing, site: &AccessUrl, row: KeptPostRow) -> Option<Self> {
        let plain = keys.open(&context(row.name, row.owner, site), &row.sealed).ok()?;
        let end = plain.iter().position(|byte| *byte == b'\n')?;
        let Head { target, boundary, referer } = serde_json::from_slice(plain.get(..end)?).ok()?;
        let form = match boundary {
            None => FormType::UrlEncoded,
            Some(boundary) => FormType::multipart(&boundary)?,
        };
        let body = Bytes::from(plain).slice(end.saturating_add(1)..);
        Some(Self { row, contents: Contents { target, form, referer, body } })
    }

    /// What it is called in the store.
    pub fn name(&self) -> [u8; 32] {
        self.row.name
    }

    /// When it is forgotten.
    pub(super) fn expires_at(&self) -> Timestamp {
        self.row.expires_at
    }

    /// Whether it is this user's.
    pub fn is_of(&self, user: UserHash) -> bool {
        self.row.owner == user.0
    }

    /// Path and query that it was sent to.
    pub fn target(&self) -> &str {
        &self.contents.target
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    /// Path and query of the page that it was sent from.
    pub fn referer(&self) -> Option<&str> {
        self.contents.referer.as_deref()
    }

    /// The names of its fields.
    pub fn field_names(&self) -> Vec<String> {
        self.contents.form.field_names(&self.contents.body)
    }

    /// How long its body is, in bytes.
    pub fn size(&self) -> usize {
        self.contents.body.len()
    }

    /// Writes into the head of our button's request what the form's own said, and returns the body.
    pub fn write_to(&self, headers: &mut HeaderMap, site: &AccessUrl) -> Bytes {
        let Contents { form, referer, body, .. } = &self.contents;
        let mut set = |name, value: Option<HeaderValue>| match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        };
        set(header::CONTENT_TYPE, form.header());
        set(header::CONTENT_LENGTH, Some(HeaderValue::from(body.len())));
        set(header::TRANSFER_ENCODING, None);
        set(header::REFERER, referer.as_ref().and_then(|page| HeaderValue::try_from(site.at(page)).ok()));
        body.clone()
    }

    /// The row, to be put back.
    pub(super) fn row(&self) -> &KeptPostRow {
        &self.row
    }
}

/// What a browser's form is called in the store.
pub(super) fn name(mark: &BrowserMark, id: &str) -> [u8; 32] {
    mark.name("kept post", id)
}

fn context(name: [u8; 32], owner: [u8; 32], site: &AccessUrl) -> String {
    format!("kept_posts.sealed/{}/{}/{}", hex(&name), hex(&owner), site.at(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_registration::ClientRegistration;

    #[test]
    fn a_form_opens_in_its_own_row_and_at_its_own_site_alone() {
        let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
        let site = AccessUrl::parse("https://app.example").unwrap();
        let [ann, bob] = ["ann", "bob"]
            .map(|subject| UserHash::of(ClientRegistration { issuer: "https://idp.example", client_id: "app" }, subject));
        let mark = BrowserMark::with_user(None, ann);
        for form in [FormType::UrlEncoded, FormType::Multipart("--B".into())] {
            let contents = Contents {
                target: "/a?b\n".into(),
                form: form.clone(),
                referer: Some("/form".into()),
                body: Bytes::from_static(b"x=\n\0"),
            };
            let row = contents.seal(&keys, &site, (&mark, "1"), Timestamp(7)).unwrap();
            let kept = KeptPost::open(&keys, &site, row.clone()).unwrap();
            assert_eq!((kept.target(), kept.path(), kept.referer(), kept.size()), ("/a?b\n", "/a", Some("/form"), 4));
            assert_eq!((&kept.contents.form, kept.is_of(ann), kept.is_of(bob)), (&form, true, false));
            let mut headers = HeaderMap::new();
            headers.insert(header::REFERER, HeaderValue::from_static("https://app.example/oauth2/kept_post?id=1"));
            assert_eq!(kept.write_to(&mut headers, &site), &b"x=\n\0"[..]);
            assert_eq!(
                (&headers[header::REFERER], &headers[header::CONTENT_LENGTH]),
                (&"https://app.example/form".parse().unwrap(), &"4".parse().unwrap())
            );
            let elsewhere = AccessUrl::parse("https://other.example").unwrap();
            assert!(KeptPost::open(&keys, &elsewhere, row.clone()).is_none());
            assert!(KeptPost::open(&keys, &site, KeptPostRow { owner: bob.0, ..row.clone() }).is_none(), "given to another");
            assert!(KeptPost::open(&keys, &site, KeptPostRow { name: name(&mark, "2"), ..row }).is_none(), "moved");
        }
    }
}
