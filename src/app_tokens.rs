//! Tokens for apps' jobs: on a listener of its own, an app asks for the access token of one of its users, or for one that it was
//! exchanged for (RFC 8693).
//!
//! [`AppTokens::answer`] is every request's, and reads from top to bottom. Nothing here extends a session, and nothing ends a grant.

mod answer;
mod caller;
mod components;
mod error;
mod exchange;
mod given;
mod holder;
mod listener;
mod settings;
mod token_request;

pub use components::{AppTokens, Components, Shared};
pub use listener::Listener;
pub use settings::{ListenAddress, Settings};
