//! Forms that met the end of their session: kept until their users have signed in again, and then offered to be sent again.
//!
//! - What is kept is the body as it came, encrypted, in the store: it outlives a restart, and any replica offers it.
//! - It is kept for the user who was signed in last in that browser, for [`LIFE`], and for nobody else. Of a browser that was never
//!   signed in nothing is kept, so that nobody fills the store who was not let in before.
//! - It can be sent once, by a button of ours, to where it was going.
//!
//! | file | what it does |
//! |---|---|
//! | `form` | which forms are kept, and the names of their fields |
//! | `keep` | reads a form and keeps it |
//! | `kept_post` | a form that is kept, and what it becomes when it is sent again |
//! | `reads` | how many are read at the same time, of one user and of all |
//! | `resend` | what the button of our page sends |

mod form;
mod keep;
mod kept_post;
mod reads;
mod resend;

use std::time::Duration;

use http::HeaderMap;

use crate::{
    address::AccessUrl,
    clock::Clock,
    seal::KeyRing,
    session::{self, BrowserMark, FormSeals, cookie::Cookies},
    store::{MostKept, Store, StoreError},
    telemetry::metrics::Metrics,
};

pub use form::FormType;
pub use keep::NotKept;
pub use kept_post::KeptPost;
pub use reads::Reads;
pub use resend::{RESEND_FIELD, Resend};

/// How long a form is kept: as long as a login may take.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// The longest body that is kept, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// How many are kept: 64 MiB in all.
const MOST: MostKept = MostKept { of_owner: 5, rows: 2000, bytes: 64 * 1024 * 1024 };
/// How long the body of a form may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// The length of an id: sixteen random bytes as base64.
const ID_LEN: usize = 22;
/// Our page that offers a form to be sent again, below the prefix.
pub const PAGE: &str = "/kept_post";

/// Keeps forms, and gives them out.
#[derive(Clone, Debug)]
pub struct KeptPosts {
    /// `CODER_PATH_PREFIX`.
    pub prefix: String,
    /// Where they are kept.
    pub store: Store,
    /// Encrypts them.
    pub keys: KeyRing,
    /// Evergate's cookies.
    pub cookies: Cookies,
    /// How long sessions live.
    pub sessions: session::Settings,
    /// What proves that a form is our page's.
    pub form_seals: FormSeals,
    /// The time.
    pub clock: Clock,
    /// Counts what becomes of them.
    pub metrics: Metrics,
    /// Limits how many are read at the same time.
    pub reads: Reads,
}

impl KeptPosts {
    /// The path of the page that offers the form `id`.
    pub fn page(&self, id: &str) -> String {
        format!("{}{PAGE}?id={id}", self.prefix)
    }

    /// The form that this browser calls `id`, whosever it is; `None` if there is none any more.
    ///
    /// # Errors
    /// The store is away.
    pub async fn find(&self, site: &AccessUrl, headers: &HeaderMap, id: &str) -> Result<Option<KeptPost>, StoreError> {
        let Some(mark) = self.mark(site, headers).filter(|_| is_id(id)) else { return Ok(None) };
        let Some(row) = self.store.kept_post(kept_post::name(&mark, id)).await? else { return Ok(None) };
        Ok(KeptPost::open(&self.keys, site, row).filter(|kept| self.clock.now() < kept.expires_at()))
    }

    /// Removes a form that its user does not want to be sent.
    ///
    /// # Errors
    /// It may have been removed.
    pub async fn discard(&self, kept: &KeptPost) -> Result<(), StoreError> {
        if self.store.take_kept_post(kept.name()).await? {
            self.metrics.kept_post("discarded");
        }
        Ok(())
    }

    fn mark(&self, site: &AccessUrl, headers: &HeaderMap) -> Option<BrowserMark> {
        BrowserMark::of(&self.keys, &self.cookies, headers, site.authority())
    }
}

fn is_id(id: &str) -> bool {
    id.len() == ID_LEN && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
