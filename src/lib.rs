//! Evergate: an authenticating reverse proxy that keeps people logged in.
//!
//! The modules stand in reading order. `gateway` holds the way of every request in one function;
//! `renewal` is what the program is for. `ARCHITECTURE.md` is the map.

pub mod cli;

pub mod app;
pub mod server;

pub mod gateway;
pub mod sign_in;
pub mod sign_out;
pub mod renewal;

pub mod policy;
pub mod forward;
pub mod pages;

pub mod oidc;
pub mod grant;
pub mod session;
pub mod store;

pub mod telemetry;
pub mod config;

pub mod identity;
pub mod address;
pub mod seal;
pub mod secret;
pub mod clock;

pub mod demo;
