//! Forwards requests to upstreams, and their responses back.
//!
//! Only a [`Permit`](crate::policy::Permit) is forwarded. Rules about headers stand by concept in files of their own;
//! `backend.rs` applies them in the order in which they protect each other.

mod forwarder;

mod backend;
mod target;

mod clear_site_data;
mod forwarding_headers;
mod hop_by_hop;
mod own_headers;
mod reserved_headers;

mod edits;

mod outgoing;
mod reply;
mod templated;
mod upstream;

mod http1_client;
mod http2;
mod http2_failure;

mod connect;

pub mod http1;

mod injection;
mod request_body;
mod response_body;
mod tunnel;
pub mod webdav;
mod websocket;

mod body_error;
mod cut;
mod deadlines;
mod drain;
mod guards;

mod address;
mod address_template;
mod error;
mod lookups;
mod resolver;
mod upstream_connections;

pub use address::{Address, BadAddress};
pub use address_template::{AddressTemplate, UpstreamTemplate};
pub use body_error::BodyError;
pub use drain::Drain;
pub use edits::Edits;
pub use error::ForwardError;
pub use forwarder::{Forwarded, Forwarder, Outbound};
pub use guards::{ByteCount, RequestGuards};
pub use hop_by_hop::{is_extended_connect, is_framing_header};
pub use http1::InterimHandler;
pub use injection::Injection;
pub use own_headers::{OLD_RESPONSE_MARK, REQUEST_ID, RESPONSE_MARK};
pub use request_body::ClientBody;
pub use reserved_headers::{is_reserved_header, may_be_set};
pub use response_body::ResponseBody;
pub use target::{Protocol, Target, Timeouts};
pub use upstream_connections::{TooManyConnections, UpstreamConnections};
