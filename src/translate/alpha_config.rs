//! What oauth2-proxy's alpha configuration has that no flag has.

use std::collections::BTreeMap;

use super::given::Given;

/// What the alpha configuration has that no flag has.
#[derive(Clone, Debug, Default)]
pub(super) struct Alpha {
    /// Whether there is one: then the flags about headers are none of oauth2-proxy's.
    pub(super) is_given: bool,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) request_headers: Vec<Header>,
    pub(super) response_headers: Vec<Header>,
    pub(super) login_parameters: Parameters,
    /// The providers after the first, of which oauth2-proxy uses none.
    pub(super) further_providers: Vec<FurtherProvider>,
}

/// Parameters of the login URL: their value and where it was given.
pub(super) type Parameters = BTreeMap<String, (String, String)>;

/// A provider that oauth2-proxy does not use.
#[derive(Clone, Debug, Default)]
pub(super) struct FurtherProvider {
    /// Where it stands, as in `providers[1] in alpha.yaml`.
    pub(super) origin: String,
    pub(super) id: Option<String>,
    /// Its options, as flags.
    pub(super) given: Given,
    pub(super) login_parameters: Parameters,
}

/// An app of oauth2-proxy's.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// A path, which means all below it if it ends with a slash; or a regular expression that begins with `^`.
    pub(super) path: String,
    /// A URL; empty for a fixed response.
    pub(super) address: String,
    /// The status of a fixed response.
    pub(super) status: Option<u16>,
    pub(super) rewrite: Option<String>,
    pub(super) keeps_host: bool,
    pub(super) timeout: Option<String>,
    pub(super) origin: String,
}

/// A header that oauth2-proxy adds.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) values: Vec<HeaderSource>,
    pub(super) origin: String,
}

/// What a header's value is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HeaderSource {
    /// A claim with a text before it; with a password, both are credentials. The password's file, if it is in one.
    Claim { claim: String, prefix: String, password: Option<Option<String>> },
    /// A fixed text.
    Fixed,
}
