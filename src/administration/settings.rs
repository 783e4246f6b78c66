//! Who administers, and where.

use std::net::SocketAddr;

/// Who administers, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `CODER_ADMIN_GROUPS`: the groups whose members do, by the names that routes know them by. There is one at least.
    pub groups: Vec<String>,
    /// `CODER_ADMIN_PROVIDERS`: the names of the providers whose users may; empty where there is one provider.
    pub providers: Vec<String>,
    /// `CODER_ADMIN_ADDRESS`: where alone it is reached, if not where all else is.
    pub address: Option<SocketAddr>,
}
