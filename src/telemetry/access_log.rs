//! Which requests have an access line, and what it tells of them.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::secret::{hex, sha256};

/// What is set of the access log.
#[derive(Clone, Copy, Debug)]
pub struct AccessLog {
    /// How a line names the user (`CODER_ACCESS_LOG_USER`).
    pub user: LoggedUser,
    /// What a line tells (`CODER_ACCESS_LOG_FIELDS`).
    pub fields: Fields,
    /// How many lines are written of requests that nothing is to be said of (`CODER_ACCESS_LOG_SAMPLE_RATIO`).
    pub sample: SampleRatio,
}

impl AccessLog {
    /// Whether the line tells who the user is.
    pub fn names_user(&self) -> bool {
        self.user != LoggedUser::None && self.fields.has(Field::User)
    }
}

/// How the access line names the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedUser {
    /// Not at all.
    None,
    /// By a hash of issuer and subject, which tells users apart and does not name them.
    Hash,
    /// By the subject (`sub`), as the provider names them.
    Subject,
}

impl LoggedUser {
    /// What a log line says of a user, as it is set.
    pub fn name(self, issuer: &str, subject: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Hash => {
                let digest = sha256(format!("{issuer} {subject}").as_bytes());
                Some(hex(digest.first_chunk::<8>().unwrap_or(&[0; 8])))
            }
            // Control characters could steer the terminal of whoever reads the log.
            Self::Subject => Some(subject.escape_debug().to_string()),
        }
    }
}

/// The share of something, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatio(f64);

impl SampleRatio {
    /// Everything.
    pub const ALL: Self = Self(1.0);

    /// Reads a number between 0 and 1.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).map(Self)
    }

    /// Whether what has this ID is among them: the same at every replica, and of as good as that share of all IDs. Where all are, the ID
    /// is not asked for.
    pub fn includes(self, id: impl FnOnce() -> String) -> bool {
        if self == Self::ALL {
            return true;
        }
        let mut hasher = DefaultHasher::new();
        id().hash(&mut hasher);
        let [first, second, third, fourth, ..] = hasher.finish().to_be_bytes();
        f64::from(u32::from_be_bytes([first, second, third, fourth])) < self.0 * f64::from(u32::MAX)
    }
}

/// Declares [`Field`] by one line for each: variant, name.
macro_rules! fields {
    ($($field:ident $name:literal,)+) => {
        /// An attribute of the access line that can be left out. The request's ID cannot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "docs/data-plane.md says what each is")]
        pub enum Field {
            $($field),+
        }

        impl Field {
            /// All of them, in the order of the line.
            pub const ALL: &[Self] = &[$(Self::$field),+];

            /// The attribute's name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$field => $name),+
                }
            }
        }
    };
}

fields! {
    Method "http.request.method",
    Path "url.path",
    Status "http.response.status_code",
    Host "server.address",
    Port "server.port",
    Route "http.route",
    User "user.id",
    Duration "duration.us",
    Head "head.us",
    Upstream "upstream.address",
    UpstreamTime "upstream.us",
    Received "http.request.body.size",
    Sent "http.response.body.size",
    End "end",
    Grpc "rpc.grpc.status_code",
    Client "client.address",
    Response "response",
    Reason "reason",
    OriginalMethod "original.method",
    OriginalHost "original.host",
    OriginalPath "original.path",
}

/// A set of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u32);

impl Fields {
    /// All attributes.
    pub const ALL: Self = Self(u32::MAX);

    /// The attributes with these names.
    ///
    /// # Errors
    /// The name that none has.
    pub fn named(names: &[String]) -> Result<Self, String> {
        let mut set = 0;
        for name in names {
            let field = Field::ALL.iter().find(|field| field.name() == name).ok_or_else(|| name.clone())?;
            set |= Self::bit(*field);
        }
        Ok(Self(set))
    }

    /// Whether the attribute is among them.
    pub fn has(self, field: Field) -> bool {
        self.0 & Self::bit(field) != 0
    }

    fn bit(field: Field) -> u32 {
        1 << (field as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_as_good_as_its_share_and_the_same_for_the_same_ids() {
        let ids: Vec<_> = (0..10_000_u32).map(|id| format!("{id:016x}")).collect();
        for (text, expected) in [("0", 0..=0), ("0.1", 900..=1100), ("0.5", 4800..=5200), ("1", 10_000..=10_000)] {
            let ratio = SampleRatio::parse(text).unwrap();
            let count = ids.iter().filter(|id| ratio.includes(|| (*id).clone())).count();
            assert!(expected.contains(&count), "{text}: {count}");
            assert_eq!(count, ids.iter().filter(|id| ratio.includes(|| (*id).clone())).count());
        }
        for wrong in ["", "-0.1", "1.1", "10%", "NaN", "inf"] {
            assert_eq!(SampleRatio::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_set_has_what_was_named_and_no_more() {
        let set = Fields::named(&["url.path".to_owned(), "original.path".to_owned()]).unwrap();
        let within: Vec<_> = Field::ALL.iter().filter(|field| set.has(**field)).collect();
        assert_eq!(within, [&Field::Path, &Field::OriginalPath]);
        assert!(Field::ALL.iter().all(|field| Fields::ALL.has(*field)));
        assert_eq!(Fields::named(&["url.pat".to_owned()]), Err("url.pat".to_owned()));
    }
}
