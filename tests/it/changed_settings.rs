//! What changed settings do to those who are signed in, and to those who are signing in.

mod claims;
mod cookie_names;
mod keys;
mod logins;
mod tokens;
