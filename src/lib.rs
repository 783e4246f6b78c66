//! Evergate: an authenticating reverse proxy that keeps people logged in.
//!
//! The modules stand in reading order. `gateway` holds the life of every request in one function; `renewal` is what the program is
//! for. `ARCHITECTURE.md` is the map.

pub mod check;
pub mod cli;

pub mod translate;

pub mod app;
pub mod server;

pub mod doctor;

pub mod gateway;

pub mod endpoints;

pub mod admission;
pub mod refusal;

pub mod exchange;
pub mod visitor;

pub mod administration;
pub mod app_tokens;
pub mod deprovisioning;
pub mod kept_posts;
pub mod pattern;
pub mod personal_tokens;
pub mod renewal;
pub mod sign_in;
pub mod sign_out;

pub mod assertion;
pub mod bearer;
pub mod forward;
pub mod pages;
pub mod policy;
pub mod routing;

pub mod grant;
pub mod history;
pub mod oidc;
pub mod session;
pub mod store;

pub mod config;
pub mod telemetry;

pub mod address;
pub mod backoff;
pub mod client_registration;
pub mod clock;
pub mod connect_timeout;
pub mod connection_slot;
pub mod ext_authz;
pub mod fetch_metadata;
pub mod file_stamp;
pub mod header_names;
pub mod identity;
pub mod jose;
pub mod language;
pub mod lock;
pub mod protobuf;
pub mod reading;
pub mod seal;
pub mod secret;
pub mod send_buffer;
pub mod systemd;
pub mod timings;
pub mod tls;
pub mod to_its_end;

pub mod demo;

#[cfg(test)]
mod fuzz;
