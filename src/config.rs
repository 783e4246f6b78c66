//! From flags, environment and file to checked settings. Every problem is reported at once, with its key.
//!
//! [`table`] is the one list of settings: flags, environment names, the example file and the reference page
//! all follow from it. [`sources`] reads, [`mod@check`] understands, [`mod@print`] shows.

mod check;
mod connections;
mod forward;
mod gateway;
mod oidc;
mod policy;
pub mod print;
mod problem;
mod renewal;
mod routes;
mod server;
mod session;
mod sources;
mod store;
pub mod table;
mod telemetry;
mod texts;
mod unknown;
mod values;

pub use check::{Checked, Keys, check};
pub use problem::{Problem, Problems};
pub use sources::{Environment, Raw};
