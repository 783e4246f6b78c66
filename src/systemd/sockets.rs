//! Listening sockets that outlive a process. Whoever started this one opened them and keeps them, so that while one process follows
//! another, connections wait in the kernel's queue instead of being refused.

use std::{collections::BTreeMap, net::TcpListener};

use listenfd::ListenFd;

/// The sockets that were passed on, by what they are for. Whoever listens takes theirs.
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<Purpose, TcpListener>);

/// What a socket is for: in place of which address of the settings it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// `CODER_HTTP_ADDRESS`.
    Http,
    /// `CODER_TLS_ADDRESS`.
    Https,
    /// `CODER_PROMETHEUS_ADDRESS`.
    Metrics,
    /// `CODER_ADMIN_ADDRESS`.
    Administration,
    /// `CODER_EXT_AUTHZ_ADDRESS`.
    ExtAuthz,
}

/// Why what was passed on cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It is no listening TCP socket.
    #[error("the socket {0} that was passed on (LISTEN_FDS) is no TCP socket")]
    NotTcp(String, #[source] std::io::Error),
    /// Its name says nothing.
    #[error("a socket that was passed on is called {0}; where there are several, FileDescriptorName must be one of {names}", names = Purpose::names())]
    Unknown(String),
    /// Two are called the same.
    #[error("two sockets that were passed on are called {0}")]
    Twice(&'static str),
    /// Clients would connect to it, and wait for nobody.
    #[error("a socket `{0}` was passed on, and {1} is not set")]
    Unused(&'static str, &'static str),
}

impl Purpose {
    const ALL: [Self; 5] = [Self::Http, Self::Https, Self::Metrics, Self::Administration, Self::ExtAuthz];

    /// What such a socket is called (`FileDescriptorName`).
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Metrics => "metrics",
            Self::Administration => "admin",
            Self::ExtAuthz => "ext_authz",
        }
    }

    /// The setting without which nothing listens there.
    const fn setting(self) -> &'static str {
        match self {
            Self::Http => "CODER_HTTP_ADDRESS",
            Self::Https => "CODER_TLS_ENABLE",
            Self::Metrics => "CODER_PROMETHEUS_ENABLE",
            Self::Administration => "CODER_ADMIN_ADDRESS",
            Self::ExtAuthz => "CODER_EXT_AUTHZ_ADDRESS",
        }
    }

    /// The setting of the address that it stands in place of.
    pub const fn address_setting(self) -> &'static str {
        match self {
            Self::Http => "CODER_HTTP_ADDRESS",
            Self::Https => "CODER_TLS_ADDRESS",
            Self::Metrics => "CODER_PROMETHEUS_ADDRESS",
            Self::Administration => "CODER_ADMIN_ADDRESS",
            Self::ExtAuthz => "CODER_EXT_AUTHZ_ADDRESS",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// What a socket of this name is for, among `count`. One that is alone may be called anything, as systemd calls it after its unit.
    fn of(name: &str, count: usize) -> Option<Self> {
        let named = Self::ALL.into_iter().find(|purpose| purpose.name() == name);
        named.or((count == 1).then_some(Self::Http))
    }
}

impl Sockets {
    /// Takes the sockets of `LISTEN_FDS`, whose names (`LISTEN_FDNAMES`) are `names`. To be called before there is another thread,
    /// because it changes the environment, and once.
    ///
    /// # Errors
    /// One is no TCP socket, or nobody can say what it is for.
    pub fn inherited(names: Option<&str>) -> Result<Self, SocketError> {
        let mut passed = ListenFd::from_env();
        let (mut sockets, count) = (BTreeMap::new(), passed.len());
        for (index, name) in name_each(names, count).into_iter().enumerate() {
            let purpose = Purpose::of(name, count).ok_or_else(|| SocketError::Unknown(name.to_owned()))?;
            let taken = passed.take_tcp_listener(index).map_err(|error| SocketError::NotTcp(name.to_owned(), error))?;
            if taken.and_then(|socket| sockets.insert(purpose, socket)).is_some() {
                return Err(SocketError::Twice(purpose.name()));
            }
        }
        Ok(Self(sockets))
    }

    /// Whether none was passed on.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one for this was passed on, and is not taken yet.
    pub fn has(&self, purpose: Purpose) -> bool {
        self.0.contains_key(&purpose)
    }

    /// The socket for this, if it was passed on.
    pub fn take(&mut self, purpose: Purpose) -> Option<TcpListener> {
        self.0.remove(&purpose)
    }

    /// Every socket must have been taken.
    ///
    /// # Errors
    /// One was not.
    pub fn all_taken(&self) -> Result<(), SocketError> {
        self.0.keys().next().map_or(Ok(()), |left| Err(SocketError::Unused(left.name(), left.setting())))
    }
}

/// The names of so many sockets; those that have none are called nothing.
fn name_each(names: Option<&str>, count: usize) -> Vec<&str> {
    names.unwrap_or_default().split(':').chain(std::iter::repeat("")).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_sockets_are_for_and_one_alone_needs_none() {
        for (names, count, expected) in [
            (None, 1, vec![Some(Purpose::Http)]),
            (Some("evergate.socket"), 1, vec![Some(Purpose::Http)]),
            (Some("https"), 1, vec![Some(Purpose::Https)]),
            (Some("metrics:http"), 2, vec![Some(Purpose::Metrics), Some(Purpose::Http)]),
            (Some("admin:ext_authz"), 2, vec![Some(Purpose::Administration), Some(Purpose::ExtAuthz)]),
            (Some("http:unknown"), 2, vec![Some(Purpose::Http), None]),
            (Some("http"), 2, vec![Some(Purpose::Http), None]),
            (Some("http"), 0, vec![]),
        ] {
            let found: Vec<_> = name_each(names, count).into_iter().map(|name| Purpose::of(name, count)).collect();
            assert_eq!(found, expected, "{names:?}, {count}");
        }
    }
}
