//! The statements that both databases run, as methods of the [`Connection`](super::connection::Connection) that they run on.
//!
//! A method is one statement, or several in one transaction. Tokens are encrypted already when they come here.

mod announcements;
mod attempts;
mod clients;
mod ended_users;
mod events;
mod grants;
mod keep_alive;
mod kept_posts;
mod keys;
mod listings;
mod logins;
mod personal_tokens;
mod provider_hours;
mod renewals;
mod replicas;
mod revocations;
mod rollbacks;
mod scim_names;
mod scim_users;
mod sessions;
mod shared_grants;
mod shared_logins;
mod sweep;

pub(in crate::store) use listings::PrefixRange;
pub(in crate::store) use logins::Login;
pub(in crate::store) use renewals::{Begun, DeadLease};
pub(in crate::store) use revocations::{DueRevocation, NewRevocation, TokenFate};
pub(in crate::store) use sessions::Sample;
pub(in crate::store) use sweep::SweepStep;
