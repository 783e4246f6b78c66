//! The public documents of whoever issues tokens, and how they are asked for.

/// A public document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Document {
    /// The metadata, whose address follows from the issuer.
    Metadata,
    /// The keys, whose address the metadata name.
    Keys,
}

impl Document {
    /// What it may come as (`Accept`). A key set has a type of its own (RFC 7517 section 8.5), which most servers do not use; the API
    /// server of Kubernetes refuses with 406 whoever does not name it.
    pub(super) fn media_types(self) -> &'static str {
        match self {
            Self::Metadata => "application/json",
            Self::Keys => "application/jwk-set+json, application/json",
        }
    }
}
