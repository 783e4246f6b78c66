//! How the portal shows a route's app.

use std::sync::Arc;

use crate::{address::AccessUrl, pages::Logo};

/// What an administrator says of an app.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What the app is called.
    pub name: String,
    /// A sentence about it.
    pub text: Option<String>,
    /// Its picture, and the name by which a browser gets it.
    pub icon: Option<(String, Logo)>,
    /// Its site, where the route is for one; else that of whoever looks.
    pub site: Option<Arc<AccessUrl>>,
}
