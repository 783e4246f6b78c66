//! From flags, environment variables and the file to checked settings. All problems are reported at once, each with the
//! setting's name.
//!
//! A module's settings are declared and read in the file of its name: a new setting is a declaration there, its place in the
//! `SECTION` above it, and the line that reads it. The [`table`] of all of them is what flags, environment variables,
//! `config/example.toml` and `docs/settings.md` are made from.

mod certificates;
mod check;
mod coder;
mod coder_yaml;
pub mod document;
mod file;
mod layer;
mod pattern_traps;
pub mod print;
mod reload;
mod sources;
mod texts;
mod unknown;
mod upstream_traps;

pub mod table;

mod administration;
mod app_tokens;
mod bearer;
mod claims;
mod client_auth;
mod cookies;
mod cors;
mod ended_sessions;
mod ext_authz;
mod forward;
mod gateway;
mod header_spoofing;
mod identity;
mod oidc;
mod pages;
mod policy;
mod portal;
mod provider_settings;
mod provider_table;
mod providers;
mod renewal;
mod routes;
mod server;
mod session;
mod store;
mod telemetry;
mod tls;
mod token_issuers;
mod traces;

mod problem;
mod raw;
mod reader;
mod route_host;
mod route_reader;
mod route_rule;
mod setting;
mod values;
mod yaml;

pub use certificates::with_targets;
pub use check::{Checked, check};
pub use problem::{Problem, Problems};
pub use provider_settings::ProviderSettings;
pub use raw::Raw;
pub use setting::{Section, Setting, ValueType};
pub use sources::Environment;
pub use store::EncryptionKeys;
