//! `logo`: the administrator's image on our own pages.

use axum::body::Body;
use http::{HeaderValue, Response, header};

use crate::{
    pages::{Branding, Logo},
    refusal::{Refusal, response::own_headers},
};

/// An SVG file is a document, and whoever opens it by its address must not have its scripts run as this site's.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// Responds with the image.
///
/// # Errors
/// [`Refusal::NoSuchPage`] if there is none.
pub(super) fn respond(branding: &Branding) -> Result<Response<Body>, Refusal> {
    let (_, logo) = branding.brand.logo.as_ref().ok_or(Refusal::NoSuchPage)?;
    let mut response = image(logo, "logo");
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Ok(response)
}

/// An image of the administrator's.
pub(super) fn image(image: &Logo, mark: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(image.bytes.clone()));
    let headers = response.headers_mut();
    own_headers(headers, mark);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(image.media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}
