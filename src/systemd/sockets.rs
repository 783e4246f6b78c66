//! Listening sockets that outlive a process. Whoever started this one opened them and keeps them, so that while one process follows
//! another, connections wait in the kernel's queue instead of being refused.

use std::net::TcpListener;

use listenfd::ListenFd;

/// The sockets that were passed on, by what they are for.
#[derive(Debug, Default)]
pub struct Sockets {
    /// In place of `CODER_HTTP_ADDRESS`.
    pub http: Option<TcpListener>,
    /// In place of `CODER_TLS_ADDRESS`.
    pub https: Option<TcpListener>,
    /// In place of `CODER_PROMETHEUS_ADDRESS`.
    pub metrics: Option<TcpListener>,
}

/// Why what was passed on cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It is no listening TCP socket.
    #[error("the socket {0} that was passed on (LISTEN_FDS) is no TCP socket")]
    NotTcp(String, #[source] std::io::Error),
    /// Its name says nothing.
    #[error(
        "a socket that was passed on is called {0}; FileDescriptorName must be http, https or metrics where there are several"
    )]
    Unknown(String),
    /// Two are called the same.
    #[error("two sockets that were passed on are called {0}")]
    Twice(&'static str),
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Http,
    Https,
    Metrics,
}

impl Sockets {
    /// Takes the sockets of `LISTEN_FDS`, whose names (`LISTEN_FDNAMES`) are `names`. To be called before there is another thread,
    /// because it changes the environment, and once.
    ///
    /// # Errors
    /// One is no TCP socket, or nobody can say what it is for.
    pub fn inherited(names: Option<&str>) -> Result<Self, SocketError> {
        let mut passed = ListenFd::from_env();
        let (mut sockets, count) = (Self::default(), passed.len());
        for (index, name) in name_each(names, count).into_iter().enumerate() {
            let purpose = purpose(name, count).ok_or_else(|| SocketError::Unknown(name.to_owned()))?;
            let taken = passed.take_tcp_listener(index).map_err(|error| SocketError::NotTcp(name.to_owned(), error))?;
            let (called, place) = match purpose {
                Purpose::Http => ("http", &mut sockets.http),
                Purpose::Https => ("https", &mut sockets.https),
                Purpose::Metrics => ("metrics", &mut sockets.metrics),
            };
            if place.is_some() {
                return Err(SocketError::Twice(called));
            }
            *place = taken;
        }
        Ok(sockets)
    }
}

/// The names of so many sockets; those that have none are called nothing.
fn name_each(names: Option<&str>, count: usize) -> Vec<&str> {
    names.unwrap_or_default().split(':').chain(std::iter::repeat("")).take(count).collect()
}

/// What a socket of this name is for. One that is alone may be called anything, as systemd calls it after its unit.
fn purpose(name: &str, count: usize) -> Option<Purpose> {
    match name {
        "http" => Some(Purpose::Http),
        "https" => Some(Purpose::Https),
        "metrics" => Some(Purpose::Metrics),
        _ => (count == 1).then_some(Purpose::Http),
    }
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
            (Some("http:unknown"), 2, vec![Some(Purpose::Http), None]),
            (Some("http"), 2, vec![Some(Purpose::Http), None]),
            (Some("http"), 0, vec![]),
        ] {
            let found: Vec<_> = name_each(names, count).into_iter().map(|name| purpose(name, count)).collect();
            assert_eq!(found, expected, "{names:?}, {count}");
        }
    }
}
